"""The client of the repositories' REST API: what it asks for, and what it makes of the answers."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.fault import Fault
from shared.domain.mirror import RemoteRepository, RepositoryName, UpstreamRefusedError
from shared.errors import ConfigurationError, TransientError
from tests.contract.registry_conformance import (
    GHCR,
    GHCR_NAME,
    HUB,
    HUB_NAME,
    LOGIN,
)
from tests.integration.registry_world import SandboxWorld

pytestmark = pytest.mark.integration

CUSTOM = RemoteRepository(
    RepositoryName("demo", "us-central1", "registry-mirror"),
    "registry.example.com",
    "https://registry.example.com",
    cleanup_days=7,
)
POLICIES = ("old", "recent")


@pytest.fixture
def world() -> Iterator[SandboxWorld]:
    world = SandboxWorld()
    yield world
    world.server.stop()


def test_mirror_of_docker_hub_has_the_requested_fields(world: SandboxWorld) -> None:
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
    deleted, kept = (made["cleanupPolicies"][f"prestream-{each}-versions"] for each in POLICIES)
    assert deleted["action"] == "DELETE"
    assert deleted["condition"] == {"tagState": "ANY", "olderThan": f"{30 * 86_400}s"}
    assert kept["action"] == "KEEP"
    assert kept["mostRecentVersions"] == {"keepCount": 5}
    assert not made.get("cleanupPolicyDryRun", False)


def test_mirror_of_another_upstream_has_its_address(world: SandboxWorld) -> None:
    world.repositories.create_repository(CUSTOM)

    made = world.server.repositories[str(CUSTOM.name)]
    config = made["remoteRepositoryConfig"]
    assert config["commonRepository"] == {"uri": "https://registry.example.com"}
    assert "dockerRepository" not in config
    assert "upstreamCredentials" not in config
    policy = made["cleanupPolicies"]["prestream-old-versions"]
    assert policy["condition"]["olderThan"] == f"{7 * 86_400}s"


def test_new_credentials_change_nothing_else(world: SandboxWorld) -> None:
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
        pytest.param({"mode": "VIRTUAL_REPOSITORY", "format": "DOCKER"}, None, False, id="virtual"),
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
def test_foreign_repository_is_described(
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
def test_refused_call_is_classified_by_its_status(
    world: SandboxWorld, status: int, error: type[Exception]
) -> None:
    world.repositories.create_repository(GHCR)
    world.faults.add(Fault("artifact-registry", status=status))

    with pytest.raises(error, match="cannot read repository projects/demo"):
        world.repositories.fetch_repository(HUB_NAME)
    with pytest.raises(error, match="cannot create repository projects/demo"):
        world.repositories.create_repository(HUB)
    with pytest.raises(error, match="cannot update repository projects/demo"):
        world.repositories.update_credentials(GHCR)


def test_refused_call_is_not_repeated(world: SandboxWorld) -> None:
    world.faults.add(Fault("artifact-registry", status=503))

    with pytest.raises(TransientError):
        world.repositories.create_repository(HUB)

    assert world.calls("POST") == 1


def test_concurrent_change_of_a_repository_is_accepted(world: SandboxWorld) -> None:
    world.repositories.create_repository(GHCR)
    world.faults.add(Fault("artifact-registry", call="PATCH", status=409))

    with pytest.raises(TransientError):
        world.repositories.update_credentials(GHCR)


def test_lost_answer_to_a_creation_is_made_good_by_asking_again(world: SandboxWorld) -> None:
    world.faults.add(Fault("artifact-registry", call="POST", status=0, applied=True, times=1))
    with pytest.raises(TransientError):
        world.repositories.create_repository(HUB)

    world.repositories.create_repository(HUB)

    assert world.repositories.fetch_repository(HUB_NAME) is not None


def test_upstream_that_does_not_exist_makes_no_mirror(world: SandboxWorld) -> None:
    nowhere = RemoteRepository(HUB_NAME, "nowhere.example", "https://nowhere.example")

    with pytest.raises(UpstreamRefusedError, match="upstream"):
        world.repositories.create_repository(nowhere)

    assert world.server.repositories == {}


def test_operation_that_fails_at_once_is_no_mirror_in_the_making(world: SandboxWorld) -> None:
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


def test_name_of_a_mirror_is_not_taken_for_a_refusal(world: SandboxWorld) -> None:
    name = RepositoryName("demo", "us-central1", "Remote-Upstream")

    with pytest.raises(ConfigurationError, match="invalid repository_id"):
        world.repositories.create_repository(RemoteRepository(name, "docker.io", None))


def test_invalid_location_is_misconfigured(world: SandboxWorld) -> None:
    name = RepositoryName("demo", "mars-north1", "dockerhub-mirror")

    with pytest.raises(ConfigurationError, match="mars-north1"):
        world.repositories.create_repository(RemoteRepository(name, "docker.io", None))
