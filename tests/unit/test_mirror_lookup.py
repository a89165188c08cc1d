"""Mirrors: the mirror of an image, its creation and its repair."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.domain.mirror import (
    RemoteRepository,
    RepositoryName,
    RepositoryState,
    UpstreamCredentials,
)
from shared.errors import ConfigurationError, TransientError
from tests.fakes.mirrors import HUB, HUB_NAME, OUR_403, PAIR, TOOL, UNKNOWN, Deployment, fails
from tests.fakes.registries import state_of

GHCR_NAME = RepositoryName("demo", "us-central1", "ghcr-io-mirror")
SECRET = "projects/demo/secrets/hub/versions/3"  # noqa: S105  # the name of a secret
LOGIN = UpstreamCredentials("reader", SECRET)
PRIVATE = {
    "docker.io": {"username": "reader", "password_secret_version": SECRET, "paths": ["team/*"]}
}


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


# Where an image is found


def test_docker_hub_image_has_a_mirror_in_the_region_of_the_cluster(
    deployment: Deployment,
) -> None:
    source = deployment.locate("nginx")

    assert str(source.image) == "docker.io/library/nginx:latest"
    assert (
        str(source.mirror)
        == "us-central1-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:latest"
    )
    assert source.repository == RemoteRepository(HUB_NAME, "docker.io", None, None, 90)


def test_mirror_of_another_upstream_has_its_address(
    deployment: Deployment,
) -> None:
    source = deployment.locate("ghcr.io/org/app:v1")

    assert source.repository == RemoteRepository(GHCR_NAME, "ghcr.io", "https://ghcr.io")
    assert str(source.mirror) == "us-central1-docker.pkg.dev/demo/ghcr-io-mirror/org/app:v1"


def test_host_in_capitals_is_the_same_upstream(deployment: Deployment) -> None:
    assert deployment.locate("GHCR.io/org/app:v1").repository == RemoteRepository(
        GHCR_NAME, "ghcr.io", "https://ghcr.io"
    )


def test_configuration_decides_location_and_content_of_a_mirror() -> None:
    upstreams = {
        "docker.io": {
            "repository": "hub",
            "uri": "https://hub.example.com",
            "username": "reader",
            "password_secret_version": SECRET,
            "paths": ["team/*"],
        }
    }
    deployment = Deployment(
        {"project": "images", "location": "us", "cleanup_days": 7, "upstreams": upstreams}
    )

    source = deployment.locate("team/tool:1.0")

    name = RepositoryName("images", "us", "hub")
    uri = "https://hub.example.com"
    assert source.repository == RemoteRepository(name, "docker.io", uri, LOGIN, 7)
    assert str(source.mirror) == "us-docker.pkg.dev/images/hub/team/tool:1.0"


@pytest.mark.parametrize(
    "text",
    [
        "registry.example.com/app:1",
        "ghcr.io.example.com/org/app:1",
        "ghcr.io:443/org/app:1",
        "localhost:5000/app:1",
        "169.254.169.254/latest:1",
        "[::1]:5000/app:1",
    ],
)
def test_registry_outside_the_list_is_not_allowed(deployment: Deployment, text: str) -> None:
    with fails("not_allowed", "not on the list"):
        deployment.locate(text)

    assert deployment.registry.asked == []
    assert deployment.repositories.fetched == []


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("evil.pkg.dev", id="of-no-kind"),
        pytest.param("us-python.pkg.dev", id="of-another-kind"),
        pytest.param("us-docker.pkg.dev.gcr.io", id="both"),
        pytest.param(f"{'a' * 64}-docker.pkg.dev", id="longer-than-a-label"),
        pytest.param(f"{'a' * 64}.gcr.io", id="longer-than-a-label-of-gcr"),
        pytest.param(f"{'a.' * 100}gcr.io", id="many-labels"),
    ],
)
def test_google_host_without_images_is_not_asked(deployment: Deployment, host: str) -> None:
    with fails("pull_failed", "has no registry") as caught:
        deployment.locate(f"{host}/demo/apps/tool:1")

    assert len(str(caught.value)) < 400
    assert deployment.registry.asked == []


def test_upstream_with_credentials_allows_only_the_listed_paths() -> None:
    deployment = Deployment({"upstreams": PRIVATE})

    assert deployment.locate("team/tool:1.0").repository is not None
    with fails("not_allowed", "acme/secret"):
        deployment.locate("acme/secret:1.0")
    with fails("not_allowed", "acme/secret"):
        deployment.locate("us-central1-docker.pkg.dev/demo/dockerhub-mirror/acme/secret:1.0")


def test_removed_upstream_is_not_found_through_the_name_of_its_mirror() -> None:
    deployment = Deployment({"upstreams": {"docker.io": None}})
    text = "us-central1-docker.pkg.dev/demo/ghcr-io-mirror/org/app:v1"

    source = deployment.locate(text)

    assert str(source.image) == str(source.mirror) == text
    assert source.repository is None


@pytest.mark.parametrize("location", ["us-central1", "us", "europe-west4"])
def test_reference_into_a_mirror_means_its_upstream(deployment: Deployment, location: str) -> None:
    text = f"{location}-docker.pkg.dev/demo/dockerhub-mirror/team/tool:1.0"

    source = deployment.locate(text)

    assert source == deployment.locate("team/tool:1.0")


@pytest.mark.parametrize(
    "text",
    [
        "us-docker.pkg.dev/demo/apps/tool:1",
        "us-docker.pkg.dev/other/dockerhub-mirror/team/tool:1.0",
        "gcr.io/google-containers/pause:3.2",
        "eu.gcr.io/demo/tool:1",
    ],
)
def test_google_image_needs_no_mirror(deployment: Deployment, text: str) -> None:
    source = deployment.locate(text)

    assert (str(source.image), str(source.mirror), source.repository) == (text, text, None)


def test_google_image_is_resolved_as_it_is(deployment: Deployment) -> None:
    name = "us-docker.pkg.dev/demo/apps/tool"
    deployment.repositories.states[RepositoryName("demo", "us", "apps")] = RepositoryState(
        is_docker_remote=False
    )
    deployment.registry.add(name, "1", TOOL)

    assert deployment.resolve(f"{name}:1") == TOOL.digest
    assert deployment.repositories.fetched == []
    assert deployment.repositories.created == []


# How a mirror comes to be


@pytest.mark.parametrize("hides_unknown", [False, True])
def test_missing_mirror_is_created(deployment: Deployment, *, hides_unknown: bool) -> None:
    deployment.registry.hides_unknown = hides_unknown

    digest = deployment.resolve()

    assert digest == TOOL.digest
    assert deployment.repositories.created == [HUB]


def test_answer_of_a_mirror_needs_no_read_of_its_repository(deployment: Deployment) -> None:
    deployment.repositories.states[HUB_NAME] = state_of(HUB)

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.fetched == []


def test_existing_mirror_is_used_and_checked_once(deployment: Deployment) -> None:
    deployment.repositories.states[HUB_NAME] = state_of(HUB)

    digests = {deployment.use(), deployment.use(), deployment.use("team/tool:1.0")}

    assert digests == {TOOL.digest}
    assert deployment.repositories.fetched == [HUB_NAME]
    assert deployment.repositories.created == []
    assert deployment.repositories.updated == []


def test_deleted_mirror_is_created_again(deployment: Deployment) -> None:
    deployment.resolve()
    deployment.repositories.states.clear()

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.created == [HUB, HUB]


def test_mirror_that_another_instance_creates_is_used(deployment: Deployment) -> None:
    repositories = deployment.repositories
    repositories.before_creation = lambda: repositories.states.update({HUB_NAME: state_of(HUB)})

    assert deployment.resolve() == TOOL.digest
    assert repositories.created == []


def test_other_repository_created_under_the_name_is_not_a_mirror(
    deployment: Deployment,
) -> None:
    repositories = deployment.repositories
    standard = RepositoryState(is_docker_remote=False)
    repositories.before_creation = lambda: repositories.states.update({HUB_NAME: standard})

    with fails("misconfigured", "not a mirror of docker.io"):
        deployment.resolve()


def test_mirror_under_creation_is_a_transient_error(deployment: Deployment) -> None:
    deployment.repositories.is_slow = True
    for _ in range(2):
        with pytest.raises(TransientError, match="being made"):
            deployment.resolve()

    deployment.repositories.finish()

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.created == [HUB]


def test_delivery_waits_for_the_mirror_that_it_creates(deployment: Deployment) -> None:
    deployment.repositories.is_slow = True
    deployment.repositories.reads_until_it_exists = 4

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.created == [HUB]


def test_concurrent_first_references_share_one_creation(deployment: Deployment) -> None:
    requests: list[object] = []
    deployment.repositories.is_slow = True
    deployment.repositories.reads_until_it_exists = 4
    deployment.repositories.before_creation = lambda: requests.append(1)

    with ThreadPoolExecutor(20) as pool:
        digests = set(pool.map(lambda _: deployment.use(), range(20)))

    assert digests == {TOOL.digest}
    assert len(requests) == 1


def test_creation_under_way_is_not_requested_again(deployment: Deployment) -> None:
    requests: list[object] = []
    deployment.repositories.is_slow = True
    deployment.repositories.before_creation = lambda: requests.append(1)

    for _ in range(3):
        with pytest.raises(TransientError, match="being made"):
            deployment.resolve()

    assert len(requests) == 1


@pytest.mark.parametrize("error", [UNKNOWN, OUR_403], ids=["unknown", "hidden"])
def test_new_mirror_may_not_answer_yet(deployment: Deployment, error: Exception) -> None:
    deployment.registry.error = error

    with pytest.raises(TransientError, match="does not answer yet"):
        deployment.resolve()

    assert deployment.repositories.created == [HUB]


def test_new_mirror_of_another_instance_may_not_answer_yet(
    deployment: Deployment,
) -> None:
    deployment.repositories.states[HUB_NAME] = state_of(HUB)
    deployment.registry.error = UNKNOWN

    with pytest.raises(TransientError, match="does not answer yet"):
        deployment.resolve()


@pytest.mark.parametrize("tag", ["1.0", "absent"])
@pytest.mark.parametrize(
    "state",
    [
        pytest.param(RepositoryState(is_docker_remote=False), id="standard"),
        pytest.param(RepositoryState(is_docker_remote=True, uri="https://ghcr.io"), id="upstream"),
        pytest.param(
            RepositoryState(
                is_docker_remote=True, uri="https://ghcr.io", labels={"managed-by": "prestream"}
            ),
            id="upstream-of-before",
        ),
    ],
)
def test_unrelated_repository_is_refused_before_its_answer_is_used(
    deployment: Deployment, state: RepositoryState, tag: str
) -> None:
    deployment.repositories.states[HUB_NAME] = state
    own = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/tool"
    for name in (own, "ghcr.io/team/tool"):
        deployment.registry.add(name, "1.0", PAIR)

    with fails("misconfigured", "not a mirror of docker.io"):
        deployment.use(f"team/tool:{tag}")
    with fails("misconfigured", "not a mirror of docker.io") as caught:
        deployment.use(f"team/tool:{tag}")

    assert "upstreams.docker.io.repository" in caught.value.hint
    assert deployment.repositories.states[HUB_NAME] == state


def test_refused_upstream_is_misconfigured(
    deployment: Deployment,
) -> None:
    deployment.repositories.upstream_refusal = "Failed to validate remote upstream"

    with fails("misconfigured", "Failed to validate") as caught:
        deployment.resolve()

    assert "upstreams.docker.io" in caught.value.hint


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_api_that_refuses_our_identity_is_not_the_fault_of_the_image(
    deployment: Deployment, error: Exception
) -> None:
    deployment.repositories.error = error

    with pytest.raises(type(error), match=str(error)):
        deployment.resolve()
