"""The demo in the local cloud, nodes included."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.demo.cases import (
    APPS,
    CASES,
    L4_SPOT,
    NAMESPACE,
    TRAINER,
    Case,
    make_deployment,
)
from sandbox.demo.facts_file import write_facts
from sandbox.demo.outcomes import Result, caused_by, read_results
from sandbox.demo.view import View, show_results
from sandbox.local_cloud import LocalCloud
from sandbox.messaging import BUILDS

_SCALE = 60.0
_TIMEOUT_S = 40.0
_TICK_S = 0.1
_USER = "dev@example.com"
_SECOND_NODES = 3
"""A node's snapshotter has few events to spend; spread, each image has its own."""


def run_locally(console: Console, build: Path, cases: Sequence[Case] = CASES) -> int:
    """Run the demo, show what came of it, and return the exit status."""
    cloud = LocalCloud(scale=_SCALE)
    demo = _LocalDemo(cloud, View(console), cases)
    try:
        results = demo.run(build)
    finally:
        cloud.stop()
    show_results(console, results)
    path = write_facts(demo.facts, build / "demo")
    wrong = [result for result in results if result.faults]
    console.print(
        f"{len(results) - len(wrong)} of {len(results)} outcomes as expected;"
        f" the facts are in {path.relative_to(build.parent)}.\n"
        f"[dim]The cloud, the nodes and their pull times are simulated, {_SCALE:.0f} times as"
        " fast as the world; the functions and their clients are real.[/dim]"
    )
    return 1 if wrong else 0


class _LocalDemo:
    def __init__(self, cloud: LocalCloud, view: View, cases: Sequence[Case]) -> None:
        self.facts: list[dict[str, Any]] = []
        self._cases = cases
        self._cloud = cloud
        self._view = view

    def run(self, build: Path) -> list[Result]:
        """Deploy, wait, deploy on a second node, wait; return what came of it."""
        cloud, view = self._cloud, self._view
        view.say("Starting a local cloud, and the functions from their archives")
        cloud.start()
        cloud.apply_manifests()
        for letter in "abc":
            self._add_gpu_node(f"gke-gpu-l4-spot-{letter}")
        cloud.gke.add_node("gke-gpu-cpu-a", pool="cpu")
        cloud.serve(build / "functions", build / "deployed" / "bin" / "python")
        with view:
            view.say("Deploying workloads as people write them: nobody names a mirror")
            self._deploy()
            results = self._wait(lambda result: result.is_warm)
            view.say("Running each image under its mirror's name on a node that never held it")
            self._deploy_again(results)
            results = self._wait(lambda result: result.is_complete)
        self.facts = cloud.facts()
        return results

    def _add_gpu_node(self, name: str, count: int = 1) -> None:
        self._cloud.gke.add_node(
            name, pool="l4-spot", accelerator="nvidia-l4", accelerator_count=count, spot=True
        )

    def _deploy(self) -> None:
        api = self._cloud.kubernetes.api
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        api.create("namespaces", namespace, user=_USER)
        for case in self._cases:
            if case.is_build:
                digest = self._cloud.artifact_registry.push(f"{APPS}/{case.name}", "v1", TRAINER)
                attributes = {"buildId": f"build-of-{case.name}", "status": "SUCCESS"}
                self._cloud.messaging.publish(BUILDS, case.build_message(digest), attributes)
            else:
                api.create("deployments.apps", case.deployment(), NAMESPACE, user=_USER)

    def _deploy_again(self, results: list[Result]) -> None:
        """Pull each warm image on a fresh node, as the article's author did by cordoning."""
        warm = [each.case for each in results if each.case.streams]
        nodes = [f"gke-gpu-l4-spot-fresh-{number}" for number in range(_SECOND_NODES)]
        for node in nodes:
            self._add_gpu_node(node, count=len(warm))
        for case, node in zip(warm, itertools.cycle(nodes), strict=False):
            body = make_deployment(
                f"{case.name}-again",
                str(case.mirror),
                node_selector={**L4_SPOT, "kubernetes.io/hostname": node},
            )
            self._cloud.kubernetes.api.create("deployments.apps", body, NAMESPACE, user=_USER)

    def _wait(self, is_done: Callable[[Result], bool]) -> list[Result]:
        """Show the results until all are done, or time is up."""
        due = time.monotonic() + _TIMEOUT_S
        pause = threading.Event()
        while True:
            results = read_results(self._cases, self._cloud.facts(), self._find_jobs())
            self._view.update(results)
            if all(is_done(result) for result in results) or time.monotonic() > due:
                return results
            pause.wait(_TICK_S)

    def _find_jobs(self) -> dict[str, str]:
        jobs = {}
        for body in self._cloud.kubernetes.api.list("jobs.batch", "prestream"):
            cause = json.loads(body["metadata"]["annotations"]["prestream.dev/cause"])
            name = caused_by(cause)
            if name is not None:
                jobs[name] = body["metadata"]["name"]
        return jobs
