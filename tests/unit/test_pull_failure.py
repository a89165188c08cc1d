"""Texts of failed pulls that no recording has, and what must not change a classification."""

import pytest

from shared.domain.pull_failure import classify_pull_failure

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
IMAGE = f"{MIRROR}:2.7.0"


def failed(reason: str, image: str = IMAGE) -> str:
    """Return the kubelet's message, with containerd's frame around the reason."""
    return (
        f'Failed to pull image "{image}": rpc error: code = Unknown desc ='
        f' failed to pull and unpack image "{image}": {reason}'
    )


def unresolved(reason: str, image: str = IMAGE) -> str:
    return failed(f'failed to resolve reference "{image}": {reason}', image)


FAILURES = [
    pytest.param(unresolved(f"{IMAGE}: not found"), "not_found", id="containerd-not-found"),
    pytest.param(
        unresolved("unexpected status from HEAD request: 404 Not Found"), "not_found", id="http-404"
    ),
    pytest.param("manifest unknown: Failed to fetch", "not_found", id="manifest-unknown"),
    pytest.param("NAME_UNKNOWN: Repository does not exist", "not_found", id="name-unknown"),
    pytest.param(
        unresolved(
            "pulling from host gcr.io failed with status code [manifests 1.0]: 403 Forbidden"
        ),
        "denied",
        id="http-403",
    ),
    pytest.param(
        unresolved(
            "failed to authorize: failed to fetch anonymous token: unexpected status from GET"
            " request to https://gcr.io/v2/token?scope=repository%3Ademo&service=gcr.io:"
            " 403 Forbidden"
        ),
        "denied",
        id="no-token",
    ),
    pytest.param(
        unresolved(
            "pull access denied, repository does not exist or may require authorization:"
            " server message: insufficient_scope: authorization failed",
            "docker.io/acme/secret:1",
        ),
        "denied",
        id="docker-hub-private-or-absent",
    ),
    pytest.param("rpc error: code = PermissionDenied desc = no", "denied", id="grpc-denied"),
    pytest.param("unexpected status: 401 Unauthorized", "denied", id="http-401"),
    pytest.param(
        failed(
            "failed to copy: httpReadSeeker: failed open: unexpected status code"
            " https://registry-1.docker.io/v2/a/b/manifests/sha256:00: 429 Too Many Requests -"
            " Server message: toomanyrequests: You have reached your unauthenticated pull rate"
            " limit. https://www.docker.com/increase-rate-limit"
        ),
        "rate_limited",
        id="docker-hub-limit",
    ),
    pytest.param(
        "rpc error: code = ResourceExhausted desc = Quota exceeded", "rate_limited", id="quota"
    ),
    pytest.param(
        failed(
            'failed to extract layer sha256:00: write "/var/lib/containerd/'
            'io.containerd.snapshotter.v1.gcfs/snapshotter/snapshots/9/fs/x": no space left on'
            " device: unknown"
        ),
        "disk_full",
        id="disk-full",
    ),
    pytest.param(failed("no match for platform in manifest: not found"), "platform", id="platform"),
    pytest.param(
        failed("no match for current platform linux/arm64 in manifest sha256:00: not found"),
        "platform",
        id="older-platform",
    ),
    pytest.param(
        "no matching manifest for linux/amd64 in the manifest list entries", "platform", id="docker"
    ),
    pytest.param(
        failed(
            'failed to prepare extraction snapshot "extract-763 sha256:d1": parent snapshot'
            " sha256:38 does not exist: not found"
        ),
        "layer_lost",
        id="snapshot-lost",
    ),
    pytest.param(
        failed("failed to get reader from content store: content digest sha256:38: not found"),
        "layer_lost",
        id="content-lost",
    ),
    pytest.param(
        failed(
            'media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer'
            " supported since containerd v2.1"
        ),
        "schema_1",
        id="schema-1",
    ),
    pytest.param(
        failed("support for pulling Schema 1 images is disabled"), "schema_1", id="schema-1-words"
    ),
    pytest.param(
        unresolved(f'failed to do request: Head "https://{MIRROR}": dial tcp: i/o timeout'),
        "unavailable",
        id="dial-timeout",
    ),
    pytest.param(
        unresolved("failed to do request: Head: dial tcp: lookup r.io: no such host"),
        "unavailable",
        id="dns",
    ),
    pytest.param(
        unresolved(
            "failed to authorize: failed to fetch oauth token: unexpected status: 503 Service"
            " Unavailable"
        ),
        "unavailable",
        id="token-service-down",
    ),
    pytest.param(failed("unexpected EOF"), "unavailable", id="eof"),
    pytest.param(failed("net/http: TLS handshake timeout"), "unavailable", id="tls-timeout"),
    pytest.param("rpc error: code = DeadlineExceeded desc = x", "unavailable", id="deadline"),
    pytest.param("pull QPS exceeded", "unavailable", id="kubelet-throttle"),
    pytest.param(
        'Failed to pull image "A:1": couldn\'t parse image reference: invalid reference format',
        "invalid_reference",
        id="invalid-reference",
    ),
    pytest.param(
        failed("mkdir /var/lib/containerd: permission denied"), "other", id="local-denied"
    ),
    pytest.param(failed("something new"), "other", id="unknown"),
    pytest.param("", "other", id="empty"),
    pytest.param(
        unresolved(
            "failed to authorize: failed to fetch oauth token: unexpected status from GET request"
            f" to https://us-docker.pkg.dev/v2/token?scope={MIRROR}: 404 Not Found"
        ),
        "not_found",
        id="no-repository-for-a-token",
    ),
    pytest.param(
        failed("failed to extract layer sha256:00: unexpected EOF: unknown"),
        "damaged",
        id="layer-ends-early",
    ),
    pytest.param(
        failed("failed to extract layer sha256:00: flate: corrupt input before offset 5"),
        "damaged",
        id="layer-is-corrupt",
    ),
    pytest.param(
        failed("failed to extract layer sha256:00: mount callback failed on /tmp: no such device"),
        "other",
        id="layer-cannot-be-mounted",
    ),
    pytest.param(
        unresolved("http: server gave HTTP response to HTTPS client"), "tls", id="plain-http"
    ),
    pytest.param(
        failed(
            "failed to extract layer sha256:00: failed to get stream processor for"
            " application/vnd.oci.image.layer.v1.tar+gzip+encrypted: ctd-decoder: not found"
        ),
        "unsupported",
        id="encrypted",
    ),
    pytest.param(
        failed("missing private key needed for decryption: not found"),
        "unsupported",
        id="encrypted-without-a-key",
    ),
    pytest.param(
        "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi",
        "disk_full",
        id="evicted-for-disk",
    ),
    pytest.param("The node was low on resource: memory.", "other", id="evicted-for-memory"),
    pytest.param(unresolved("unexpected status: 599 "), "unavailable", id="status-of-a-proxy"),
    pytest.param(
        unresolved("unexpected status: 403 Forbidden - Server message: 500 pulls are left"),
        "denied",
        id="number-in-a-message",
    ),
]


SHORT_TEXTS = {
    "rate_limited": ["toomanyrequests: ", "code = ResourceExhausted", "Quota exceeded for pulls"],
    "unavailable": [
        "code = Unavailable",
        "502 Bad Gateway",
        "RegistryUnavailable: ",
        "operation timed out",
        "dial tcp: no route to host",
        "dial tcp: network is unreachable",
        "write: broken pipe",
        "context canceled",
    ],
    "not_found": ["name unknown: failed to authorize", 'tag "v1" does not exist'],
    "denied": [
        "unauthenticated: ",
        "insufficient_scope: ",
        "failed to authorize: ",
        "it may require authorization",
    ],
    "invalid_reference": ["invalid reference format", "InvalidImageName", "couldn't parse image"],
}
FAILURES += [
    pytest.param(text, kind, id=text) for kind, texts in SHORT_TEXTS.items() for text in texts
]


@pytest.mark.parametrize(("message", "kind"), FAILURES)
def test_text_has_its_kind(message: str, kind: str) -> None:
    failure = classify_pull_failure(message)

    assert failure.kind == kind
    assert failure.reason
    assert failure.hint.endswith(".")


@pytest.mark.parametrize(("message", "kind"), FAILURES)
def test_only_a_rate_limit_postpones(message: str, kind: str) -> None:
    failure = classify_pull_failure(message)

    assert (failure.outcome == "postponed") == (kind == "rate_limited")


TEMPORARY = {"layer_lost", "rate_limited", "unavailable", "other"}


@pytest.mark.parametrize(("message", "kind"), FAILURES)
def test_retries_are_left_to_temporary_failures(message: str, kind: str) -> None:
    assert classify_pull_failure(message).permanent == (kind not in TEMPORARY)


@pytest.mark.parametrize(
    "message", ["pull QPS exceeded", failed("context canceled"), failed("no space left on device")]
)
def test_node_is_at_fault_for_its_own_limits(message: str) -> None:
    assert classify_pull_failure(message).at_fault == "node"


@pytest.mark.parametrize(
    "name",
    [
        "acme/timeout:1",
        "acme/not-found:429",
        "acme/no-space-left-on-device:forbidden",
        "acme/denied:toomanyrequests",
        "unauthorized/schema1:eof",
    ],
)
def test_words_in_the_name_of_an_image_mean_nothing(name: str) -> None:
    image = f"us-central1-docker.pkg.dev/demo/hub/{name}"
    address = f'Head "https://us-central1-docker.pkg.dev/v2/demo/{name}"'

    failure = classify_pull_failure(unresolved(f"{image}: {address}: something new", image))

    assert failure.kind == "other"


@pytest.mark.parametrize("name", ["not", "found", "o", "denied"])
def test_image_of_one_word_does_not_hide_the_reason(name: str) -> None:
    message = (
        f'Failed to pull image "{name}": failed to resolve reference'
        f' "docker.io/library/{name}:latest": docker.io/library/{name}:latest: not found'
    )

    assert classify_pull_failure(message).kind == "not_found"


def test_grant_that_is_missing_is_named() -> None:
    repository = "projects/demo/locations/us-central1/repositories/dockerhub-mirror"
    message = unresolved(
        'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on'
        f' resource "{repository}" (or it may not exist)'
    )

    failure = classify_pull_failure(message)

    assert failure.kind == "denied"
    assert f"roles/artifactregistry.reader on {repository}" in failure.hint
    assert "artifactregistry.repositories.downloadArtifacts" in failure.reason


def test_refusal_of_artifact_registry_has_the_hint_on_grants() -> None:
    failure = classify_pull_failure(unresolved("unexpected status: 403 Forbidden"))

    assert "roles/artifactregistry.reader" in failure.hint


def test_another_registry_asks_for_no_grant_of_google() -> None:
    failure = classify_pull_failure(unresolved("403 Forbidden", "ghcr.io/acme/app:1"))

    assert failure.kind == "denied"
    assert "artifactregistry" not in failure.hint


@pytest.mark.parametrize("word", ["unauthorized", "timeout", "decrypt"])
def test_words_in_a_host_or_a_tag_mean_nothing(word: str) -> None:
    host = f"{word}.example.com"
    reason = f"pulling from host {host} failed with status code [manifests {word}]: 418 Teapot"

    failure = classify_pull_failure(unresolved(reason, f"{host}/team/app:{word}"))

    assert failure.kind == "other"


def test_words_in_the_host_of_a_lookup_mean_nothing() -> None:
    host = "decrypt.example.com"
    reason = f"dial tcp: lookup {host} on 10.0.0.1:53: no such host"

    assert classify_pull_failure(unresolved(reason, f"{host}/app:1")).kind == "unavailable"
