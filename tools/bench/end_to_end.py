"""
From a write to the Kubernetes API to the warmup's Job, with warm instances.

The floor goes the same way through the same parts: the cluster's audit log, the router and its
sink, a topic, a push, a function, a topic, a push, a function, and a Job. Its two functions do one
call each and look at nothing (``bench/floor``). So what is above it is ours.
"""

import itertools
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.catalogue.image import Image
from sandbox.demo.case import make_deployment
from sandbox.local_cloud import ROOT, LocalCloud
from tools.bench.calls import CountedCalls, is_job_post
from tools.bench.figures import Spread
from tools.bench.measuring import FailedDeliveryError
from tools.bench.scenarios import L4, NODE
from tools.bench.stages import ARCHIVES, PYTHON

_HOPS: Final = ("audit_log", "image_reference")
_FLOOR: Final = ROOT / "tools" / "bench" / "floor"
_WARM_UP: Final = 3
_TIMEOUT_S: Final = 30.0
_USER = "dev@example.com"


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Seconds from the write to the Job, of ours and of the floor."""

    seconds: Spread
    floor_s: Spread
    ratio: Spread

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return asdict(self)


class Way:
    """A local cloud with the two functions between a write and a Job, ours or the floor's."""

    def __init__(self, archives: Path | None = None) -> None:
        self._calls = CountedCalls()
        self._cloud = LocalCloud(scale=1.0, faults=self._calls, acts=False)
        self._archives = archives
        self._numbers = itertools.count(1)

    @contextmanager
    def open(self) -> Iterator["Way"]:
        """Serve the functions, and make their instances warm."""
        cloud = self._cloud
        cloud.start()
        try:
            cloud.apply_manifests()
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml"}}
            cloud.kubernetes.api.create("namespaces", namespace, user=_USER)
            cloud.gke.add_node(NODE, pool="l4-spot", accelerator="nvidia-l4")
            cloud.serve(self._archives or _assemble_floor(cloud.folder), PYTHON, _HOPS)
            for _ in range(_WARM_UP):
                self.go()
            yield self
        finally:
            cloud.stop()

    def go(self) -> float:
        """
        Create a Deployment, and return the seconds until its Job is made.

        Raises:
            FailedDeliveryError: The Job was not created.
        """
        name = f"app-{next(self._numbers)}"
        image = Image((30_000_000, 2_100_000_000), build=name)
        self._cloud.catalogue.add(f"docker.io/bench/{name}", "1", image)
        body = make_deployment(name, f"bench/{name}:1", node_selector=L4)
        self._calls.take()
        started = time.perf_counter()
        self._cloud.kubernetes.api.create("deployments.apps", body, "ml", user=_USER)
        call = self._calls.wait_for(is_job_post, _TIMEOUT_S)
        if call is None:
            lines = {each.name: each.lines[-2:] for each in self._cloud.functions.values()}
            raise FailedDeliveryError(f"no Job was made for a Deployment: {lines}")
        self._settle()
        return call.at - started

    def _settle(self) -> None:
        """Wait until every delivery has ended, and delete the Job."""
        pubsub, api = self._cloud.pubsub, self._cloud.kubernetes.api
        if pubsub is not None:
            pubsub.settled(_TIMEOUT_S)
        for job in api.list("jobs.batch", "prestream"):
            api.delete("jobs.batch", job["metadata"]["name"], "prestream", user=_USER)


def measure_end_to_end(rounds: int) -> EndToEnd:
    """
    Go both ways in turn, so many times each.

    Raises:
        FailedDeliveryError: No Job was made.
    """
    with ExitStack() as stack:
        ours = stack.enter_context(Way(ARCHIVES).open())
        floor = stack.enter_context(Way().open())
        pairs = [(ours.go(), floor.go()) for _ in range(rounds)]
    return EndToEnd(
        seconds=Spread.of([one for one, _ in pairs]),
        floor_s=Spread.of([other for _, other in pairs]),
        ratio=Spread.of([one / other for one, other in pairs]),
    )


def _assemble_floor(folder: Path) -> Path:
    archives = folder / "floor"
    archives.mkdir()
    for name in _HOPS:
        with zipfile.ZipFile(archives / f"{name}.zip", "w") as archive:
            archive.write(_FLOOR / name / "main.py", "main.py")
    return archives
