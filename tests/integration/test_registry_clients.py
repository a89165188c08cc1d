"""The clients of Artifact Registry and its registries, against the sandbox's server."""

import gzip
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import flask
import pytest

from sandbox.artifact_registry.server import ArtifactRegistry as ArtifactRegistryServer
from sandbox.catalogue.images import Image
from sandbox.catalogue.upstreams import Catalogue
from sandbox.clock import Clock
from sandbox.faults import Fault, Faults
from sandbox.http_server import HttpServer
from sandbox.streaming_cache import StreamingCache
from shared.clients import artifact_registry, registries
from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.registries import RegistryClient
from shared.domain.manifests import (
    ACCEPT,
    OCI_INDEX,
    OCI_MANIFEST,
    InvalidManifestError,
    RegistryRefusalError,
)
from shared.domain.references import Digest, parse_reference
from shared.domain.repositories import (
    RemoteRepository,
    RepositoryName,
    UpstreamCredentials,
    UpstreamRefusedError,
)
from shared.errors import ConfigurationError, TransientError
from tests.contract.registry_conformance import (
    GHCR,
    GHCR_NAME,
    HUB,
    HUB_NAME,
    LOGIN,
    OTHER_LOGIN,
    TOOL,
    RegistryConformance,
    RepositoriesConformance,
    mirrored,
    refused,
)

pytestmark = pytest.mark.integration

STALL_S = 30.0
SHORT_S = 0.2
CUSTOM = RemoteRepository(
    RepositoryName("demo", "us-central1", "registry-mirror"),
    "registry.example.com",
    "https://registry.example.com",
    cleanup_days=7,
)


class SandboxWorld:
    def __init__(self) -> None:
        self.clock, self.faults, self.catalogue = Clock(), Faults(), Catalogue()
        self.server = ArtifactRegistryServer(
            self.clock, self.faults, self.catalogue, StreamingCache(self.clock)
        ).start()
        self.registry = RegistryClient(emulator_host=self.server.address)
        self.repositories = ArtifactRegistry(emulator_host=self.server.address)
        for host in ("docker.io", "ghcr.io", "registry.example.com"):
            self.catalogue.restore(host)

    def publish(self, name: str, tag: str, image: Image) -> str:
        return self.catalogue.add(name, tag, image)

    def push(self, name: RepositoryName, path: str, tag: str, image: Image) -> str:
        return self.server.push(f"{name.registry}/{name.path}/{path}", tag, image)

    def limit(self, registry: str, retry_after_s: int) -> None:
        self.catalogue.limit(registry, after=0, retry_after_s=retry_after_s)

    def lock(self, registry: str, login: UpstreamCredentials) -> None:
        self.catalogue.require_credentials(registry, login.username, login.password_secret_version)

    def spend_quota(self) -> None:
        self.faults.add(Fault("registry", status=429))

    def hide_unknown(self) -> None:
        self.server.switches.hide_unknown = True

    def slow_down(self) -> None:
        self.server.operation_delay_s = 3_600

    def finish(self) -> None:
        self.clock.advance(timedelta(hours=2))

    def fail(self) -> None:
        self.faults.add(Fault("registry"))
        self.faults.add(Fault("artifact-registry"))

    def calls(self, method: str) -> int:
        return sum(1 for request in self.server.requests if request[0] == method)


@pytest.fixture
def world() -> Iterator[SandboxWorld]:
    world = SandboxWorld()
    yield world
    world.server.stop()


class TestRegistryClient(RegistryConformance):
    """The client of the registry API."""

    @pytest.mark.parametrize("status", [403, 502])
    def test_an_upstream_s_refusal_is_told_by_its_words(
        self, world: SandboxWorld, status: int
    ) -> None:
        world.server.switches.refusal_status = status
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/secret", "1.0", TOOL)
        world.lock("docker.io", LOGIN)

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/secret:1.0"))

        assert refusal.status == 401
        assert refusal.by_upstream

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_broken_upstream_may_be_asked_again(self, world: SandboxWorld, status: int) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.catalogue.break_("docker.io", status)

        with pytest.raises(TransientError, match=str(status)):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

    def test_a_stalled_upstream_is_waited_for_no_longer_than_the_time_out(
        self, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registries, "TIMEOUT", (SHORT_S, SHORT_S))
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.catalogue.stall("docker.io", STALL_S)
        started = time.monotonic()

        with pytest.raises(TransientError, match="timed out"):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert time.monotonic() - started < STALL_S / 2
        world.catalogue.restore("docker.io")

    def test_a_connection_that_closes_without_an_answer_may_be_opened_again(
        self, world: SandboxWorld
    ) -> None:
        world.repositories.create_repository(HUB)
        world.publish("docker.io/team/tool", "1.0", TOOL)
        world.faults.add(Fault("registry", status=0, times=1))

        with pytest.raises(TransientError):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert world.registry.fetch_manifest(mirrored("team/tool:1.0")).digest == TOOL.digest

    @pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
    def test_a_passing_failure_is_the_world_s(self, world: SandboxWorld, status: int) -> None:
        world.faults.add(Fault("registry", status=status))

        with pytest.raises(TransientError, match=f"team/tool.*{status}"):
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
    def test_a_refusal_keeps_its_status(self, world: SandboxWorld, status: int) -> None:
        world.faults.add(Fault("registry", status=status))

        with refused() as refusal:
            world.registry.fetch_manifest(mirrored("team/tool:1.0"))

        assert refusal.status == status
        assert not refusal.by_upstream

    def test_nobody_listens(self) -> None:
        client = RegistryClient(emulator_host="127.0.0.1:1")

        with pytest.raises(TransientError, match="team/tool"):
            client.fetch_manifest(mirrored("team/tool:1.0"))

    def test_an_address_that_is_none_is_the_deployment_s_fault(self) -> None:
        client = RegistryClient(emulator_host="[::1")

        with pytest.raises(ConfigurationError, match="team/tool"):
            client.fetch_manifest(mirrored("team/tool:1.0"))


class TestArtifactRegistry(RepositoriesConformance):
    """The client of the repositories' REST API."""

    def test_a_mirror_of_docker_hub_has_all_that_was_asked_for(self, world: SandboxWorld) -> None:
        world.lock("docker.io", LOGIN)

        world.repositories.create_repository(
            RemoteRepository(HUB_NAME, "docker.io", None, LOGIN, cleanup_days=30)
        )

        made = world.server.repositories[str(HUB_NAME)]
        config = made["remoteRepositoryConfig"]
        assert (made["format"], made["mode"]) == ("DOCKER", "REMOTE_REPOSITORY")
        assert made["labels"] == {"managed-by": "prestream"}
        assert "docker.io" in made["description"]
        assert "docker.io" in config["description"]
        assert config["dockerRepository"] == {"publicRepository": "DOCKER_HUB"}
        assert "commonRepository" not in config
        assert config["upstreamCredentials"]["usernamePasswordCredentials"] == {
            "username": LOGIN.username,
            "passwordSecretVersion": LOGIN.password_secret_version,
        }
        (policy,) = made["cleanupPolicies"].values()
        assert policy["action"] == "DELETE"
        assert policy["condition"] == {"tagState": "ANY", "olderThan": f"{30 * 86_400}s"}
        assert not made.get("cleanupPolicyDryRun", False)

    def test_a_mirror_of_another_upstream_has_its_address(self, world: SandboxWorld) -> None:
        world.repositories.create_repository(CUSTOM)

        made = world.server.repositories[str(CUSTOM.name)]
        config = made["remoteRepositoryConfig"]
        assert config["commonRepository"] == {"uri": "https://registry.example.com"}
        assert "dockerRepository" not in config
        assert "upstreamCredentials" not in config
        (policy,) = made["cleanupPolicies"].values()
        assert policy["condition"]["olderThan"] == f"{7 * 86_400}s"

    def test_new_credentials_change_nothing_else(self, world: SandboxWorld) -> None:
        world.repositories.create_repository(GHCR)
        before = world.server.repositories[str(GHCR_NAME)]
        before["labels"]["team"] = "ml"
        before["cleanupPolicies"].clear()

        world.repositories.update_credentials(
            RemoteRepository(GHCR_NAME, "ghcr.io", "https://ghcr.io", LOGIN, cleanup_days=1)
        )

        after = dict(world.server.repositories[str(GHCR_NAME)])
        config = after["remoteRepositoryConfig"]
        assert config.pop("upstreamCredentials")["usernamePasswordCredentials"]["username"]
        ignored = {"updateTime"}
        assert {key: after[key] for key in after.keys() - ignored} == {
            key: before[key] for key in before.keys() - ignored
        }

    @pytest.mark.parametrize(
        ("repository", "uri", "is_docker_remote"),
        [
            pytest.param(
                {"mode": "STANDARD_REPOSITORY", "format": "DOCKER"}, None, False, id="standard"
            ),
            pytest.param(
                {"mode": "VIRTUAL_REPOSITORY", "format": "DOCKER"}, None, False, id="virtual"
            ),
            pytest.param(
                {
                    "mode": "REMOTE_REPOSITORY",
                    "format": "PYTHON",
                    "remoteRepositoryConfig": {"pythonRepository": {"publicRepository": "PYPI"}},
                },
                None,
                False,
                id="python",
            ),
            pytest.param(
                {
                    "mode": "REMOTE_REPOSITORY",
                    "format": "DOCKER",
                    "remoteRepositoryConfig": {"dockerRepository": {}},
                },
                None,
                False,
                id="unknown-preset",
            ),
            pytest.param(
                {
                    "mode": "REMOTE_REPOSITORY",
                    "format": "DOCKER",
                    "remoteRepositoryConfig": {
                        "dockerRepository": {"customRepository": {"uri": "https://ghcr.io"}}
                    },
                },
                "https://ghcr.io",
                True,
                id="custom",
            ),
        ],
    )
    def test_a_repository_of_somebody_else_is_described(
        self,
        world: SandboxWorld,
        repository: dict[str, Any],
        uri: str | None,
        *,
        is_docker_remote: bool,
    ) -> None:
        world.server.repositories[str(HUB_NAME)] = {"name": str(HUB_NAME), **repository}

        state = world.repositories.fetch_repository(HUB_NAME)

        assert state is not None
        assert (state.is_docker_remote, state.uri) == (is_docker_remote, uri)
        assert not state.is_ours

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, ConfigurationError),
            (401, ConfigurationError),
            (403, ConfigurationError),
            (429, TransientError),
            (500, TransientError),
            (503, TransientError),
            (504, TransientError),
        ],
    )
    def test_a_refused_call_is_told_by_its_status(
        self, world: SandboxWorld, status: int, error: type[Exception]
    ) -> None:
        world.repositories.create_repository(GHCR)
        world.faults.add(Fault("artifact-registry", status=status))

        with pytest.raises(error, match="cannot read repository projects/demo"):
            world.repositories.fetch_repository(HUB_NAME)
        with pytest.raises(error, match="cannot create repository projects/demo"):
            world.repositories.create_repository(HUB)
        with pytest.raises(error, match="cannot update repository projects/demo"):
            world.repositories.update_credentials(GHCR)

    def test_a_refused_call_is_not_repeated(self, world: SandboxWorld) -> None:
        world.faults.add(Fault("artifact-registry", status=503))

        with pytest.raises(TransientError):
            world.repositories.create_repository(HUB)

        assert world.calls("POST") == 1

    def test_somebody_else_changes_the_same_repository(self, world: SandboxWorld) -> None:
        world.repositories.create_repository(GHCR)
        world.faults.add(Fault("artifact-registry", call="PATCH", status=409))

        with pytest.raises(TransientError):
            world.repositories.update_credentials(GHCR)

    @pytest.mark.parametrize("call", ["fetch", "create", "update"])
    def test_a_stalled_call_is_waited_for_no_longer_than_the_time_out(
        self, world: SandboxWorld, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        monkeypatch.setattr(artifact_registry, "RPC_TIMEOUT_S", SHORT_S)
        world.faults.add(Fault("artifact-registry", stall_s=STALL_S))
        calls: dict[str, Callable[[], object]] = {
            "fetch": lambda: world.repositories.fetch_repository(HUB_NAME),
            "create": lambda: world.repositories.create_repository(HUB),
            "update": lambda: world.repositories.update_credentials(HUB),
        }
        started = time.monotonic()

        with pytest.raises(TransientError, match="timed out"):
            calls[call]()

        assert time.monotonic() - started < STALL_S / 2

    def test_a_lost_answer_to_a_creation_is_made_good_by_asking_again(
        self, world: SandboxWorld
    ) -> None:
        world.faults.add(Fault("artifact-registry", call="POST", status=0, applied=True, times=1))
        with pytest.raises(TransientError):
            world.repositories.create_repository(HUB)

        world.repositories.create_repository(HUB)

        assert world.repositories.fetch_repository(HUB_NAME) is not None

    def test_an_upstream_that_does_not_exist_makes_no_mirror(self, world: SandboxWorld) -> None:
        nowhere = RemoteRepository(HUB_NAME, "nowhere.example", "https://nowhere.example")

        with pytest.raises(UpstreamRefusedError, match="upstream"):
            world.repositories.create_repository(nowhere)

        assert world.server.repositories == {}

    def test_an_operation_that_fails_at_once_is_no_mirror_in_the_making(
        self, world: SandboxWorld
    ) -> None:
        message = "Failed to validate remote upstream: generic::unavailable"
        world.server.switches.operation_error = {"code": 3, "message": message}
        with pytest.raises(UpstreamRefusedError, match="Failed to validate"):
            world.repositories.create_repository(HUB)
        world.server.switches.operation_error = {"code": 13, "message": "internal error"}
        with pytest.raises(TransientError, match="internal error"):
            world.repositories.create_repository(HUB)
        world.server.switches.operation_error = {"code": 7, "message": "no access to the secret"}

        with pytest.raises(ConfigurationError, match="no access to the secret"):
            world.repositories.create_repository(HUB)

    def test_the_name_of_a_mirror_does_not_tell_an_upstream_s_refusal(
        self, world: SandboxWorld
    ) -> None:
        name = RepositoryName("demo", "us-central1", "Remote-Upstream")

        with pytest.raises(ConfigurationError, match="invalid repository_id"):
            world.repositories.create_repository(RemoteRepository(name, "docker.io", None))

    def test_a_location_that_is_none_is_the_deployment_s_fault(self, world: SandboxWorld) -> None:
        name = RepositoryName("demo", "mars-north1", "dockerhub-mirror")

        with pytest.raises(ConfigurationError, match="mars-north1"):
            world.repositories.create_repository(RemoteRepository(name, "docker.io", None))

    def test_nobody_listens(self) -> None:
        client = ArtifactRegistry(emulator_host="127.0.0.1:1")

        with pytest.raises(TransientError, match="read repository"):
            client.fetch_repository(HUB_NAME)

    def test_wrong_credentials_are_not_the_deployment_s_identity(self, world: SandboxWorld) -> None:
        world.lock("docker.io", LOGIN)

        with pytest.raises(UpstreamRefusedError, match="credentials are invalid"):
            world.repositories.create_repository(
                RemoteRepository(HUB_NAME, "docker.io", None, OTHER_LOGIN)
            )


# A registry that answers as a test says, and not as a registry should.


class Answers:
    """What a registry answers to each request for a manifest."""

    def __init__(self) -> None:
        self.body: Any = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        app = flask.Flask(__name__)
        app.get("/v2/<path:rest>")(self._answer)
        self.server = HttpServer(app).start()

    def manifest(self, **content: Any) -> bytes:
        layers = [{"digest": f"sha256:{'1' * 64}", "size": 7}]
        self.body = json.dumps({"schemaVersion": 2, "layers": layers, **content}).encode()
        self.headers = {"Content-Type": OCI_MANIFEST}
        return self.body  # type: ignore[no-any-return]

    def error(self, status: int, code: str, message: str, **headers: str) -> None:
        self.status = status
        self.body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def _answer(self, rest: str) -> flask.Response:
        self.requests.append((rest, dict(flask.request.headers)))
        return flask.Response(self.body, self.status, self.headers)


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.server.stop()


@pytest.fixture
def client(answers: Answers) -> RegistryClient:
    return RegistryClient(emulator_host=answers.server.address)


REFERENCE = parse_reference("us-docker.pkg.dev/demo/apps/tool:1.0")


def digest_of(body: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")


def test_a_registry_is_asked_for_indexes_and_manifests_under_the_host_s_name(
    answers: Answers, client: RegistryClient
) -> None:
    answers.manifest()

    client.fetch_manifest(REFERENCE)

    ((path, headers),) = answers.requests
    assert path == "demo/apps/tool/manifests/1.0"
    assert headers["Host"] == "us-docker.pkg.dev"
    assert headers["Accept"] == ACCEPT
    assert set(ACCEPT.split(", ")) == {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
    assert "Authorization" not in headers


def test_the_digest_that_the_registry_answers_is_the_image_s(
    answers: Answers, client: RegistryClient
) -> None:
    body = answers.manifest()
    answers.headers["Docker-Content-Digest"] = digest_of(body, "sha512")

    manifest = client.fetch_manifest(REFERENCE)

    assert manifest.digest == digest_of(body, "sha512")


def test_without_a_digest_it_is_computed(answers: Answers, client: RegistryClient) -> None:
    body = answers.manifest()

    assert client.fetch_manifest(REFERENCE).digest == digest_of(body)


def test_a_digest_that_the_content_does_not_have_is_not_trusted(
    answers: Answers, client: RegistryClient
) -> None:
    answers.manifest()
    answers.headers["Docker-Content-Digest"] = f"sha256:{'0' * 64}"

    with pytest.raises(InvalidManifestError, match="digest"):
        client.fetch_manifest(REFERENCE)


@pytest.mark.parametrize("says", ["asked", "actual", "nothing"])
def test_what_is_asked_for_by_digest_must_have_it(
    answers: Answers, client: RegistryClient, says: str
) -> None:
    asked = Digest(f"sha256:{'0' * 64}")
    body = answers.manifest()
    if says != "nothing":
        answers.headers["Docker-Content-Digest"] = asked if says == "asked" else digest_of(body)

    with pytest.raises(InvalidManifestError, match="digest"):
        client.fetch_manifest(REFERENCE.at(asked))


def test_what_is_asked_for_by_digest_is_known_by_it(
    answers: Answers, client: RegistryClient
) -> None:
    asked = digest_of(answers.manifest())
    answers.headers["Docker-Content-Digest"] = f"sha256:{'0' * 64}"

    assert client.fetch_manifest(REFERENCE.at(asked)).digest == asked


def test_a_malformed_digest_is_no_digest(answers: Answers, client: RegistryClient) -> None:
    answers.manifest()
    answers.headers["Docker-Content-Digest"] = "sha256:short"

    with pytest.raises(InvalidManifestError, match="digest"):
        client.fetch_manifest(REFERENCE)


def test_a_manifest_of_four_mebibytes_is_read(answers: Answers, client: RegistryClient) -> None:
    short = len(answers.manifest(annotations={"pad": ""}))
    answers.manifest(annotations={"pad": "x" * (4 * 1024 * 1024 - short)})
    assert len(answers.body) == 4 * 1024 * 1024

    assert client.fetch_manifest(REFERENCE).layers == (7,)


def test_a_larger_manifest_is_refused(answers: Answers, client: RegistryClient) -> None:
    # What follows a manifest is white space: cut off at the limit, it would still be one.
    answers.body = answers.manifest() + b" " * (4 * 1024 * 1024)

    with pytest.raises(InvalidManifestError, match="exceeds 4194304 bytes"):
        client.fetch_manifest(REFERENCE)


def test_a_manifest_that_grows_when_it_is_unpacked_is_refused(
    answers: Answers, client: RegistryClient
) -> None:
    answers.body = gzip.compress(answers.manifest() + b" " * (64 * 1024 * 1024))
    answers.headers["Content-Encoding"] = "gzip"

    with pytest.raises(InvalidManifestError, match="exceeds 4194304 bytes"):
        client.fetch_manifest(REFERENCE)


def test_a_packed_manifest_is_read(answers: Answers, client: RegistryClient) -> None:
    body = answers.manifest()
    answers.body = gzip.compress(body)
    answers.headers["Content-Encoding"] = "gzip"

    assert client.fetch_manifest(REFERENCE).digest == digest_of(body)


def test_a_body_that_cannot_be_unpacked_may_be_asked_for_again(
    answers: Answers, client: RegistryClient
) -> None:
    answers.manifest()
    answers.headers["Content-Encoding"] = "gzip"

    with pytest.raises(TransientError):
        client.fetch_manifest(REFERENCE)


def test_half_a_body_may_be_asked_for_again(answers: Answers, client: RegistryClient) -> None:
    body = answers.manifest()
    answers.body = (part for part in [body[:10]])
    answers.headers["Content-Length"] = str(len(body))
    answers.headers["Connection"] = "close"

    with pytest.raises(TransientError):
        client.fetch_manifest(REFERENCE)


def test_a_body_that_drips_is_not_waited_for(
    answers: Answers, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "RPC_TIMEOUT_S", SHORT_S)
    started = time.monotonic()

    def drip() -> Iterator[bytes]:
        while time.monotonic() - started < STALL_S:
            yield b" "
            time.sleep(SHORT_S / 10)

    answers.body = drip()

    with pytest.raises(TransientError, match="too slowly"):
        client.fetch_manifest(REFERENCE)

    assert time.monotonic() - started < STALL_S / 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Sign in</html>", id="html"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="object"),
        pytest.param(b"\xff\xfe{", id="bytes"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_an_answer_that_is_no_manifest_is_invalid(
    answers: Answers, client: RegistryClient, body: bytes
) -> None:
    answers.body = body

    with pytest.raises(InvalidManifestError):
        client.fetch_manifest(REFERENCE)


def test_an_index_is_known_by_its_content_type_alone(
    answers: Answers, client: RegistryClient
) -> None:
    entry = {"digest": f"sha256:{'2' * 64}", "platform": {"os": "linux", "architecture": "arm64"}}
    answers.body = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    answers.headers["Content-Type"] = f"{OCI_INDEX}; charset=utf-8"

    assert client.fetch_manifest(REFERENCE).digest_for("linux/arm64") == entry["digest"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Received invalid http status code 429 from external repository", id="429"),
        pytest.param("Received invalid HTTP status code 403 from external repository", id="403"),
        pytest.param("Received invalid http status code 404 from external repository", id="404"),
    ],
)
def test_what_an_upstream_refused_stands_in_a_bad_gateway(
    answers: Answers, client: RegistryClient, text: str
) -> None:
    answers.error(502, "UNKNOWN", f"{text}; url=https://ghcr.io/v2/")

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert str(refusal.status) in text
    assert refusal.by_upstream


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Received invalid http status code 503 from external repository", id="503"),
        pytest.param("Received invalid response from external repository", id="no-status"),
        pytest.param("Timeout while calling external repository", id="time-out"),
    ],
)
def test_a_bad_gateway_of_a_failing_upstream_may_be_asked_again(
    answers: Answers, client: RegistryClient, text: str
) -> None:
    answers.error(502, "UNKNOWN", f"{text}; url=https://ghcr.io/v2/")

    with pytest.raises(TransientError, match="external repository"):
        client.fetch_manifest(REFERENCE)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"denied", id="text"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"errors": []}', id="no-error"),
        pytest.param(b'{"errors": {"0": 1}}', id="object"),
        pytest.param(b'{"errors": ["denied"]}', id="error-of-text"),
        pytest.param(b'{"errors": [{"code": 5, "message": ["a"]}]}', id="other-types"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'"' + b"x" * 5_000_000, id="long"),
    ],
)
def test_a_refusal_in_any_form_is_a_refusal(
    answers: Answers, client: RegistryClient, body: bytes
) -> None:
    answers.status, answers.body = 403, body

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert refusal.status == 403
    assert len(str(refusal)) < 1_000


def test_a_long_message_of_an_upstream_is_shortened(
    answers: Answers, client: RegistryClient
) -> None:
    answers.error(403, "DENIED" * 100_000, "no " * 1_000_000)

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert refusal.message.startswith("no no")
    assert len(str(refusal)) < 1_000


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        pytest.param("120", 60, 120, id="seconds"),
        pytest.param("0", -60, 0, id="at-once"),
        pytest.param("9" * 5_000, 604_000, 604_800, id="endless"),
        pytest.param(
            format_datetime(NOW + timedelta(hours=2), usegmt=True), 7_000, 7_200, id="date"
        ),
        pytest.param(
            format_datetime(NOW + timedelta(hours=2)).replace("+0000", "-0000"),
            7_000,
            7_200,
            id="date-without-zone",
        ),
        pytest.param("Mon, 01 Jan 2001 00:00:00 GMT", -60, 0, id="past"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 604_000, 604_800, id="far-future"),
    ],
)
def test_both_forms_of_retry_after_are_read(
    answers: Answers, client: RegistryClient, header: str, least_s: float, most_s: float
) -> None:
    answers.error(429, "TOOMANYREQUESTS", "rate limit", Retry_After=header)

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert refusal.retry_at is not None
    left_s = (refusal.retry_at - datetime.now(UTC)).total_seconds()
    assert least_s <= left_s <= most_s


@pytest.mark.parametrize(
    "header",
    ["", "soon", "-5", "1.5", "Mon, 99 Jan 2001", "Mon, 01 Jan 99999 00:00:00 GMT"],
)
def test_a_retry_after_that_says_nothing_is_none(
    answers: Answers, client: RegistryClient, header: str
) -> None:
    answers.error(429, "TOOMANYREQUESTS", "rate limit", Retry_After=header)

    with pytest.raises(RegistryRefusalError) as caught:
        client.fetch_manifest(REFERENCE)

    assert caught.value.retry_at is None
