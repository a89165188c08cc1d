"""The sandbox's prewarm API: artifacts come into the streaming cache without a node."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.streaming_cache import StreamingCache

REPOSITORY = "projects/demo/locations/us-central1/repositories/apps"
REGION = "us-central1"
TOOL = Image((500_000, 30_000_000), build="tool")
LARGE = Image((60_000_000_000,), build="large")
PAIR = Image((700_000, 60_000_000), ("linux/amd64", "linux/arm64"), build="pair")


@dataclass(frozen=True)
class Sandbox:
    clock: Clock
    cache: StreamingCache
    registry: ArtifactRegistry
    http: requests.Session

    def call(self, method: str, package: str, **request: Any) -> requests.Response:
        body = {"tag": f"{REPOSITORY}/packages/{package}/tags/v1", **request}
        url = f"http://{self.registry.address}/v1/{REPOSITORY}:{method}"
        return self.http.post(url, json=body, timeout=10)

    def state(self, package: str, **request: Any) -> str:
        answer = self.call("checkPrewarmedArtifact", package, **request)
        state: str = answer.json()["prewarmedArtifact"]["state"]
        return state

    def listed(self) -> list[dict[str, Any]]:
        url = f"http://{self.registry.address}/v1/{REPOSITORY}/prewarmedArtifacts"
        artifacts: list[dict[str, Any]] = (
            self.http.get(url, timeout=10).json().get("prewarmedArtifacts", [])
        )
        return artifacts


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    clock = Clock()
    cache = StreamingCache(clock)
    registry = ArtifactRegistry(clock, Faults(), Catalogue(), cache).start()
    for package, image in {"team/tool": TOOL, "large": LARGE, "pair": PAIR}.items():
        registry.push(f"us-central1-docker.pkg.dev/demo/apps/{package}", "v1", image)
    with requests.Session() as http:
        yield Sandbox(clock, cache, registry, http)
    registry.stop()


def test_an_artifact_is_caching_then_active_then_expired(sandbox: Sandbox) -> None:
    operation = sandbox.call("prewarmArtifact", "team%2Ftool", retentionDays="2").json()
    caching = sandbox.state("team%2Ftool")
    early = sandbox.cache.has(REGION, TOOL.digest)

    sandbox.clock.advance(timedelta(minutes=2))
    active = sandbox.state("team%2Ftool")
    cached = sandbox.cache.has(REGION, TOOL.digest)
    sandbox.clock.advance(timedelta(days=2))

    assert operation["done"]
    assert (caching, early) == ("CACHING", False)
    assert (active, cached) == ("ACTIVE", True)
    assert not sandbox.cache.has(REGION, TOOL.digest)
    assert sandbox.call("checkPrewarmedArtifact", "team%2Ftool").status_code == 404


def test_the_cache_fills_though_nobody_asks(sandbox: Sandbox) -> None:
    sandbox.call("prewarmArtifact", "team%2Ftool")
    sandbox.clock.advance(timedelta(minutes=2))

    deadline = time.monotonic() + 10
    while not sandbox.cache.has(REGION, TOOL.digest):
        assert time.monotonic() < deadline, "the streaming cache never held the artifact"


def test_prewarming_again_keeps_an_artifact_longer(sandbox: Sandbox) -> None:
    sandbox.call("prewarmArtifact", "team%2Ftool", retentionDays="2")
    sandbox.clock.advance(timedelta(days=1))
    sandbox.call("prewarmArtifact", "team%2Ftool", retentionDays="2")

    sandbox.clock.advance(timedelta(hours=36))

    assert sandbox.state("team%2Ftool") == "ACTIVE"
    assert sandbox.cache.has(REGION, TOOL.digest)


def test_an_artifact_that_cannot_be_cached_says_why(sandbox: Sandbox) -> None:
    sandbox.registry.switches.prewarm_error = "layer is broken"
    sandbox.call("prewarmArtifact", "team%2Ftool")
    sandbox.clock.advance(timedelta(minutes=2))

    (artifact,) = sandbox.listed()

    assert artifact["state"] == "FAILED"
    assert artifact["errorMessage"] == "layer is broken"
    assert not sandbox.cache.has(REGION, TOOL.digest)


def test_the_project_s_storage_is_full_unless_the_oldest_may_go(sandbox: Sandbox) -> None:
    sandbox.registry.switches.prewarm_limit_bytes = 70_000_000_000
    sandbox.call("prewarmArtifact", "large")
    sandbox.call("prewarmArtifact", "team%2Ftool")
    second = Image((50_000_000_000,), build="second")
    sandbox.registry.push("us-central1-docker.pkg.dev/demo/apps/second", "v1", second)

    refused = sandbox.call("prewarmArtifact", "second")
    forced = sandbox.call("prewarmArtifact", "second", force=True)

    assert refused.status_code == 429
    assert refused.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert forced.status_code == 200
    names = {artifact["uri"].partition("@")[0].rpartition("/")[2] for artifact in sandbox.listed()}
    assert names == {"tool", "second"}


def test_of_an_index_a_platform_must_be_named_and_is_what_gets_cached(sandbox: Sandbox) -> None:
    arm = {"os": "linux", "architecture": "arm64"}

    without = sandbox.call("prewarmArtifact", "pair")
    sandbox.call("prewarmArtifact", "pair", platform=arm)
    sandbox.clock.advance(timedelta(minutes=2))

    assert without.status_code == 400
    assert sandbox.state("pair") == "ACTIVE"
    assert sandbox.cache.has(REGION, PAIR.manifest_for("linux/arm64").digest)
    assert not sandbox.cache.has(REGION, PAIR.manifest_for("linux/amd64").digest)


def test_another_region_has_a_cache_of_its_own(sandbox: Sandbox) -> None:
    sandbox.call("prewarmArtifact", "team%2Ftool", streamLocation="europe-west4")
    sandbox.clock.advance(timedelta(minutes=2))

    assert sandbox.state("team%2Ftool", streamLocation="europe-west4") == "ACTIVE"
    assert sandbox.cache.has("europe-west4", TOOL.digest)
    assert not sandbox.cache.has(REGION, TOOL.digest)
    assert sandbox.call("prewarmArtifact", "team%2Ftool", streamLocation="us").status_code == 400


def test_a_removed_artifact_streams_no_more(sandbox: Sandbox) -> None:
    sandbox.call("prewarmArtifact", "team%2Ftool")
    sandbox.clock.advance(timedelta(minutes=2))
    was_active = sandbox.state("team%2Ftool")

    removed = sandbox.call("removePrewarmedArtifact", "team%2Ftool")

    assert was_active == "ACTIVE"
    assert removed.json()["prewarmedArtifact"]["state"] == "ACTIVE"
    assert not sandbox.cache.has(REGION, TOOL.digest)
    assert sandbox.listed() == []


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        pytest.param({"tag": None}, 400, id="nothing-named"),
        pytest.param({"version": f"{REPOSITORY}/packages/a/versions/b"}, 400, id="both-named"),
        pytest.param({"tag": "v1"}, 400, id="no-resource-name"),
        pytest.param({"tag": f"{REPOSITORY}x/packages/large/tags/v1"}, 400, id="elsewhere"),
        pytest.param({"tag": f"{REPOSITORY}/packages/large/tags/v2"}, 404, id="no-such-tag"),
        pytest.param({"retentionDays": "-1"}, 400, id="no-time-at-all"),
    ],
)
def test_requests_that_name_nothing_are_refused(
    sandbox: Sandbox, request_body: dict[str, Any], status: int
) -> None:
    answer = sandbox.call("prewarmArtifact", "large", **request_body)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert sandbox.listed() == []
