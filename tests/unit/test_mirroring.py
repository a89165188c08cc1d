"""Mirrors: which image has one, and how it is made and mended."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.domain.mirror import (
    RemoteRepository,
    RepositoryName,
    RepositoryState,
    UpstreamCredentials,
)
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.mirror_lookup import MissingMirrorError
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


def test_an_image_of_docker_hub_has_a_mirror_in_the_cluster_s_region(
    deployment: Deployment,
) -> None:
    source = deployment.locate("nginx")

    assert str(source.image) == "docker.io/library/nginx:latest"
    assert (
        str(source.mirror)
        == "us-central1-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:latest"
    )
    assert source.repository == RemoteRepository(HUB_NAME, "docker.io", None, None, 90)


def test_an_image_of_another_upstream_has_a_mirror_with_its_address(
    deployment: Deployment,
) -> None:
    source = deployment.locate("ghcr.io/org/app:v1")

    assert source.repository == RemoteRepository(GHCR_NAME, "ghcr.io", "https://ghcr.io")
    assert str(source.mirror) == "us-central1-docker.pkg.dev/demo/ghcr-io-mirror/org/app:v1"


def test_a_host_in_capitals_is_the_same_upstream(deployment: Deployment) -> None:
    assert deployment.locate("GHCR.io/org/app:v1").repository == RemoteRepository(
        GHCR_NAME, "ghcr.io", "https://ghcr.io"
    )


def test_the_configuration_says_where_a_mirror_is_and_what_it_has() -> None:
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
def test_a_registry_that_is_not_on_the_list_is_not_allowed(
    deployment: Deployment, text: str
) -> None:
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
def test_a_host_of_google_s_that_serves_no_images_is_not_asked(
    deployment: Deployment, host: str
) -> None:
    with fails("pull_failed", "has no registry") as caught:
        deployment.locate(f"{host}/demo/apps/tool:1")

    assert len(str(caught.value)) < 400
    assert deployment.registry.asked == []


def test_with_credentials_only_the_listed_paths_are_allowed() -> None:
    deployment = Deployment({"upstreams": PRIVATE})

    assert deployment.locate("team/tool:1.0").repository is not None
    with fails("not_allowed", "acme/secret"):
        deployment.locate("acme/secret:1.0")
    with fails("not_allowed", "acme/secret"):
        deployment.locate("us-central1-docker.pkg.dev/demo/dockerhub-mirror/acme/secret:1.0")


def test_an_upstream_that_left_the_list_is_not_found_through_its_mirror_s_name() -> None:
    deployment = Deployment({"upstreams": {"docker.io": None}})
    text = "us-central1-docker.pkg.dev/demo/ghcr-io-mirror/org/app:v1"

    source = deployment.locate(text)

    assert str(source.image) == str(source.mirror) == text
    assert source.repository is None


@pytest.mark.parametrize("location", ["us-central1", "us", "europe-west4"])
def test_a_reference_into_our_own_mirror_means_its_upstream(
    deployment: Deployment, location: str
) -> None:
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
def test_an_image_at_google_needs_no_mirror(deployment: Deployment, text: str) -> None:
    source = deployment.locate(text)

    assert (str(source.image), str(source.mirror), source.repository) == (text, text, None)


def test_an_image_at_google_is_resolved_as_it_is(deployment: Deployment) -> None:
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
def test_a_missing_mirror_is_made(deployment: Deployment, *, hides_unknown: bool) -> None:
    deployment.registry.hides_unknown = hides_unknown

    digest = deployment.resolve()

    assert digest == TOOL.digest
    assert deployment.repositories.created == [HUB]


def test_answer_of_a_mirror_needs_no_read_of_its_repository(deployment: Deployment) -> None:
    deployment.repositories.states[HUB_NAME] = state_of(HUB)

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.fetched == []


def test_a_mirror_that_is_there_is_used_and_looked_at_once(deployment: Deployment) -> None:
    deployment.repositories.states[HUB_NAME] = state_of(HUB)

    digests = {deployment.use(), deployment.use(), deployment.use("team/tool:1.0")}

    assert digests == {TOOL.digest}
    assert deployment.repositories.fetched == [HUB_NAME]
    assert deployment.repositories.created == []
    assert deployment.repositories.updated == []


def test_a_mirror_that_was_deleted_is_made_again(deployment: Deployment) -> None:
    deployment.resolve()
    deployment.repositories.states.clear()

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.created == [HUB, HUB]


def test_somebody_who_makes_the_same_mirror_at_once_is_welcome(deployment: Deployment) -> None:
    repositories = deployment.repositories
    repositories.before_creation = lambda: repositories.states.update({HUB_NAME: state_of(HUB)})

    assert deployment.resolve() == TOOL.digest
    assert repositories.created == []


def test_somebody_who_takes_the_name_at_once_is_told_from_a_mirror(
    deployment: Deployment,
) -> None:
    repositories = deployment.repositories
    standard = RepositoryState(is_docker_remote=False)
    repositories.before_creation = lambda: repositories.states.update({HUB_NAME: standard})

    with fails("misconfigured", "not a mirror of docker.io"):
        deployment.resolve()


def test_a_mirror_in_the_making_is_waited_for_by_trying_again(deployment: Deployment) -> None:
    deployment.repositories.is_slow = True
    for _ in range(2):
        with pytest.raises(TransientError, match="being made"):
            deployment.resolve()

    deployment.repositories.finish()

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.created == [HUB]


@pytest.mark.parametrize("error", [UNKNOWN, OUR_403], ids=["unknown", "hidden"])
def test_a_mirror_that_was_just_made_may_not_answer_yet(
    deployment: Deployment, error: Exception
) -> None:
    deployment.registry.error = error

    with pytest.raises(TransientError, match="does not answer yet"):
        deployment.resolve()

    assert deployment.repositories.created == [HUB]


def test_a_mirror_that_somebody_else_just_made_may_not_answer_yet(
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
def test_an_unrelated_repository_is_told_before_anything_is_made_of_its_answer(
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


def test_an_upstream_that_is_refused_is_a_mistake_of_the_configuration(
    deployment: Deployment,
) -> None:
    deployment.repositories.upstream_refusal = "Failed to validate remote upstream"

    with fails("misconfigured", "Failed to validate") as caught:
        deployment.resolve()

    assert "upstreams.docker.io" in caught.value.hint


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_an_api_that_refuses_us_is_not_the_image_s_fault(
    deployment: Deployment, error: Exception
) -> None:
    deployment.repositories.error = error

    with pytest.raises(type(error), match=str(error)):
        deployment.resolve()


# Credentials


def test_a_mirror_is_made_with_its_credentials() -> None:
    deployment = Deployment({"upstreams": PRIVATE})

    deployment.resolve()

    assert [made.credentials for made in deployment.repositories.created] == [LOGIN]


@pytest.mark.parametrize(
    "before", [None, UpstreamCredentials("reader", "projects/demo/secrets/hub/versions/1")]
)
def test_credentials_that_were_configured_later_are_given_to_our_mirror(
    before: UpstreamCredentials | None,
) -> None:
    deployment = Deployment({"upstreams": PRIVATE})
    deployment.repositories.states[HUB_NAME] = replace(state_of(HUB), credentials=before)

    digests = {deployment.resolve(), deployment.resolve()}

    assert digests == {TOOL.digest}
    assert deployment.repositories.updated == [replace(HUB, credentials=LOGIN)]
    assert deployment.repositories.states[HUB_NAME].credentials == LOGIN


def test_credentials_that_left_the_configuration_are_taken_from_our_mirror() -> None:
    deployment = Deployment()
    deployment.repositories.states[HUB_NAME] = replace(state_of(HUB), credentials=LOGIN)

    deployment.use()

    assert deployment.repositories.updated == [HUB]
    assert deployment.repositories.states[HUB_NAME].credentials is None


@pytest.mark.parametrize("labels", [{}, {"managed-by": "terraform"}])
def test_somebody_else_s_mirror_is_used_and_never_changed(labels: Mapping[str, str]) -> None:
    deployment = Deployment({"upstreams": PRIVATE})
    state = RepositoryState(is_docker_remote=True, uri="https://index.docker.io/", labels=labels)
    deployment.repositories.states[HUB_NAME] = state

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.states == {HUB_NAME: state}
    assert deployment.repositories.updated == []


def test_credentials_that_the_upstream_refuses_are_a_mistake_of_the_configuration() -> None:
    deployment = Deployment({"upstreams": PRIVATE})
    deployment.repositories.states[HUB_NAME] = state_of(HUB)
    deployment.repositories.upstream_refusal = "upstream credentials are invalid"

    with fails("misconfigured", "credentials are invalid"):
        deployment.resolve()


# A dry run


def test_a_dry_run_makes_no_mirror(deployment: Deployment) -> None:
    deployment.mirrors = deployment.start_instance(dry_run=True)

    with pytest.raises(MissingMirrorError) as caught:
        deployment.resolve()

    assert caught.value.repository == HUB
    assert deployment.repositories.created == []


def test_a_dry_run_resolves_through_the_mirror_that_is_there_and_leaves_it() -> None:
    deployment = Deployment({"upstreams": PRIVATE, "dry_run": True})
    deployment.repositories.states[HUB_NAME] = state_of(HUB)

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.updated == []
    assert deployment.repositories.states == {HUB_NAME: state_of(HUB)}


def test_a_dry_run_tells_an_unrelated_repository(deployment: Deployment) -> None:
    deployment.mirrors = deployment.start_instance(dry_run=True)
    deployment.repositories.states[HUB_NAME] = RepositoryState(is_docker_remote=False)

    with fails("misconfigured"):
        deployment.resolve()
