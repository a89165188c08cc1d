"""The credentials of a mirror, and a dry run."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.domain.mirror import (
    RepositoryName,
    RepositoryState,
    UpstreamCredentials,
)
from shared.pipeline.mirror_lookup import MissingMirrorError
from tests.fakes.mirrors import HUB, HUB_NAME, TOOL, Deployment, fails
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


# Credentials


def test_mirror_is_created_with_its_credentials() -> None:
    deployment = Deployment({"upstreams": PRIVATE})

    deployment.resolve()

    assert [made.credentials for made in deployment.repositories.created] == [LOGIN]


@pytest.mark.parametrize(
    "before", [None, UpstreamCredentials("reader", "projects/demo/secrets/hub/versions/1")]
)
def test_mirror_gets_credentials_that_are_configured_later(
    before: UpstreamCredentials | None,
) -> None:
    deployment = Deployment({"upstreams": PRIVATE})
    deployment.repositories.states[HUB_NAME] = replace(state_of(HUB), credentials=before)

    digests = {deployment.resolve(), deployment.resolve()}

    assert digests == {TOOL.digest}
    assert deployment.repositories.updated == [replace(HUB, credentials=LOGIN)]
    assert deployment.repositories.states[HUB_NAME].credentials == LOGIN


def test_mirror_loses_credentials_that_are_not_configured_any_more() -> None:
    deployment = Deployment()
    deployment.repositories.states[HUB_NAME] = replace(state_of(HUB), credentials=LOGIN)

    deployment.use()

    assert deployment.repositories.updated == [HUB]
    assert deployment.repositories.states[HUB_NAME].credentials is None


@pytest.mark.parametrize("labels", [{}, {"managed-by": "terraform"}])
def test_mirror_of_another_owner_is_used_and_never_changed(labels: Mapping[str, str]) -> None:
    deployment = Deployment({"upstreams": PRIVATE})
    state = RepositoryState(is_docker_remote=True, uri="https://index.docker.io/", labels=labels)
    deployment.repositories.states[HUB_NAME] = state

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.states == {HUB_NAME: state}
    assert deployment.repositories.updated == []


def test_credentials_that_the_upstream_refuses_are_misconfigured() -> None:
    deployment = Deployment({"upstreams": PRIVATE})
    deployment.repositories.states[HUB_NAME] = state_of(HUB)
    deployment.repositories.upstream_refusal = "upstream credentials are invalid"

    with fails("misconfigured", "credentials are invalid"):
        deployment.resolve()


# A dry run


def test_dry_run_creates_no_mirror(deployment: Deployment) -> None:
    deployment.mirrors = deployment.start_instance(dry_run=True)

    with pytest.raises(MissingMirrorError) as caught:
        deployment.resolve()

    assert caught.value.repository == HUB
    assert deployment.repositories.created == []


def test_dry_run_resolves_through_an_existing_mirror_and_leaves_it_unchanged() -> None:
    deployment = Deployment({"upstreams": PRIVATE, "dry_run": True})
    deployment.repositories.states[HUB_NAME] = state_of(HUB)

    assert deployment.resolve() == TOOL.digest
    assert deployment.repositories.updated == []
    assert deployment.repositories.states == {HUB_NAME: state_of(HUB)}


def test_dry_run_refuses_an_unrelated_repository(deployment: Deployment) -> None:
    deployment.mirrors = deployment.start_instance(dry_run=True)
    deployment.repositories.states[HUB_NAME] = RepositoryState(is_docker_remote=False)

    with fails("misconfigured"):
        deployment.resolve()
