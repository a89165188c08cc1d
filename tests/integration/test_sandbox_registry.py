"""The registry API of the sandbox's Artifact Registry, as nodes and clients meet it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.demo_catalogue import demo_catalogue
from sandbox.catalogue.image import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA_1,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
)
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.streaming_cache import StreamingCache

HOST = "us-central1-docker.pkg.dev"
MIRROR = "projects/demo/locations/us-central1/repositories/hub"
SECRET = "projects/demo/secrets/hub/versions/3"  # noqa: S105  # the name of a secret
TOOL = Image((500_000, 30_000_000), build="tool")
NEWER = Image((500_000, 31_000_000), build="newer")
PAIR = Image((700_000,), ("linux/amd64", "linux/arm64"), attestations=True, build="pair")
DENIAL = 'Permission "artifactregistry.repositories.downloadArtifacts" denied on resource '


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


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_a_manifest_is_served_with_its_type_and_the_digest_of_its_bytes(sandbox: Sandbox) -> None:
    digest = sandbox.registry.push(f"{HOST}/demo/apps/team/tool", "v1", TOOL)

    by_tag = sandbox.get("demo/apps/team/tool/manifests/v1")
    by_digest = sandbox.get(f"demo/apps/team/tool/manifests/{digest}")

    assert by_tag.headers["Content-Type"] == OCI_MANIFEST == by_tag.json()["mediaType"]
    assert by_tag.headers["Docker-Content-Digest"] == digest == sha256(by_tag.content)
    assert by_digest.content == by_tag.content


def test_head_answers_like_get_without_a_body_even_for_errors(sandbox: Sandbox) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/tool", "v1", TOOL)

    found = sandbox.get("demo/apps/tool/manifests/v1", method="HEAD")
    absent = sandbox.get("demo/apps/tool/manifests/v2", method="HEAD")

    assert found.headers["Docker-Content-Digest"] == TOOL.digest
    assert int(found.headers["Content-Length"]) == len(TOOL.manifests[0].body)
    assert (found.content, absent.content) == (b"", b"")
    assert absent.status_code == 404


def test_an_index_leads_to_each_platform_its_configuration_and_its_layers(
    sandbox: Sandbox,
) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/pair", "v1", PAIR)

    index = sandbox.get("demo/apps/pair/manifests/v1").json()
    entry = next(e for e in index["manifests"] if e["platform"]["architecture"] == "arm64")
    manifest = sandbox.get(f"demo/apps/pair/manifests/{entry['digest']}").json()
    config = sandbox.get(f"demo/apps/pair/blobs/{manifest['config']['digest']}")
    layer = sandbox.get(f"demo/apps/pair/blobs/{manifest['layers'][0]['digest']}")

    platforms = [e["platform"]["architecture"] for e in index["manifests"]]
    assert platforms == ["amd64", "arm64", "unknown", "unknown"]
    assert config.json()["architecture"] == "arm64"
    assert sha256(config.content) == manifest["config"]["digest"]
    assert sha256(layer.content) == manifest["layers"][0]["digest"]
    assert len(layer.content) == 700_000


def test_a_large_layer_has_a_size_and_no_body(sandbox: Sandbox) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/tool", "v1", TOOL)
    digest = TOOL.manifests[0].content["layers"][1]["digest"]

    head = sandbox.get(f"demo/apps/tool/blobs/{digest}", method="HEAD")
    get = sandbox.get(f"demo/apps/tool/blobs/{digest}")

    assert head.status_code == 200
    assert head.headers["Content-Length"] == "30000000"
    assert error_of(get)[:2] == (404, "BLOB_UNKNOWN")


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
def test_a_client_that_does_not_accept_an_index_is_told_so(
    sandbox: Sandbox, accept: str, status: int
) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/pair", "v1", PAIR)

    answer = sandbox.get("demo/apps/pair/manifests/v1", Accept=accept)

    assert answer.status_code == status
    if status == 404:
        _, code, message = error_of(answer)
        assert code == "MANIFEST_UNKNOWN"
        assert f"has media type '{OCI_INDEX}', but client accepts" in message


def test_the_host_says_in_which_location_a_repository_is_looked_for(sandbox: Sandbox) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/tool", "v1", TOOL)

    here = sandbox.get("demo/apps/tool/manifests/v1")
    there = sandbox.get("demo/apps/tool/manifests/v1", host="europe-west4-docker.pkg.dev")
    nowhere = sandbox.get("demo/apps/tool/manifests/v1", host="registry.example")

    assert here.status_code == 200
    assert error_of(there) == (404, "NAME_UNKNOWN", 'Repository "apps" not found')
    assert error_of(nowhere)[:2] == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        (
            "us-docker.pkg.dev/example.com/p/apps/a/b",
            "example.com:p/locations/us/repositories/apps",
        ),
        ("eu.gcr.io/demo/a/b", "demo/locations/europe/repositories/eu.gcr.io"),
    ],
)
def test_domain_scoped_projects_and_gcr_hosts_have_repositories(
    sandbox: Sandbox, name: str, resource: str
) -> None:
    sandbox.registry.push(name, "v1", TOOL)
    host, _, path = name.partition("/")

    answer = sandbox.get(f"{path}/manifests/v1", host=host)

    assert list(sandbox.registry.repositories) == [f"projects/{resource}"]
    assert answer.headers["Docker-Content-Digest"] == TOOL.digest


@pytest.mark.parametrize("path", ["demo/manifests/v1", "demo/apps/manifests/v1"])
def test_names_that_are_too_short_are_invalid(sandbox: Sandbox, path: str) -> None:
    answer = sandbox.get(path)

    assert error_of(answer)[:2] == (400, "NAME_INVALID")


def test_an_unknown_repository_can_look_like_a_forbidden_one(sandbox: Sandbox) -> None:
    plain = sandbox.get("demo/none/tool/manifests/v1")
    sandbox.registry.switches.hide_unknown = True
    hidden = sandbox.get("demo/none/tool/manifests/v1")

    name = '"projects/demo/locations/us-central1/repositories/none"'
    assert error_of(plain) == (404, "NAME_UNKNOWN", 'Repository "none" not found')
    assert error_of(hidden) == (403, "DENIED", f"{DENIAL}{name} (or it may not exist)")


def test_our_own_identity_can_be_refused_a_repository(sandbox: Sandbox) -> None:
    sandbox.registry.push(f"{HOST}/demo/apps/tool", "v1", TOOL)
    (name,) = sandbox.registry.repositories
    sandbox.registry.switches.denied.add(name)

    answer = sandbox.get("demo/apps/tool/manifests/v1")

    assert error_of(answer)[:2] == (403, "DENIED")
    assert error_of(answer)[2].startswith(DENIAL)


def test_an_absent_image_is_told_apart_from_an_absent_repository(sandbox: Sandbox) -> None:
    sandbox.mirror()

    tag = sandbox.get("demo/hub/team/tool/manifests/2.0")
    image = sandbox.get("demo/hub/team/nothing/manifests/1.0")

    assert error_of(tag) == (404, "MANIFEST_UNKNOWN", 'Failed to fetch "2.0"')
    assert error_of(image)[:2] == (404, "MANIFEST_UNKNOWN")


def test_official_images_of_docker_hub_need_their_library(sandbox: Sandbox) -> None:
    sandbox.mirror()

    assert sandbox.get("demo/hub/library/pair/manifests/latest").status_code == 200
    assert error_of(sandbox.get("demo/hub/pair/manifests/latest"))[:2] == (404, "MANIFEST_UNKNOWN")


def test_what_was_fetched_is_served_while_the_upstream_is_down(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.get("demo/hub/team/tool/manifests/1.0").raise_for_status()
    config = f"demo/hub/team/tool/blobs/{TOOL.manifests[0].content['config']['digest']}"
    sandbox.get(config).raise_for_status()

    sandbox.catalogue.break_("docker.io")
    sandbox.clock.advance(timedelta(hours=2))

    assert sandbox.get("demo/hub/team/tool/manifests/1.0").status_code == 200
    assert sandbox.get(f"demo/hub/team/tool/manifests/{TOOL.digest}").status_code == 200
    assert sandbox.get(config).status_code == 200
    code, status, message = error_of(sandbox.get("demo/hub/library/pair/manifests/latest"))
    assert (code, status) == (502, "UNKNOWN")
    assert "Received invalid http status code 503 from external repository" in message


def test_a_moved_tag_shows_after_an_hour_and_the_old_digest_stays(sandbox: Sandbox) -> None:
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


def test_a_digest_that_no_tag_points_at_any_more_can_still_be_fetched(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.catalogue.move_tag("docker.io/team/tool", "1.0", NEWER)
    before = sandbox.get(f"demo/hub/team/tool/manifests/{TOOL.digest}")

    sandbox.catalogue.remove("docker.io/team/tool", "1.0")

    assert before.status_code == 200
    absent = sandbox.get(f"demo/hub/team/tool/manifests/{NEWER.digest}")
    assert error_of(absent)[:2] == (404, "MANIFEST_UNKNOWN")


def test_an_upstream_that_wants_a_login_is_open_to_the_right_credentials(
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


def test_an_upstream_s_limit_is_passed_on_in_its_own_words(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.catalogue.limit("docker.io", after=1, retry_after_s=900)

    first = sandbox.get("demo/hub/team/tool/manifests/1.0")
    cached = sandbox.get("demo/hub/team/tool/manifests/1.0")
    limited = sandbox.get("demo/hub/library/pair/manifests/latest")

    status, code, message = error_of(limited)
    assert first.status_code == cached.status_code == 200
    assert (status, code) == (429, "TOOMANYREQUESTS")
    assert "pull rate limit" in message
    assert limited.headers["Retry-After"] == "900"


def test_our_own_quota_speaks_differently(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("registry", call="manifests", status=429))

    status, code, message = error_of(sandbox.get("demo/hub/team/tool/manifests/1.0"))

    assert (status, code) == (429, "TOOMANYREQUESTS")
    assert message.startswith("Quota exceeded for quota metric 'Requests per project per region'")
    assert "of service 'artifactregistry.googleapis.com'" in message


def test_a_stalled_upstream_holds_its_clients_until_it_recovers(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.catalogue.stall("docker.io")
    answers: list[requests.Response] = []
    pull = threading.Thread(
        target=lambda: answers.append(sandbox.get("demo/hub/team/tool/manifests/1.0"))
    )

    pull.start()
    pull.join(0.2)
    held = pull.is_alive()
    sandbox.catalogue.restore("docker.io")
    pull.join(10)

    assert held
    assert [answer.status_code for answer in answers] == [200]


def test_an_upstream_that_never_answers_is_given_up(sandbox: Sandbox) -> None:
    sandbox.mirror()
    sandbox.catalogue.stall("docker.io", seconds=0.01)

    answer = sandbox.get("demo/hub/team/tool/manifests/1.0")

    assert error_of(answer)[:2] == (504, "UNKNOWN")


def test_an_upstream_path_stands_before_the_package(sandbox: Sandbox) -> None:
    sandbox.mirror("team", commonRepository={"uri": "https://registry-1.docker.io/team"})

    answer = sandbox.get("demo/team/tool/manifests/1.0")

    assert answer.headers["Docker-Content-Digest"] == TOOL.digest


@pytest.mark.parametrize(
    "uri",
    [
        "projects/demo/locations/europe-west4/repositories/apps",
        "https://europe-west4-docker.pkg.dev/demo/apps",
    ],
)
def test_a_repository_of_another_region_can_be_upstream(sandbox: Sandbox, uri: str) -> None:
    sandbox.registry.push("europe-west4-docker.pkg.dev/demo/apps/tool", "v1", TOOL)
    sandbox.mirror("near", commonRepository={"uri": uri})

    manifest = sandbox.get("demo/near/tool/manifests/v1")
    config = sandbox.get(f"demo/near/tool/blobs/{manifest.json()['config']['digest']}")
    absent = sandbox.get("demo/near/tool/manifests/v2")

    assert manifest.headers["Docker-Content-Digest"] == TOOL.digest
    assert config.status_code == 200
    assert error_of(absent)[:2] == (404, "MANIFEST_UNKNOWN")


def test_pushing_over_http_is_refused_in_the_registry_s_form(sandbox: Sandbox) -> None:
    answer = sandbox.get("demo/hub/team/tool/manifests/1.0", method="PUT")

    assert error_of(answer)[:2] == (405, "UNSUPPORTED")


def test_the_real_host_is_remembered_with_each_request(sandbox: Sandbox) -> None:
    sandbox.get("demo/none/tool/manifests/v1")

    assert sandbox.registry.requests == [("GET", HOST, "/v2/demo/none/tool/manifests/v1", 404)]


def test_the_demo_has_the_sizes_and_shapes_that_people_run() -> None:
    catalogue = demo_catalogue()

    ray = catalogue.fetch("docker.io", "anyscale/ray-ml", "2.7.0")
    busybox = catalogue.fetch("docker.io", "library/busybox", "1.37.0-musl")
    pytorch = catalogue.fetch("nvcr.io", "nvidia/pytorch", "24.11-py3")
    schema_1 = catalogue.fetch("docker.io", "prestream/schema-1", "1.0")
    arm = catalogue.fetch("docker.io", "prestream/arm-only", "1.0")
    repeated = catalogue.fetch("docker.io", "prestream/repeated-layer", "1.0")

    assert 9_650_000_000 < ray.image_bytes < 9_750_000_000
    assert ray.media_type == DOCKER_MANIFEST
    assert ray.layer_count == len(json.loads(ray.body)["layers"]) >= 20
    assert busybox.media_type == OCI_INDEX
    assert pytorch.media_type == DOCKER_LIST
    assert schema_1.media_type == DOCKER_SCHEMA_1
    assert [e["platform"]["architecture"] for e in arm.content["manifests"]] == ["arm64"]
    layers = [layer["digest"] for layer in repeated.content["layers"]]
    assert len(set(layers)) < len(layers)
    for registry in ("ghcr.io", "quay.io", "registry.k8s.io", "public.ecr.aws"):
        assert catalogue.is_known(registry)
