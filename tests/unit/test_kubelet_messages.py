"""What the kubelet says about pulls: durations, sizes, and why a pull failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.kubelet_messages import (
    InvalidDurationError,
    Pulled,
    classify_pull_failure,
    parse_failed_image,
    parse_go_duration,
    parse_pulled,
)

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
IMAGE = f"{MIRROR}:2.7.0"
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def failed(reason: str, image: str = IMAGE) -> str:
    """Return the kubelet's message, with containerd's frame around the reason."""
    return (
        f'Failed to pull image "{image}": rpc error: code = Unknown desc ='
        f' failed to pull and unpack image "{image}": {reason}'
    )


def unresolved(reason: str, image: str = IMAGE) -> str:
    return failed(f'failed to resolve reference "{image}": {reason}', image)


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("794.767724ms", 0.794767724),
            ("9.722063481s", 9.722063481),
            ("2m30.462s", 150.462),
            ("1h2m3s", 3723.0),
            ("36s", 36.0),
            ("1.5h", 5400.0),
            ("12.5\u00b5s", 0.0000125),
            ("12.5\u03bcs", 0.0000125),
            ("12.5us", 0.0000125),
            ("987ns", 0.000000987),
            ("0s", 0.0),
            ("0", 0.0),
        ],
    )
    def test_every_unit_is_read(self, text: str, seconds: float) -> None:
        assert parse_go_duration(text) == seconds

    @pytest.mark.parametrize(
        "text", ["", "1", "s", "1d", "1.2.3s", "1s ", " 1s", "1s2", "-1s", "1,5s", "٣s", "1 s"]
    )
    def test_duration_in_another_format_than_gos_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidDurationError):
            parse_go_duration(text)

    @given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(UNITS))), min_size=1))
    def test_duration_is_the_sum_of_its_parts(self, parts: list[tuple[int, str]]) -> None:
        text = "".join(f"{number}{unit}" for number, unit in parts)
        nanoseconds = sum(number * UNITS[unit] for number, unit in parts)

        assert parse_go_duration(text) == nanoseconds / 10**9


class TestPulledMessages:
    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            pytest.param(
                f'Successfully pulled image "{IMAGE}" in 794.767724ms',
                Pulled(IMAGE, seconds=0.794767724),
                id="1.26",
            ),
            pytest.param(
                f'Successfully pulled image "{IMAGE}" in 9.72s (12.5s including waiting)',
                Pulled(IMAGE, seconds=9.72),
                id="1.27-without-the-wait",
            ),
            pytest.param(
                f'Successfully pulled image "{IMAGE}" in 2m30.462s (2m30.462s including waiting).'
                " Image size: 113010021 bytes.",
                Pulled(IMAGE, seconds=150.462, image_bytes=113010021),
                id="1.30",
            ),
            pytest.param(
                f'Successfully pulled image "{IMAGE}" in 1.3s (1.3s including waiting).'
                " Image size: 113010021 bytes. And more.",
                Pulled(IMAGE, seconds=1.3, image_bytes=113010021),
                id="text-appended",
            ),
            pytest.param(
                f'(combined from similar events): Successfully pulled image "{IMAGE}" in 2s',
                Pulled(IMAGE, seconds=2.0),
                id="combined",
            ),
            pytest.param(
                f'Successfully pulled image "{IMAGE}"', Pulled(IMAGE), id="without-a-duration"
            ),
            pytest.param(
                f'Successfully pulled image "{IMAGE}" in a while',
                Pulled(IMAGE),
                id="with-an-odd-duration",
            ),
            pytest.param(
                f'Container image "{IMAGE}" already present on machine',
                Pulled(IMAGE, already_present=True),
                id="present",
            ),
            pytest.param(
                f'Container image "{IMAGE}" already present on machine and can be accessed by the'
                " pod",
                Pulled(IMAGE, already_present=True),
                id="present-1.35",
            ),
        ],
    )
    def test_every_wording_is_read(self, message: str, expected: Pulled) -> None:
        assert parse_pulled(message) == expected

    @pytest.mark.parametrize(
        "message",
        [
            "",
            f'Pulling image "{IMAGE}"',
            f'Container image "{IMAGE}" is not present with pull policy of Never',
            f'Failed to pull image "{IMAGE}": Successfully pulled image "{IMAGE}" in 1s',
        ],
    )
    def test_no_other_message_is_a_pull(self, message: str) -> None:
        assert parse_pulled(message) is None


class TestFailedImages:
    def test_image_of_a_failed_pull_is_read(self) -> None:
        assert parse_failed_image(unresolved("not found")) == IMAGE

    @pytest.mark.parametrize("message", ["Error: ErrImagePull", f'Pulling image "{IMAGE}"'])
    def test_no_other_message_is_a_failed_pull(self, message: str) -> None:
        assert parse_failed_image(message) is None


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
]


class TestFailures:
    @pytest.mark.parametrize(("message", "kind"), FAILURES)
    def test_every_reason_has_its_kind(self, message: str, kind: str) -> None:
        failure = classify_pull_failure(message)

        assert failure.kind == kind
        assert failure.reason
        assert failure.hint.endswith(".")

    @pytest.mark.parametrize(("message", "kind"), FAILURES)
    def test_only_a_rate_limit_postpones(self, message: str, kind: str) -> None:
        failure = classify_pull_failure(message)

        assert (failure.outcome == "postponed") == (kind == "rate_limited")

    @pytest.mark.parametrize(("message", "kind"), FAILURES)
    def test_permanent_failures_are_not_retried(self, message: str, kind: str) -> None:
        failure = classify_pull_failure(message)

        person = {"denied", "not_found", "platform", "schema_1", "invalid_reference"}
        assert failure.permanent == (kind in person)

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
    def test_words_in_the_name_of_an_image_mean_nothing(self, name: str) -> None:
        image = f"us-central1-docker.pkg.dev/demo/hub/{name}"
        address = f'Head "https://us-central1-docker.pkg.dev/v2/demo/{name}"'

        failure = classify_pull_failure(unresolved(f"{image}: {address}: something new", image))

        assert failure.kind == "other"

    @pytest.mark.parametrize("name", ["not", "found", "o", "denied"])
    def test_image_of_one_word_does_not_hide_the_reason(self, name: str) -> None:
        message = (
            f'Failed to pull image "{name}": failed to resolve reference'
            f' "docker.io/library/{name}:latest": docker.io/library/{name}:latest: not found'
        )

        assert classify_pull_failure(message).kind == "not_found"

    def test_grant_that_is_missing_is_named(self) -> None:
        repository = "projects/demo/locations/us-central1/repositories/dockerhub-mirror"
        message = unresolved(
            'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on'
            f' resource "{repository}" (or it may not exist)'
        )

        failure = classify_pull_failure(message)

        assert failure.kind == "denied"
        assert f"roles/artifactregistry.reader on {repository}" in failure.hint
        assert "artifactregistry.repositories.downloadArtifacts" in failure.reason

    def test_refusal_of_artifact_registry_has_the_hint_on_grants(self) -> None:
        failure = classify_pull_failure(unresolved("unexpected status: 403 Forbidden"))

        assert "roles/artifactregistry.reader" in failure.hint

    def test_another_registry_asks_for_no_grant_of_google(self) -> None:
        failure = classify_pull_failure(unresolved("403 Forbidden", "ghcr.io/acme/app:1"))

        assert failure.kind == "denied"
        assert "artifactregistry" not in failure.hint
