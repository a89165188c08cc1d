"""The sandbox's Artifact Registry, through Google's client and over plain HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import artifactregistry_v1
from google.cloud.artifactregistry_v1.services.artifact_registry.transports.rest import (
    ArtifactRegistryRestTransport,
)

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.streaming_cache import StreamingCache

PARENT = "projects/demo/locations/us-central1"
HUB = f"{PARENT}/repositories/dockerhub-mirror"
SECRET = "projects/demo/secrets/hub/versions/3"  # noqa: S105  # the name of a secret
TOOL = Image((500_000, 30_000_000), build="tool")
PAIR = Image((700_000, 60_000_000), ("linux/amd64", "linux/arm64"), build="pair")
HUB_BODY = {
    "format": "DOCKER",
    "mode": "REMOTE_REPOSITORY",
    "remoteRepositoryConfig": {"dockerRepository": {"publicRepository": "DOCKER_HUB"}},
}


@dataclass(frozen=True)
class Sandbox:
    clock: Clock
    faults: Faults
    catalogue: Catalogue
    cache: StreamingCache
    registry: ArtifactRegistry
    client: artifactregistry_v1.ArtifactRegistryClient
    http: requests.Session

    def url(self, path: str) -> str:
        return f"http://{self.registry.address}{path}"

    def create(self, body: dict[str, Any], repository_id: str = "new") -> requests.Response:
        url = self.url(f"/v1/{PARENT}/repositories?repositoryId={repository_id}")
        return self.http.post(url, json=body, timeout=10)

    def patch(self, body: dict[str, Any], mask: str) -> requests.Response:
        return self.http.patch(self.url(f"/v1/{HUB}?updateMask={mask}"), json=body, timeout=10)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    clock, faults, catalogue = Clock(), Faults(), Catalogue()
    catalogue.add("docker.io/team/tool", "1.0", TOOL)
    cache = StreamingCache(clock)
    registry = ArtifactRegistry(clock, faults, catalogue, cache).start()
    transport = ArtifactRegistryRestTransport(
        host=registry.address, url_scheme="http", credentials=AnonymousCredentials()
    )
    client = artifactregistry_v1.ArtifactRegistryClient(transport=transport)
    with client, requests.Session() as http:
        yield Sandbox(clock, faults, catalogue, cache, registry, client, http)
    registry.stop()


def hub_mirror(**fields: Any) -> artifactregistry_v1.Repository:
    return artifactregistry_v1.Repository(
        format_="DOCKER",
        mode="REMOTE_REPOSITORY",
        remote_repository_config={"docker_repository": {"public_repository": "DOCKER_HUB"}},
        **fields,
    )


def error_of(answer: requests.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["message"]
    return answer.status_code, error["status"]


def test_google_s_client_creates_a_mirror_and_reads_it_back(sandbox: Sandbox) -> None:
    policy = {"id": "old", "action": "DELETE", "condition": {"older_than": {"seconds": 86400}}}
    operation = sandbox.client.create_repository(
        parent=PARENT,
        repository_id="dockerhub-mirror",
        repository=hub_mirror(labels={"app": "x"}, cleanup_policies={"old": policy}),
    )

    created = operation.result(timeout=10)
    listed = list(sandbox.client.list_repositories(parent=PARENT))

    assert created.name == HUB
    assert created.registry_uri == "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
    assert created.cleanup_policies["old"].condition.older_than == timedelta(days=1)
    assert created.labels == {"app": "x"}
    assert created.create_time is not None
    assert listed == [created] == [sandbox.client.get_repository(name=HUB)]


def test_a_repository_that_is_being_created_is_unknown_but_its_name_is_taken(
    sandbox: Sandbox,
) -> None:
    sandbox.registry.operation_delay_s = 30
    operation = sandbox.create(HUB_BODY, "dockerhub-mirror").json()

    before = sandbox.http.get(sandbox.url(f"/v1/{HUB}"), timeout=10)
    again = sandbox.create(HUB_BODY, "dockerhub-mirror")
    running = sandbox.http.get(sandbox.url(f"/v1/{operation['name']}"), timeout=10).json()
    sandbox.clock.advance(timedelta(seconds=31))
    done = sandbox.http.get(sandbox.url(f"/v1/{operation['name']}"), timeout=10).json()

    assert "done" not in operation
    assert "done" not in running
    assert error_of(before) == (404, "NOT_FOUND")
    assert error_of(again) == (409, "ALREADY_EXISTS")
    assert done["done"]
    assert done["response"]["name"] == HUB
    assert HUB in sandbox.registry.repositories


def test_an_operation_that_fails_leaves_no_repository(sandbox: Sandbox) -> None:
    sandbox.registry.switches.operation_error = {"code": 13, "message": "internal"}

    operation = sandbox.client.create_repository(
        parent=PARENT, repository_id="dockerhub-mirror", repository=hub_mirror()
    )
    with pytest.raises(exceptions.GoogleAPICallError, match="internal"):
        operation.result(timeout=10)

    assert sandbox.registry.repositories == {}
    sandbox.registry.switches.operation_error = None
    assert sandbox.create(HUB_BODY, "dockerhub-mirror").status_code == 200


def test_a_second_repository_of_the_same_name_is_refused(sandbox: Sandbox) -> None:
    sandbox.create({"format": "DOCKER"}, "dockerhub-mirror")

    with pytest.raises(exceptions.Conflict):
        sandbox.client.create_repository(
            parent=PARENT, repository_id="dockerhub-mirror", repository=hub_mirror()
        )


COMMON = {"format": "DOCKER", "mode": "REMOTE_REPOSITORY"}


def remote(**config: Any) -> dict[str, Any]:
    return {**COMMON, "remoteRepositoryConfig": config}


def login(username: str = "user", version: str = SECRET) -> dict[str, Any]:
    credentials = {"username": username, "passwordSecretVersion": version}
    return {"usernamePasswordCredentials": credentials}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "format", id="no-format"),
        pytest.param({"format": "MAVEN"}, "DOCKER only", id="another-format"),
        pytest.param({"format": "DOCKER", "modus": 1}, "modus", id="unknown-field"),
        pytest.param({"format": "DOKER"}, "format", id="unknown-enum"),
        pytest.param(COMMON, "remote_repository_config", id="remote-without-upstream"),
        pytest.param({**HUB_BODY, "mode": 1}, "only so", id="standard-with-upstream"),
        pytest.param({"format": "DOCKER", "disallowUnspecifiedMode": True}, "mode", id="no-mode"),
        pytest.param(remote(description="x"), "docker_repository or", id="no-upstream"),
        pytest.param(
            remote(
                commonRepository={"uri": "https://ghcr.io"},
                dockerRepository={"publicRepository": "DOCKER_HUB"},
            ),
            "oneof",
            id="two-upstreams",
        ),
        pytest.param(
            remote(commonRepository={"uri": "http://ghcr.io"}), "http://ghcr.io", id="no-https"
        ),
        pytest.param(
            remote(dockerRepository={"customRepository": {"uri": "ghcr.io"}}),
            "'ghcr.io'",
            id="custom-without-scheme",
        ),
        pytest.param(
            {
                **HUB_BODY,
                "remoteRepositoryConfig": {
                    "dockerRepository": {"publicRepository": "DOCKER_HUB"},
                    "upstreamCredentials": login(version="projects/demo/secrets/hub"),
                },
            },
            "password_secret_version",
            id="secret-without-version",
        ),
        pytest.param({"format": "DOCKER", "labels": {"A": "b"}}, "label", id="label-key"),
        pytest.param({"format": "DOCKER", "labels": {"a": "B"}}, "label", id="label-value"),
        pytest.param(
            {"format": "DOCKER", "labels": {f"l{n}": "x" for n in range(65)}},
            "64",
            id="too-many-labels",
        ),
        pytest.param(
            {"format": "DOCKER", "cleanupPolicies": {"a": {"id": "b", "action": "DELETE"}}},
            "does not match",
            id="policy-of-another-key",
        ),
        pytest.param(
            {"format": "DOCKER", "cleanupPolicies": {"a": {"id": "a", "action": "DELETE"}}},
            "condition",
            id="policy-without-condition",
        ),
    ],
)
def test_what_the_api_refuses_is_refused_in_google_s_form(
    sandbox: Sandbox, body: dict[str, Any], message: str
) -> None:
    answer = sandbox.create(body)

    assert error_of(answer) == (400, "INVALID_ARGUMENT")
    assert message in answer.json()["error"]["message"]
    assert sandbox.registry.repositories == {}


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"[]"])
def test_a_body_that_is_no_object_is_refused(sandbox: Sandbox, body: bytes) -> None:
    url = sandbox.url(f"/v1/{PARENT}/repositories?repositoryId=new")

    answer = sandbox.http.post(url, data=body, timeout=10)

    assert error_of(answer) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("repository_id", ["", "Upper", "1st", "ends-", "a.b", "x" * 64, "gcr.io"])
def test_ids_that_break_the_grammar_are_refused(sandbox: Sandbox, repository_id: str) -> None:
    answer = sandbox.create({"format": "DOCKER"}, repository_id)

    assert error_of(answer) == (400, "INVALID_ARGUMENT")


def test_a_location_that_does_not_exist_is_refused_as_if_it_were_hidden(sandbox: Sandbox) -> None:
    url = sandbox.url("/v1/projects/demo/locations/moon/repositories?repositoryId=a")

    answer = sandbox.http.post(url, json={"format": "DOCKER"}, timeout=10)

    assert error_of(answer) == (403, "PERMISSION_DENIED")


def test_an_upstream_that_does_not_exist_fails_validation_unless_that_is_off(
    sandbox: Sandbox,
) -> None:
    upstream = {"commonRepository": {"uri": "https://nowhere.example"}}

    refused = sandbox.create(remote(**upstream))
    accepted = sandbox.create(remote(**upstream, disableUpstreamValidation=True))

    assert error_of(refused) == (400, "INVALID_ARGUMENT")
    assert "Failed to validate remote upstream" in refused.json()["error"]["message"]
    assert accepted.json()["response"]["remoteRepositoryConfig"] == upstream


def test_credentials_that_the_upstream_refuses_fail_validation(sandbox: Sandbox) -> None:
    sandbox.catalogue.require_credentials("docker.io", "user", SECRET)
    hub = HUB_BODY["remoteRepositoryConfig"]
    assert isinstance(hub, dict)

    wrong = sandbox.create(remote(**hub, upstreamCredentials=login("someone")))
    none = sandbox.create(HUB_BODY, "anonymous")
    right = sandbox.create(remote(**hub, upstreamCredentials=login()))

    assert error_of(wrong) == (400, "INVALID_ARGUMENT")
    assert "upstream credentials are invalid" in wrong.json()["error"]["message"]
    assert none.status_code == right.status_code == 200


def test_a_patch_changes_what_its_mask_names_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.create({**HUB_BODY, "description": "old", "labels": {"a": "b"}}, "dockerhub-mirror")

    changed = sandbox.client.update_repository(
        repository=artifactregistry_v1.Repository(
            name=HUB, description="ignored", labels={"c": "d"}
        ),
        update_mask={"paths": ["labels"]},
    )

    assert changed.labels == {"c": "d"}
    assert changed.description == "old"
    assert changed == sandbox.client.get_repository(name=HUB)


def test_credentials_can_be_added_later_and_are_validated_then(sandbox: Sandbox) -> None:
    sandbox.catalogue.require_credentials("docker.io", "user", SECRET)
    sandbox.create(HUB_BODY, "dockerhub-mirror")
    mask = "remoteRepositoryConfig.upstreamCredentials"

    wrong = sandbox.patch(remote(upstreamCredentials=login("someone")), mask)
    before = dict(sandbox.registry.repositories[HUB]["remoteRepositoryConfig"])
    right = sandbox.patch(remote(upstreamCredentials=login()), mask)

    assert error_of(wrong) == (400, "INVALID_ARGUMENT")
    assert "upstreamCredentials" not in before
    assert right.status_code == 200
    config = sandbox.registry.repositories[HUB]["remoteRepositoryConfig"]
    assert config["upstreamCredentials"] == login()
    assert config["dockerRepository"] == {"publicRepository": "DOCKER_HUB"}


@pytest.mark.parametrize(
    ("body", "mask"),
    [
        pytest.param({"mode": "STANDARD_REPOSITORY"}, "mode", id="mode"),
        pytest.param({"format": "MAVEN"}, "format", id="format"),
        pytest.param(
            remote(commonRepository={"uri": "https://ghcr.io"}),
            "remoteRepositoryConfig.commonRepository",
            id="upstream",
        ),
    ],
)
def test_mode_format_and_upstream_never_change(
    sandbox: Sandbox, body: dict[str, Any], mask: str
) -> None:
    sandbox.create(HUB_BODY, "dockerhub-mirror")
    before = dict(sandbox.registry.repositories[HUB])

    answer = sandbox.patch(body, mask)

    assert error_of(answer) == (400, "INVALID_ARGUMENT")
    assert "immutable" in answer.json()["error"]["message"]
    assert sandbox.registry.repositories[HUB] == before


def test_a_deleted_repository_is_gone_with_its_contents(sandbox: Sandbox) -> None:
    digest = sandbox.registry.push("us-central1-docker.pkg.dev/demo/apps/tool", "v1", TOOL)
    name = f"{PARENT}/repositories/apps"
    image = sandbox.url(f"/v2/demo/apps/tool/manifests/{digest}")
    host = {"Host": "us-central1-docker.pkg.dev"}
    there = sandbox.http.get(image, headers=host, timeout=10)

    sandbox.client.delete_repository(name=name).result(timeout=10)

    with pytest.raises(exceptions.NotFound):
        sandbox.client.get_repository(name=name)
    sandbox.create({"format": "DOCKER"}, "apps")
    assert there.status_code == 200
    assert sandbox.http.get(image, headers=host, timeout=10).status_code == 404


def test_lists_come_in_pages(sandbox: Sandbox) -> None:
    for number in range(5):
        sandbox.create({"format": "DOCKER"}, f"r{number}")

    pages = list(
        sandbox.client.list_repositories(
            artifactregistry_v1.ListRepositoriesRequest(parent=PARENT, page_size=2)
        ).pages
    )

    assert [len(page.repositories) for page in pages] == [2, 2, 1]


def test_faults_of_the_rest_api_leave_the_registry_alone(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("artifact-registry", call="^GET .*/repositories$", status=503))

    failed = sandbox.http.get(sandbox.url(f"/v1/{PARENT}/repositories"), timeout=10)
    registry = sandbox.http.get(sandbox.url("/v2/"), timeout=10)

    assert error_of(failed) == (503, "UNAVAILABLE")
    assert registry.status_code == 200


def test_a_lost_answer_has_taken_effect(sandbox: Sandbox) -> None:
    fault = Fault("artifact-registry", call="^POST ", status=0, applied=True, times=1)
    sandbox.faults.add(fault)

    with pytest.raises(requests.ConnectionError):
        sandbox.create(HUB_BODY, "dockerhub-mirror")

    assert HUB in sandbox.registry.repositories
    assert sandbox.create(HUB_BODY, "dockerhub-mirror").status_code == 409


def test_a_connection_can_be_closed_without_an_answer(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("artifact-registry", status=0, times=1))

    with pytest.raises(requests.ConnectionError):
        sandbox.create(HUB_BODY, "dockerhub-mirror")

    assert sandbox.registry.repositories == {}
    assert sandbox.registry.requests[-1][-1] == 0


def test_requests_are_remembered_with_host_and_status(sandbox: Sandbox) -> None:
    sandbox.http.get(sandbox.url(f"/v1/{HUB}"), timeout=10)

    assert sandbox.registry.requests == [("GET", sandbox.registry.address, f"/v1/{HUB}", 404)]
