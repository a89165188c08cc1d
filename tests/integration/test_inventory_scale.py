"""A cluster of ten thousand workloads: what a sweep of it costs in memory and in calls."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from sandbox.catalogue.image import Image
from sandbox.clock import Clock
from sandbox.demo.case import make_deployment
from sandbox.fault import Fault, Faults
from sandbox.kubernetes.server import KubernetesServer
from sandbox.local_cloud import PROJECT, Services
from shared.pipeline.sweep.inventory import KINDS
from tests.integration.pipelines import ADMIN, L4, MEDIUM

pytestmark = pytest.mark.integration

SWEEP = "scheduled_sweep"
MIRROR = f"projects/{PROJECT}/locations/us-central1/repositories/ghcr-io-mirror"
LIMIT_BYTES = 128 * 1024 * 1024
PAGE = 100
PODS = 1_000
WORKLOADS_AN_IMAGE = 4.5

# The annotation that kubectl leaves in each object, and managedFields of the API server.
REMARKS = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 4_000}


class CountedCalls(Faults):
    """No faults at all, but a count of what was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def hit(self, service: str, call: str) -> Fault | None:
        self.calls.append(call)
        return super().hit(service, call)


class Crowd:
    """A cloud with the sweep alone, and a cluster without controllers, which is filled quickly."""

    def __init__(self, folder: Path, archives: Path, python: Path) -> None:
        self.counted = CountedCalls()
        self.kubernetes = KubernetesServer(Clock(), self.counted).start()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(self.kubernetes.kubeconfig("crowd")))
        self.cloud = Services(kubeconfig=kubeconfig).start()
        self.cloud.artifact_registry.repositories[MIRROR] = {
            "name": MIRROR,
            "format": "DOCKER",
            "mode": "REMOTE_REPOSITORY",
            "labels": {"managed-by": "prestream"},
            "remoteRepositoryConfig": {"commonRepository": {"uri": "https://ghcr.io"}},
        }
        for namespace in ("ml", "prestream"):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            self.kubernetes.api.create("namespaces", body, user=ADMIN)
        self.cloud.serve(archives, python, [SWEEP])
        self.workloads = 0

    def stop(self) -> None:
        self.cloud.stop()
        self.kubernetes.stop()

    def grow(self, workloads: int) -> None:
        """Add Deployments that are scaled to zero, several for each image."""
        for number in range(self.workloads, workloads):
            name = f"ghcr.io/team/app-{int(number / WORKLOADS_AN_IMAGE)}"
            self.cloud.catalogue.add(name, "1", Image((MEDIUM,), build=name))
            body = make_deployment(f"app-{number}", f"{name}:1", node_selector=L4, replicas=0)
            body["metadata"]["annotations"] = REMARKS
            self.kubernetes.api.create("deployments.apps", body, "ml", user=ADMIN)
        self.workloads = workloads

    def run(self, pods: int) -> None:
        """Add pods that run an older digest of the first image's tag."""
        for number in range(pods):
            name = f"pod-{number}"
            image = "ghcr.io/team/app-0:1"
            deployment = make_deployment(name, image, node_selector=L4)
            body = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "annotations": REMARKS | {"managed-fields": "x" * 4000}},
                "spec": deployment["spec"]["template"]["spec"],
            }
            self.kubernetes.api.create("pods", body, "ml", user=ADMIN)
            container = {
                "name": "main",
                "image": image,
                "imageID": f"ghcr.io/team/app-0@sha256:{'a' * 64}",
                "containerID": "containerd://1",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-11-24T07:00:00Z"}},
            }
            status = {"status": {"phase": "Running", "containerStatuses": [container]}}
            self.kubernetes.api.patch("pods", name, status, "ml", user=ADMIN, subresource="status")

    def sweep(self) -> dict[str, Any]:
        """Sweep the cluster, and return the line of the delivery."""
        self.counted.calls.clear()
        self.cloud.artifact_registry.requests.clear()
        message = self.cloud.messaging.publish(
            "prestream-schedule", {"cluster": self.cloud.cluster}
        )
        line = self.cloud.functions[SWEEP].wait_for_line(
            lambda line: line.get("event_id") == message, 300.0
        )
        assert line is not None
        assert line["disposition"] == "handled", line
        return line

    def listed(self) -> Counter[str]:
        """Return how many pages of each path were read."""
        return Counter(
            call.partition("?")[0].removeprefix("GET ")
            for call in self.counted.calls
            if "limit=" in call
        )

    def manifest_requests(self) -> Counter[str]:
        """Return how often each manifest was asked for."""
        requests = self.cloud.artifact_registry.requests
        return Counter(path for _, _, path, _ in requests if "/manifests/" in path)

    def peak_bytes(self) -> int:
        """Return the most that the process of the function ever held."""
        server = psutil.Process(self.cloud.functions[SWEEP].pid)
        return max(map(_peak_of, [server, *server.children(recursive=True)]))


def _peak_of(process: psutil.Process) -> int:
    text = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


@pytest.fixture
def crowd(tmp_path: Path, archives: Path, deployed_python: Path) -> Iterator[Crowd]:
    crowd = Crowd(tmp_path, archives, deployed_python)
    yield crowd
    crowd.stop()


def test_ten_thousand_workloads_cost_pages_and_one_request_an_image_and_little_memory(
    crowd: Crowd,
) -> None:
    crowd.run(PODS)
    kinds = [kind for kind in KINDS if "." not in kind[0]]
    peaks = {}
    for workloads in (2_500, 10_000):
        crowd.grow(workloads - PODS)

        line = crowd.sweep()

        images = math.ceil((workloads - PODS) / WORKLOADS_AN_IMAGE)
        assert (line["workloads"], line["images"], line["due"]) == (workloads, images, images)
        assert line["moved"] == 1
        requests = crowd.manifest_requests()
        assert (len(requests), set(requests.values())) == (images, {1})
        listed = crowd.listed()
        assert listed["/apis/apps/v1/deployments"] == math.ceil((workloads - PODS) / PAGE)
        assert listed["/api/v1/pods"] == math.ceil(PODS / PAGE)
        # One page of every other kind, twice the Jobs of the queue, and the nodes of two rungs.
        pages = math.ceil((workloads - PODS) / PAGE) + math.ceil(PODS / PAGE)
        assert listed.total() == pages + len(kinds) - 1 + 2 + 2
        # Beside the lists: the version of the manifests, the kinds, and the proven mirrors.
        assert len(crowd.counted.calls) == listed.total() + 3
        peaks[workloads] = crowd.peak_bytes()

    assert peaks[10_000] < LIMIT_BYTES, peaks
    # Four times the workloads and images: what is distinct is kept, and no more pages at once.
    assert peaks[10_000] - peaks[2_500] < LIMIT_BYTES / 8, peaks
