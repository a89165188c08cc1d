"""Cold and streamed pulls on the sandbox's nodes, and the retries of the log router."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.demo_catalogue import demo_catalogue
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.gke.gke_cluster import GkeCluster
from sandbox.gke.log_router import LogRouter, Sink
from sandbox.kubernetes.server import KubernetesServer
from sandbox.streaming_cache import StreamingCache

APPS = "us-central1-docker.pkg.dev/demo/apps"
RAY = f"{APPS}/ray-ml:2.7.0"
REPEATED = Image((9_000_000, 90_000_000), repeats_layer=True, build="repeated")
TOOL = Image((1_000_000,), build="tool")
SHARES = (
    "is backed by secondary boot disk caching by 0.0% (0/24 layers), by image streaming by 100.0% "
    "(24/24 layers)."
)
DEV = "dev@example.com"
TIMEOUT_S = 20.0


@dataclass
class Lab:
    """A cluster with its registry."""

    clock: Clock
    faults: Faults
    catalogue: Catalogue
    cache: StreamingCache
    registry: ArtifactRegistry
    cluster: GkeCluster

    def wait(self, predicate: Callable[[], Any]) -> None:
        assert self.cluster.wait_for(lambda: bool(predicate()), TIMEOUT_S)

    def run(self, name: str, image: str, *, node: str = "n1", policy: str = "IfNotPresent") -> None:
        container = {"name": "main", "image": image, "imagePullPolicy": policy}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "containers": [container],
                "nodeSelector": {"kubernetes.io/hostname": node},
                "tolerations": [{"operator": "Exists"}],
            },
        }
        self.cluster.server.api.create("pods", body, user=DEV)

    def ran(self, name: str, image: str, **where: str) -> str:
        """Run a pod until it runs, and return the message of its pull."""
        self.run(name, image, **where)
        self.wait(lambda: self.pod(name)["status"]["phase"] == "Running")
        (message,) = self.events(name, "Pulled")
        return message

    def pod(self, name: str) -> dict[str, Any]:
        return self.cluster.server.api.read("pods", name, "default")

    def events(self, about: str, reason: str) -> list[str]:
        return [
            event["message"]
            for event in self.cluster.server.api.list("events", "default")
            if event["involvedObject"]["name"] == about and event["reason"] == reason
        ]


def seconds(message: str) -> float:
    match = re.search(r" in (?:(\d+)m)?([\d.]+)(m?s) \(", message)
    assert match is not None
    return int(match[1] or 0) * 60 + float(match[2]) / (1000 if match[3] == "ms" else 1)


@pytest.fixture
def lab() -> Iterator[Lab]:
    before = set(threading.enumerate())
    clock, faults, catalogue = Clock(1000), Faults(), demo_catalogue()
    catalogue.add("ghcr.io/team/tool", "1", TOOL)
    cache = StreamingCache(clock)
    registry = ArtifactRegistry(clock, faults, catalogue, cache).start()
    ray = demo_catalogue().fetch("docker.io", "anyscale/ray-ml", "2.7.0")
    sizes = tuple(layer["size"] for layer in ray.content["layers"])
    registry.push(f"{APPS}/ray-ml", "2.7.0", Image(sizes, flavour="docker", build="ray"))
    registry.push(f"{APPS}/tool", "1", TOOL)
    registry.push(f"{APPS}/repeated", "1", REPEATED)
    registry.push("us-east1-docker.pkg.dev/demo/apps/tool", "1", TOOL)
    server = KubernetesServer(clock, faults).start()
    cluster = GkeCluster(
        server,
        clock,
        project="demo",
        location="us-central1",
        name="gpu",
        registry=registry.address,
        cache=cache,
        catalogue=catalogue,
    ).start()
    lab = Lab(clock, faults, catalogue, cache, registry, cluster)
    cluster.add_node("n1", pool="default")
    yield lab
    cluster.stop()
    server.stop()
    registry.stop()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not left & {"log-router", "pod-worker"}


def test_first_pull_is_cold_and_lets_the_next_node_stream(lab: Lab) -> None:
    lab.cluster.add_node("n2", pool="l4", accelerator="nvidia-l4", spot=True)

    cold = lab.ran("first", RAY, node="n1")
    streamed = lab.ran("second", RAY, node="n2")

    assert seconds(cold) == pytest.approx(317, abs=1)
    assert seconds(streamed) == pytest.approx(8, abs=0.5)
    assert cold.endswith(" Image size: 9697278139 bytes.")
    assert streamed.endswith(" Image size: 9697278139 bytes.")
    assert lab.events("n1", "ImageStreaming") == []
    assert lab.events("n2", "ImageStreaming") == [
        f"Image {RAY} is backed by image streaming.",
        f"Image {RAY} {SHARES}",
    ]


def test_node_without_streaming_neither_streams_nor_fills_the_cache(lab: Lab) -> None:
    lab.cluster.add_node("plain-1", pool="plain", streaming=False)
    lab.cluster.add_node("plain-2", pool="plain", streaming=False)

    first = lab.ran("first", RAY, node="plain-1")
    other = lab.ran("other", RAY, node="n1")
    again = lab.ran("again", RAY, node="plain-2")

    assert all(seconds(message) > 300 for message in (first, other, again))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(f"{APPS}/repeated:1", id="repeated-layer"),
        pytest.param("us-east1-docker.pkg.dev/demo/apps/tool:1", id="other-region"),
        pytest.param("ghcr.io/team/tool:1", id="upstream"),
    ],
)
def test_image_that_cannot_stream_is_pulled_cold_every_time(lab: Lab, image: str) -> None:
    lab.cluster.add_node("n2", pool="default")

    first = lab.ran("first", image, node="n1")
    second = lab.ran("second", image, node="n2")

    assert seconds(first) == seconds(second)
    assert lab.events("n2", "ImageStreaming") == []


def test_node_reports_the_images_that_it_holds(lab: Lab) -> None:
    lab.cluster.add_node("n2", pool="default", images=["ghcr.io/team/tool:1"])
    lab.ran("p", RAY)

    def names(node: str) -> list[str]:
        images = lab.cluster.server.api.read("nodes", node)["status"]["images"]
        return [name for image in images for name in image["names"]]

    status = lab.pod("p")["status"]["containerStatuses"][0]
    assert names("n2") == [f"ghcr.io/team/tool@{TOOL.digest}", "ghcr.io/team/tool:1"]
    assert status["imageID"] in names("n1")
    assert status["imageID"].startswith(f"{APPS}/ray-ml@sha256:")


def test_entries_are_published_again_until_the_topic_takes_them() -> None:
    taken: list[bytes] = []
    stored: list[dict[str, Any]] = []
    failures = iter([ConnectionError("gone"), KeyError("no topic")])

    def publish(_topic: str, data: bytes, attributes: dict[str, str]) -> None:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        assert attributes == {"logging.googleapis.com/timestamp": "2024-10-03T01:02:03Z"}
        taken.append(data)

    sinks = [Sink("all", "", "all")]
    router = LogRouter("demo", "us", "gpu", Clock(), publish, sinks, stored.append).start()
    entries = [{"insertId": str(n), "timestamp": "2024-10-03T01:02:03Z"} for n in range(2)]
    for entry in entries:
        router.route(entry)

    assert router.flush(TIMEOUT_S)
    router.stop()
    assert [json.loads(data) for data in taken] == entries
    assert stored == entries


def test_router_that_cannot_publish_can_be_stopped() -> None:
    def publish(_topic: str, _data: bytes, _attributes: dict[str, str]) -> None:
        tried.set()
        raise ConnectionError("gone")

    tried, before = threading.Event(), set(threading.enumerate())
    router = LogRouter("demo", "us", "gpu", Clock(), publish, [Sink("all", "", "all")]).start()
    router.route({"insertId": "1", "timestamp": "2024-10-03T01:02:03Z"})
    assert tried.wait(TIMEOUT_S)

    router.stop()

    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert "log-router" not in left
