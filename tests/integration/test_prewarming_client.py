"""The client of the prewarm API: its requests, and how it reads the answers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import flask
import pytest

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.http_service import HttpServer
from sandbox.streaming_cache import StreamingCache
from shared.clients import prewarm_api as prewarming
from shared.clients.prewarm_api import PrewarmingClient
from shared.domain.image_reference import Digest
from shared.domain.prewarm import ArtifactVersion, PrewarmRefusedError, RefusalKind
from shared.errors import ConfigurationError, EventError, TransientError
from shared.pipeline.ports import PrewarmApi
from tests.contract.prewarming_conformance import (
    APPS,
    REGION,
    TOOL,
    PrewarmingConformance,
    pushed,
    version_of,
)

pytestmark = pytest.mark.integration

PAIR = Image((700_000, 60_000_000), ("linux/amd64", "linux/arm64"), build="pair")


class SandboxWorld:
    def __init__(self) -> None:
        self.clock, self.faults = Clock(), Faults()
        self.cache = StreamingCache(self.clock)
        self.server = ArtifactRegistry(self.clock, self.faults, Catalogue(), self.cache).start()
        self.api: PrewarmApi = PrewarmingClient(emulator_host=self.server.address)

    def push(self, path: str, image: Image) -> None:
        self.server.push(f"{APPS.registry}/{APPS.path}/{path}", "1", image)

    def advance(self, by: timedelta) -> None:
        self.clock.advance(by)

    def fail(self, reason: str) -> None:
        self.server.switches.prewarm_error = reason

    def limit(self, size: int) -> None:
        self.server.switches.prewarm_limit_bytes = size

    def answer(self, status: int, message: str, **fault: Any) -> None:
        """Let the API answer so."""
        body = {"error": {"code": status, "message": message, "status": "ANY"}}
        self.faults.add(Fault("artifact-registry", status=status, body=body, **fault))


@pytest.fixture
def world() -> Iterator[SandboxWorld]:
    world = SandboxWorld()
    yield world
    world.server.stop()


class TestPrewarmingClient(PrewarmingConformance):
    """The client, against the sandbox."""


def test_platform_of_an_index_is_cached_by_its_own_digest(world: SandboxWorld) -> None:
    world.push("pair", PAIR)
    arm = PAIR.manifest_for("linux/arm64")
    version = ArtifactVersion(APPS, "pair", Digest(arm.digest), "linux/arm64/v8")

    world.api.prewarm(version, location=REGION, retention_days=1)
    world.advance(timedelta(minutes=2))
    found = world.api.check(version, location=REGION)

    assert found is not None
    assert (found.digest, found.state) == (arm.digest, "ACTIVE")
    assert world.cache.has(REGION, arm.digest)
    assert not world.cache.has(REGION, PAIR.manifest_for("linux/amd64").digest)


def test_pages_of_a_list_are_read_to_the_end(
    world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prewarming, "_PAGE_SIZE", 2)
    images = [Image((1_000_000 + number,), build=f"app-{number}") for number in range(5)]
    for number, image in enumerate(images):
        version = pushed(world, f"app-{number}", image)
        world.api.prewarm(version, location=REGION, retention_days=3)

    found = [each.digest for each in world.api.list_artifacts(APPS)]

    assert sorted(found) == sorted(image.digest for image in images)
    lists = [path for method, _, path, _ in world.server.requests if method == "GET"]
    assert len(lists) == 3


def test_repositories_of_a_project_are_listed(
    world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prewarming, "_PAGE_SIZE", 1)
    client = PrewarmingClient(emulator_host=world.server.address)
    other = replace(APPS, repository_id="models")
    far = replace(APPS, location="europe-west4")
    for repository in (APPS, other, far):
        world.server.push(f"{repository.registry}/{repository.path}/app", "1", PAIR)

    assert set(client.list_repositories("demo")) == {APPS, other, far}
    assert list(client.list_repositories("another")) == []


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        pytest.param(
            403,
            "Permission 'artifactregistry.repositories.prewarmArtifact' denied",
            "permission",
            id="permission",
        ),
        pytest.param(403, "Location us-west9 is not found", "unavailable", id="no-such-location"),
        pytest.param(400, "invalid stream_location 'us'", "unavailable", id="no-region"),
        pytest.param(
            400, "prewarming is not supported in region x", "unavailable", id="not-in-region"
        ),
        pytest.param(400, "artifact type is not supported", "unsupported", id="unsupported"),
        pytest.param(501, "Method not implemented", "unavailable", id="not-implemented"),
        pytest.param(405, "Method not allowed", "unavailable", id="not-served"),
        pytest.param(429, "prewarm storage of 100 GB is exceeded", "full", id="full"),
    ],
)
def test_refusal_has_its_kind_and_a_hint(
    world: SandboxWorld, status: int, message: str, kind: RefusalKind
) -> None:
    version = pushed(world, "team/tool", TOOL)
    world.answer(status, message)

    with pytest.raises(
        PrewarmRefusedError, match=f"cannot prewarmArtifact .*: {status} "
    ) as refused:
        world.api.prewarm(version, location=REGION, retention_days=3)

    assert refused.value.kind == kind
    assert refused.value.hint.endswith(".")


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        pytest.param(401, "no valid credentials", ConfigurationError, id="no-identity"),
        pytest.param(500, "internal", TransientError, id="internal"),
        pytest.param(503, "unavailable", TransientError, id="unavailable"),
        pytest.param(504, "too slow", TransientError, id="too-slow"),
        pytest.param(599, "strange", TransientError, id="unknown-server-error"),
        pytest.param(
            429,
            "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute per region'",
            TransientError,
            id="quota-of-requests",
        ),
        pytest.param(0, "", TransientError, id="no-answer"),
    ],
)
def test_failure_of_any_call_is_classified_by_its_status(
    world: SandboxWorld, status: int, message: str, error: type[EventError]
) -> None:
    version = pushed(world, "team/tool", TOOL)
    world.answer(status, message)

    for ask in (
        lambda: world.api.prewarm(version, location=REGION, retention_days=3),
        lambda: world.api.check(version, location=REGION),
        lambda: list(world.api.list_artifacts(APPS)),
        lambda: world.api.remove(version, location=REGION),
    ):
        with pytest.raises(error):
            ask()


def test_conflict_counts_as_requested(world: SandboxWorld) -> None:
    version = pushed(world, "team/tool", TOOL)
    world.answer(409, "already being prewarmed")

    assert world.api.prewarm(version, location=REGION, retention_days=3) is None


class Scripted:
    """An Artifact Registry with answers of the test, which records the requests."""

    def __init__(self) -> None:
        self.answers: Any = {}
        self.asked: list[dict[str, Any]] = []
        app = flask.Flask(__name__)
        app.add_url_rule("/<path:path>", view_func=self._answer, methods=["GET", "POST"])
        self.server = HttpServer(app).start()
        self.api = PrewarmingClient(emulator_host=self.server.address)

    def _answer(self, path: str) -> flask.Response:
        body = flask.request.get_json(silent=True) or {}
        self.asked.append({"path": path, **body})
        text = self.answers if isinstance(self.answers, str) else json.dumps(self.answers)
        return flask.Response(text, content_type="application/json")


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.server.stop()


def test_request_names_the_version_and_its_platform_in_full(scripted: Scripted) -> None:
    scripted.api.prewarm(version_of("team/ml/tool", TOOL), location=REGION, retention_days=7)

    assert scripted.asked == [
        {
            "path": f"v1/{APPS}:prewarmArtifact",
            "version": f"{APPS}/packages/team%2Fml%2Ftool/versions/{TOOL.digest}",
            "platform": {"os": "linux", "architecture": "amd64"},
            "retentionDays": "7",
            "streamLocation": REGION,
        }
    ]


def test_running_operation_is_not_waited_for(scripted: Scripted) -> None:
    scripted.answers = {"name": "projects/demo/locations/us-central1/operations/1"}

    version = version_of("team/tool", TOOL)
    assert scripted.api.prewarm(version, location=REGION, retention_days=3) is None
    assert len(scripted.asked) == 1


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        pytest.param(7, "denied", "permission", id="permission-denied"),
        pytest.param(3, "no image", "unsupported", id="invalid-argument"),
        pytest.param(9, "not in this region", "unavailable", id="failed-precondition"),
        pytest.param(5, "not found", "unknown", id="not-found"),
        pytest.param(8, "storage is full", "full", id="resource-exhausted"),
        pytest.param(12, "unimplemented", "unavailable", id="unimplemented"),
        pytest.param(14, "later", TransientError, id="unavailable"),
        pytest.param(13, "later", TransientError, id="internal"),
        pytest.param(16, "later", ConfigurationError, id="unauthenticated"),
    ],
)
def test_failed_operation_is_classified_by_its_code(
    scripted: Scripted, code: int, message: str, expected: RefusalKind | type[EventError]
) -> None:
    scripted.answers = {"done": True, "error": {"code": code, "message": message}}
    error = PrewarmRefusedError if isinstance(expected, str) else expected

    with pytest.raises(error) as failed:
        scripted.api.prewarm(version_of("team/tool", TOOL), location=REGION, retention_days=3)

    assert getattr(failed.value, "kind", error) == expected


@pytest.mark.parametrize("answer", ["<html>", "[]", "", '"text"'])
def test_answer_without_a_json_object_is_transient(scripted: Scripted, answer: str) -> None:
    scripted.answers = answer

    with pytest.raises(TransientError, match="not a JSON object"):
        scripted.api.check(version_of("team/tool", TOOL), location=REGION)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"uri": "apps/tool"}, id="no-digest"),
        pytest.param({"uri": 7}, id="no-text"),
        pytest.param({"expirationTime": None}, id="no-end"),
        pytest.param({"expirationTime": "soon"}, id="no-time"),
        pytest.param({"sizeBytes": "much"}, id="no-size"),
    ],
)
def test_malformed_artifact_counts_as_missing(scripted: Scripted, fields: dict[str, Any]) -> None:
    artifact = {
        "uri": f"us-docker.pkg.dev/demo/apps/tool@{TOOL.digest}",
        "expirationTime": "2026-11-27T07:30:00Z",
        "sizeBytes": "7",
        "location": REGION,
    }
    version = version_of("team/tool", TOOL)
    scripted.answers = {"prewarmedArtifact": artifact}
    sound = scripted.api.check(version, location=REGION)

    scripted.answers = {"prewarmedArtifact": artifact | fields}

    assert sound is not None
    assert sound.state == "CACHING"
    assert scripted.api.check(version, location=REGION) is None
