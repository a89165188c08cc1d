"""Rules of the sandbox's registries that the conformance suites of the clients do not reach."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
)
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.streaming_cache import StreamingCache

HOST = "us-central1-docker.pkg.dev"
MIRROR = "projects/demo/locations/us-central1/repositories/hub"
SECRET = "projects/demo/secrets/hub/versions/3"  # noqa: S105  # the name of a secret
TOOL = Image((500_000, 30_000_000), build="tool")
NEWER = Image((500_000, 31_000_000), build="newer")
PAIR = Image((700_000,), ("linux/amd64", "linux/arm64"), attestations=True, build="pair")


@dataclass(frozen=True)
class Sandbox:
    clock: Clock
    faults: Faults
    catalogue: Catalogue
    registry: ArtifactRegistry
    http: requests.Session

    def get(
        self, path: str, host: str = HOST, method: str = "GET", **headers: str
    ) -> requests.Response:
        return self.http.request(
            method,
            f"http://{self.registry.address}/v2/{path}",
            headers={"Host": host, **headers},
            timeout=10,
        )

    def mirror(self, repository_id: str = "hub", **config: Any) -> None:
        upstream = {"dockerRepository": {"publicRepository": "DOCKER_HUB"}}
        parent = "projects/demo/locations/us-central1"
        url = f"http://{self.registry.address}/v1/{parent}/repositories"
        body = {
            "format": "DOCKER",
            "mode": "REMOTE_REPOSITORY",
            "remoteRepositoryConfig": config or upstream,
        }
        params = {"repositoryId": repository_id}
        self.http.post(url, params=params, json=body, timeout=10).raise_for_status()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    clock, faults, catalogue = Clock(), Faults(), Catalogue()
    catalogue.add("docker.io/team/tool", "1.0", TOOL)
    catalogue.add("docker.io/library/pair", "latest", PAIR)
    registry = ArtifactRegistry(clock, faults, catalogue, StreamingCache(clock)).start()
    with requests.Session() as http:
        yield Sandbox(clock, faults, catalogue, registry, http)
    registry.stop()


def error_of(answer: requests.Response) -> tuple[int, str, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, error["code"], error["message"]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        pytest.param(OCI_INDEX, 200, id="its-own-type"),
        pytest.param(f"{DOCKER_MANIFEST}, {OCI_INDEX};q=0.5", 200, id="among-others"),
        pytest.param("*/*", 200, id="anything"),
        pytest.param(f"{DOCKER_MANIFEST}, {OCI_MANIFEST}", 404, id="manifests-only"),
        pytest.param(DOCKER_LIST, 404, id="the-other-kind-of-index"),
    ],
)
def test_index_is_unknown_to_a_client_that_does_not_accept_it(
    sandbox: Sandbox, accept: str, status: int
) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/pair", "v1", PAIR)

    answer = sandbox.get("demo/apps/pair/manifests/v1", Accept=accept)

    assert answer.status_code == status
    if status == 404:
        _, code, message = error_of(answer)
        assert code == "MANIFEST_UNKNOWN"
        assert f"has media type '{OCI_INDEX}', but client accepts" in message


def test_fetched_image_is_served_while_the_upstream_refuses(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.get("demo/hub/team/tool/manifests/1.0").raise_for_status()
    config = f"demo/hub/team/tool/blobs/{TOOL.manifests[0].content['config']['digest']}"
    sandbox.get(config).raise_for_status()

    sandbox.catalogue.limit("docker.io", after=0)
    sandbox.clock.advance(timedelta(hours=2))

    assert sandbox.get("demo/hub/team/tool/manifests/1.0").status_code == 200
    assert sandbox.get(f"demo/hub/team/tool/manifests/{TOOL.digest}").status_code == 200
    assert sandbox.get(config).status_code == 200
    code, status, message = error_of(sandbox.get("demo/hub/library/pair/manifests/latest"))
    assert (code, status) == (429, "TOOMANYREQUESTS")
    assert "pull rate limit" in message


def test_moved_tag_shows_after_an_hour_and_the_old_digest_stays(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.get("demo/hub/team/tool/manifests/1.0").raise_for_status()
    sandbox.catalogue.move_tag("docker.io/team/tool", "1.0", NEWER)

    soon = sandbox.get("demo/hub/team/tool/manifests/1.0")
    sandbox.clock.advance(timedelta(minutes=61))
    later = sandbox.get("demo/hub/team/tool/manifests/1.0")
    old = sandbox.get(f"demo/hub/team/tool/manifests/{TOOL.digest}")

    assert soon.headers["Docker-Content-Digest"] == TOOL.digest
    assert later.headers["Docker-Content-Digest"] == NEWER.digest
    assert old.status_code == 200


def test_upstream_with_login_is_open_to_the_right_credentials(
    sandbox: Sandbox,
) -> None:
    sandbox.catalogue.require_credentials("docker.io", "user", SECRET)
    login = {"username": "user", "passwordSecretVersion": SECRET}
    sandbox.mirror("anonymous")
    sandbox.mirror(
        "known",
        dockerRepository={"publicRepository": "DOCKER_HUB"},
        upstreamCredentials={"usernamePasswordCredentials": login},
    )

    refused = sandbox.get("demo/anonymous/team/tool/manifests/1.0")
    opened = sandbox.get("demo/known/team/tool/manifests/1.0")
    sandbox.registry.switches.refusal_status = 502
    otherwise = sandbox.get("demo/anonymous/team/tool/manifests/1.0")

    status, code, message = error_of(refused)
    assert (status, code) == (403, "DENIED")
    assert "status code 401 from external repository; url=https://registry-1.docker.io" in message
    assert "Permission" not in message
    assert opened.status_code == 200
    assert error_of(otherwise) == (502, "UNKNOWN", message)
