"""Repositories in Artifact Registry: their names, their locations, and their states."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.cluster import mirror_location, region_of
from shared.domain.mirror import (
    ArtifactPath,
    RemoteRepository,
    RepositoryName,
    RepositoryState,
    UpstreamCredentials,
    compare_repository,
    is_google_registry,
    make_repository_id,
)

NAME = RepositoryName("demo", "us-central1", "dockerhub-mirror")
LOGIN = UpstreamCredentials("reader", "projects/demo/secrets/hub/versions/3")
OTHER = UpstreamCredentials("reader", "projects/demo/secrets/hub/versions/4")


def wanted(uri: str | None = None, login: UpstreamCredentials | None = None) -> RemoteRepository:
    return RemoteRepository(NAME, "docker.io" if uri is None else "ghcr.io", uri, login)


def test_repository_has_a_name_a_host_and_a_path() -> None:
    assert str(NAME) == "projects/demo/locations/us-central1/repositories/dockerhub-mirror"
    assert NAME.registry == "us-central1-docker.pkg.dev"
    assert NAME.path == "demo/dockerhub-mirror"


def test_project_of_a_domain_has_a_slash_in_the_path() -> None:
    name = RepositoryName("example.com:ml", "us", "apps")

    assert name.path == "example.com/ml/apps"
    assert name.parent == "projects/example.com:ml/locations/us"


def test_description_names_the_upstream_and_the_owner() -> None:
    assert "ghcr.io" in wanted("https://ghcr.io").description
    assert "Prestream" in wanted("https://ghcr.io").description


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ("docker.io", "dockerhub-mirror"),
        ("ghcr.io", "ghcr-io-mirror"),
        ("registry.k8s.io", "registry-k8s-io-mirror"),
        ("public.ecr.aws", "public-ecr-aws-mirror"),
        ("registry.example.com:5000", "registry-example-com-5000-mirror"),
        ("10.0.0.7", "r-10-0-0-7-mirror"),
        ("xn--80ak6aa92e.com", "xn-80ak6aa92e-com-mirror"),
    ],
)
def test_mirror_is_named_after_its_upstream(upstream: str, expected: str) -> None:
    assert make_repository_id(upstream) == expected


@given(st.text("abcXYZ019.-:", min_size=1, max_size=300))
@example("a" * 300)
@example("a" * 55 + ".io")
@example("-")
def test_every_host_makes_an_id_that_artifact_registry_accepts(host: str) -> None:
    repository_id = make_repository_id(host)

    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", repository_id)
    assert repository_id.endswith("-mirror")


@pytest.mark.parametrize(
    ("location", "region"),
    [
        ("us-central1", "us-central1"),
        ("us-central1-a", "us-central1"),
        ("northamerica-northeast2-c", "northamerica-northeast2"),
        ("us", "us"),
    ],
)
def test_zone_lies_in_its_region(location: str, region: str) -> None:
    assert region_of(location) == region


@pytest.mark.parametrize(
    ("setting", "cluster", "expected"),
    [
        ("region", "us-central1-a", "us-central1"),
        ("region", "europe-west4", "europe-west4"),
        ("multi-region", "us-central1-a", "us"),
        ("multi-region", "europe-west4", "europe"),
        ("multi-region", "asia-east1", "asia"),
        ("multi-region", "northamerica-northeast1", "northamerica-northeast1"),
        ("us", "us-central1", "us"),
        ("us-east1", "us-central1", "us-east1"),
    ],
)
def test_mirror_lies_where_the_cluster_can_stream_from(
    setting: str, cluster: str, expected: str
) -> None:
    assert mirror_location(setting, cluster) == expected


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("us-docker.pkg.dev", True),
        ("europe-west4-docker.pkg.dev", True),
        ("US-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("docker.io", False),
        ("pkg.dev.example.com", False),
        ("evil-pkg.dev", False),
        ("notgcr.io", False),
        ("gcr.io.example.com", False),
        ("gcr.io:5000", False),
        ("us-docker.pkg.dev:443", False),
    ],
)
def test_only_google_s_own_hosts_are_google_s(registry: str, *, expected: bool) -> None:
    assert is_google_registry(registry) == expected


@pytest.mark.parametrize(
    ("registry", "repository", "name", "path"),
    [
        pytest.param(
            "us-docker.pkg.dev",
            "demo/apps/team/tool",
            RepositoryName("demo", "us", "apps"),
            "team/tool",
            id="project",
        ),
        pytest.param(
            "us-central1-docker.pkg.dev",
            "example.com/ml/apps/tool",
            RepositoryName("example.com:ml", "us-central1", "apps"),
            "tool",
            id="domain",
        ),
        pytest.param(
            "US-docker.pkg.dev",
            "demo/apps/tool",
            RepositoryName("demo", "us", "apps"),
            "tool",
            id="upper-case-host",
        ),
    ],
)
def test_image_of_artifact_registry_is_split(
    registry: str, repository: str, name: RepositoryName, path: str
) -> None:
    artifact = ArtifactPath.split(registry, repository)

    assert artifact == ArtifactPath(name, path)


@pytest.mark.parametrize(
    ("registry", "repository"),
    [
        ("us-docker.pkg.dev", "demo/apps"),
        ("us-docker.pkg.dev", "example.com/ml/apps"),
        ("us-docker.pkg.dev", "demo"),
        ("us-python.pkg.dev", "demo/apps/tool"),
        ("us-docker.pkg.dev.example.com", "demo/apps/tool"),
        ("evil.us-docker.pkg.dev", "demo/apps/tool"),
        ("gcr.io", "demo/apps/tool"),
        ("docker.io", "demo/apps/tool"),
    ],
)
def test_image_outside_artifact_registry_is_not_split(registry: str, repository: str) -> None:
    assert ArtifactPath.split(registry, repository) is None


@pytest.mark.parametrize(
    ("labels", "is_ours"),
    [
        ({"managed-by": "prestream"}, True),
        ({"managed-by": "prestream", "team": "ml"}, True),
        ({"managed-by": "terraform"}, False),
        ({"prestream": "managed-by"}, False),
        ({}, False),
    ],
)
def test_label_marks_our_mirrors(labels: dict[str, str], *, is_ours: bool) -> None:
    assert RepositoryState(is_docker_remote=True, labels=labels).is_ours == is_ours


@pytest.mark.parametrize(
    ("want", "have"),
    [
        (None, None),
        (None, "https://registry-1.docker.io"),
        (None, "https://registry-1.docker.io/v2/"),
        (None, "https://index.docker.io/"),
        ("https://registry-1.docker.io", None),
        ("https://ghcr.io", "https://ghcr.io/"),
        ("https://ghcr.io", "https://GHCR.io/v2"),
    ],
)
def test_one_upstream_has_several_addresses(want: str | None, have: str | None) -> None:
    state = RepositoryState(is_docker_remote=True, uri=have)

    assert compare_repository(wanted(want), state) == "same"


@pytest.mark.parametrize(
    ("want", "state"),
    [
        (None, RepositoryState(is_docker_remote=False)),
        ("https://ghcr.io", RepositoryState(is_docker_remote=False, uri="https://ghcr.io")),
        ("https://ghcr.io", RepositoryState(is_docker_remote=True)),
        (None, RepositoryState(is_docker_remote=True, uri="https://ghcr.io")),
        ("https://ghcr.io", RepositoryState(is_docker_remote=True, uri="https://ghcr.io/evil")),
        ("https://ghcr.io", RepositoryState(is_docker_remote=True, uri="http://ghcr.io")),
        ("https://ghcr.io", RepositoryState(is_docker_remote=True, uri="https://ghcr.io.evil.com")),
    ],
)
def test_other_repository_differs_from_a_mirror(want: str | None, state: RepositoryState) -> None:
    assert compare_repository(wanted(want, LOGIN), state) == "another repository"


@pytest.mark.parametrize(
    ("want", "have", "expected"),
    [
        (LOGIN, None, "credentials differ"),
        (LOGIN, OTHER, "credentials differ"),
        (LOGIN, LOGIN, "same"),
        (None, LOGIN, "credentials differ"),
        (None, None, "same"),
    ],
)
def test_credentials_are_those_of_the_configuration_or_differ(
    want: UpstreamCredentials | None, have: UpstreamCredentials | None, expected: str
) -> None:
    state = RepositoryState(is_docker_remote=True, credentials=have)

    assert compare_repository(wanted(None, want), state) == expected
