"""The kubelet's messages about pulls: images, durations and sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.kubelet_messages import (
    InvalidDurationError,
    Pulled,
    parse_failed_image,
    parse_go_duration,
    parse_pulled,
)

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
IMAGE = f"{MIRROR}:2.7.0"
UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


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
        assert parse_failed_image(f'Failed to pull image "{IMAGE}": not found') == IMAGE

    @pytest.mark.parametrize("message", ["Error: ErrImagePull", f'Pulling image "{IMAGE}"'])
    def test_no_other_message_is_a_failed_pull(self, message: str) -> None:
        assert parse_failed_image(message) is None
