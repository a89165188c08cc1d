"""Names of an image: its upstream's, and its mirror's."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.image_reference import Digest, ImageReference, parse_reference
from shared.domain.mirror import RepositoryName, make_repository_id
from shared.domain.mirror_reference import rewrite_reference, trace_upstream

HUB = RepositoryName("demo", "us-central1", "dockerhub-mirror")
DIGEST = Digest(f"sha256:{'a' * 64}")
UPSTREAMS = {"dockerhub-mirror": "docker.io", "ghcr-io-mirror": "ghcr.io"}

words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
hosts = st.one_of(
    st.sampled_from(["docker.io", "ghcr.io", "registry.k8s.io", "localhost", "10.0.0.7:5000"]),
    st.builds("{}.{}:{}".format, words, words, st.integers(1, 65535)),
    st.builds("{}.{}".format, words, words),
)
google_hosts = st.sampled_from(["gcr.io", "eu.gcr.io", "us-docker.pkg.dev"])
paths = st.lists(words, min_size=1, max_size=4).map("/".join)
tags = st.one_of(st.none(), words)
digests = st.one_of(
    st.none(), st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
)
upstream_references = st.builds(ImageReference, hosts, paths, tags, digests)
references = st.builds(ImageReference, st.one_of(hosts, google_hosts), paths, tags, digests)
projects = st.one_of(
    st.builds("p{}".format, words),
    st.builds("{}.{}:p{}".format, words, words, words),
)
mirrors = st.builds(
    RepositoryName,
    projects,
    st.sampled_from(["us", "us-central1", "europe-west4"]),
    st.builds("r{}-mirror".format, words),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nginx", "library/nginx:latest", id="official"),
        pytest.param("anyscale/ray-ml:2.7.0", "anyscale/ray-ml:2.7.0", id="tag"),
        pytest.param(f"redis:7@{DIGEST}", f"library/redis:7@{DIGEST}", id="tag-and-digest"),
        pytest.param(f"redis@{DIGEST}", f"library/redis@{DIGEST}", id="digest"),
        pytest.param("index.docker.io/a/b:1", "a/b:1", id="alias"),
    ],
)
def test_mirror_serves_an_image_under_its_full_path(text: str, expected: str) -> None:
    rewritten = rewrite_reference(parse_reference(text), HUB)

    assert str(rewritten) == f"us-central1-docker.pkg.dev/demo/dockerhub-mirror/{expected}"


@pytest.mark.parametrize(
    "text", ["gcr.io/google/pause:3", "us-docker.pkg.dev/other/apps/tool:1", "eu.gcr.io/p/a:1"]
)
def test_image_at_google_is_unchanged(text: str) -> None:
    reference = parse_reference(text)

    assert rewrite_reference(reference, HUB) == reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "us-central1-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:1.27",
            "docker.io/library/nginx:1.27",
            id="hub",
        ),
        pytest.param(
            f"europe-west4-docker.pkg.dev/demo/ghcr-io-mirror/org/app@{DIGEST}",
            f"ghcr.io/org/app@{DIGEST}",
            id="another-location",
        ),
    ],
)
def test_name_in_our_mirror_is_traced_to_its_upstream(text: str, expected: str) -> None:
    assert str(trace_upstream(parse_reference(text), "demo", UPSTREAMS)) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("us-docker.pkg.dev/demo/apps/library/nginx:1", id="another-repository"),
        pytest.param("us-docker.pkg.dev/other/dockerhub-mirror/library/nginx:1", id="project"),
        pytest.param("us-docker.pkg.dev/demo/dockerhub-mirror:1", id="no-image"),
        pytest.param("gcr.io/demo/dockerhub-mirror/library/nginx:1", id="gcr"),
        pytest.param("docker.io/demo/dockerhub-mirror/nginx:1", id="upstream"),
        pytest.param(
            "us-docker.pkg.dev.example.com/demo/dockerhub-mirror/library/nginx:1", id="lookalike"
        ),
    ],
)
def test_any_other_name_is_traced_to_nothing(text: str) -> None:
    assert trace_upstream(parse_reference(text), "demo", UPSTREAMS) is None


@given(references, mirrors, mirrors)
def test_rewriting_twice_is_rewriting_once(
    reference: ImageReference, mirror: RepositoryName, other: RepositoryName
) -> None:
    once = rewrite_reference(reference, mirror)

    assert rewrite_reference(once, mirror) == once
    assert rewrite_reference(once, other) == once


@given(upstream_references, mirrors)
def test_rewritten_reference_is_traced_back_to_itself(
    reference: ImageReference, mirror: RepositoryName
) -> None:
    rewritten = rewrite_reference(reference, mirror)
    upstreams = {mirror.repository_id: reference.registry}

    assert trace_upstream(rewritten, mirror.project, upstreams) == reference


@given(upstream_references, mirrors)
def test_rewritten_reference_keeps_its_version_and_can_be_written(
    reference: ImageReference, mirror: RepositoryName
) -> None:
    rewritten = rewrite_reference(reference, mirror)

    assert (rewritten.tag, rewritten.digest) == (reference.tag, reference.digest)
    if rewritten.tag or rewritten.digest:
        assert parse_reference(str(rewritten)) == rewritten


@given(upstream_references, st.sampled_from(["us", "us-central1"]))
def test_mirror_of_an_upstream_leads_back_to_it(reference: ImageReference, location: str) -> None:
    repository_id = make_repository_id(reference.registry)

    rewritten = rewrite_reference(reference, RepositoryName("demo", location, repository_id))

    assert rewritten.name.startswith(f"{location}-docker.pkg.dev/demo/{repository_id}/")
    assert trace_upstream(rewritten, "demo", {repository_id: reference.registry}) == reference
    assert trace_upstream(rewritten, "other", {repository_id: reference.registry}) is None
