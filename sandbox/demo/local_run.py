"""The demo in the local cloud, nodes included."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.demo.case import (
    CASES,
    L4_SPOT,
    NAMESPACE,
    NAMESPACE_BODY,
    Case,
    make_deployment,
)
from sandbox.demo.later import LADDER, Sight, let_time_pass
from sandbox.demo.outcome import Result, jobs_by_cause, read_results, write_facts
from sandbox.demo.view import View, show_results, show_sights
from sandbox.local_cloud import LocalCloud

_SCALE = 60.0
_TIMEOUT_S = 40.0
_TICK_S = 0.1
_USER = "dev@example.com"
_FIRST_NODES = tuple(f"gke-gpu-l4-spot-{letter}" for letter in "abcd")
_SECOND_NODES = 3
"""From the tenth image on, the snapshotter of a node combines its events."""


def run_locally(console: Console, build: Path, cases: Sequence[Case] = CASES) -> int:
    """Run the demo, show the outcomes, and return the exit status."""
    cloud = LocalCloud(scale=_SCALE, config=LADDER)
    demo = _LocalDemo(cloud, View(console), cases)
    try:
        results = demo.run(build)
    finally:
        cloud.stop()
    show_results(console, results)
    show_sights(console, demo.sights)
    path = write_facts(demo.facts, build / "demo")
    came_out = [not result.faults for result in results]
    came_out += [sight.is_seen for sight in demo.sights]
    console.print(
        f"{sum(came_out)} of {len(came_out)} outcomes as expected;"
        f" the facts are in {path.relative_to(build.parent)}.\n"
        f"[dim]The cloud, the nodes and their pull times are simulated, {_SCALE:.0f} times as"
        " fast as the world; the functions and their clients are real.[/dim]"
    )
    return 0 if all(came_out) else 1


class _LocalDemo:
    def __init__(self, cloud: LocalCloud, view: View, cases: Sequence[Case]) -> None:
        self.facts: list[dict[str, Any]] = []
        self.sights: list[Sight] = []
        self._cases = cases
        self._cordoned: set[str] = set()
        self._cloud = cloud
        self._view = view

    def run(self, build: Path) -> list[Result]:
        """Deploy, wait, deploy on a second node, wait, and return the results."""
        cloud, view = self._cloud, self._view
        view.say("Starting a local cloud, and the functions from their archives")
        cloud.start()
        cloud.apply_manifests()
        for node in _FIRST_NODES:
            self._add_gpu_node(node)
        cloud.gke.add_node("gke-gpu-cpu-a", pool="cpu")
        cloud.serve(build / "functions", build / "deployed" / "bin" / "python")
        with view:
            view.say("Deploying workloads that do not name a mirror")
            self._deploy()
            results = self._wait(lambda result: result.is_warm)
            view.say("Starting a second pod of each, on nodes that never held its image")
            self._deploy_again(results)
            results = self._wait(lambda result: result.is_complete)
            if self._cases is CASES:
                view.say("Letting two days pass: the sweep keeps images in use warm")
                self.sights = let_time_pass(cloud)
        self.facts = cloud.facts()
        return results

    def _add_gpu_node(self, name: str, count: int = 1) -> None:
        self._cloud.gke.add_node(
            name, pool="l4-spot", accelerator="nvidia-l4", accelerator_count=count, spot=True
        )

    def _deploy(self) -> None:
        api = self._cloud.kubernetes.api
        api.create("namespaces", dict(NAMESPACE_BODY), user=_USER)
        for case in self._cases:
            if case.is_build:
                case.build(self._cloud)
            else:
                api.create("deployments.apps", case.deployment(), NAMESPACE, user=_USER)
            if case.replicas:
                self._cordon_for(case.name)

    def _cordon_for(self, name: str) -> None:
        """
        Leave the node to the pod that is there first, and that pulls from the upstream.

        A warmup of an image that its node already holds does not fill the streaming cache.
        """
        gke, nodes = self._cloud.gke, list[str]()

        def is_bound() -> bool:
            pods = self._cloud.kubernetes.api.list("pods", NAMESPACE, label_selector=f"app={name}")
            nodes[:] = [pod["spec"]["nodeName"] for pod in pods if "nodeName" in pod["spec"]]
            return bool(nodes)

        gke.wait_for(is_bound, _TIMEOUT_S)
        for node in nodes:
            gke.cordon(node)
            self._cordoned.add(node)

    def _deploy_again(self, results: list[Result]) -> None:
        """Pull each warm image on a fresh node: nodes that may hold it are cordoned."""
        warm = [each.case for each in results if each.case.streams]
        for node in set(_FIRST_NODES) - self._cordoned:
            self._cloud.gke.cordon(node)
        nodes = [f"gke-gpu-l4-spot-fresh-{number}" for number in range(_SECOND_NODES)]
        for node in nodes:
            self._add_gpu_node(node, count=len(warm))
        for case, node in zip(warm, itertools.cycle(nodes), strict=False):
            if case.is_rewritten:
                self._scale(case.name, replicas=2)
                continue
            body = make_deployment(
                f"{case.name}-again",
                str(case.mirror),
                node_selector={**L4_SPOT, "kubernetes.io/hostname": node},
            )
            self._cloud.kubernetes.api.create("deployments.apps", body, NAMESPACE, user=_USER)

    def _scale(self, name: str, *, replicas: int) -> None:
        """Scale a Deployment, as ``kubectl scale`` does."""
        patch = {"spec": {"replicas": replicas}}
        self._cloud.kubernetes.api.patch("deployments.apps", name, patch, NAMESPACE, user=_USER)

    def _wait(self, is_done: Callable[[Result], bool]) -> list[Result]:
        """Show the results until all are done, or time is up."""
        due = time.monotonic() + _TIMEOUT_S
        pause = threading.Event()
        while True:
            jobs = jobs_by_cause(self._cloud.kubernetes.api.list("jobs.batch", "prestream"))
            facts = self._cloud.facts()
            results = read_results(self._cases, facts, jobs, self._find_rewritten())
            self._view.update(results)
            if all(is_done(result) for result in results) or time.monotonic() > due:
                return results
            pause.wait(_TICK_S)

    def _find_rewritten(self) -> dict[str, str]:
        """Return the images of pods whose Deployment names another one, by its name."""
        api, images = self._cloud.kubernetes.api, {}
        for body in api.list("deployments.apps", NAMESPACE):
            name, written = body["metadata"]["name"], _image_of(body["spec"]["template"])
            for pod in api.list("pods", NAMESPACE, label_selector=f"app={name}"):
                if _image_of(pod) != written:
                    images[name] = _image_of(pod)
        return images


def _image_of(pod: dict[str, Any]) -> str:
    image: str = pod["spec"]["containers"][0]["image"]
    return image
