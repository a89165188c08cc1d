"""The warmup Job: its name, its period, its body, and the state of an existing one."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.image_reference import Digest, ImageReference, parse_reference
from shared.domain.job_state import JobState
from shared.domain.placement import Placement, Toleration
from shared.domain.warmup_job import WarmupKey, period_of, time_to_live_s
from tests.fakes.warmups import DIGEST, HELPER_DIGEST, L4, make_warmup

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
HOUR = 3_600
PERIOD_S = 48 * HOUR
RAY = parse_reference("anyscale/ray-ml:2.7.0")
KEY = WarmupKey(digest=DIGEST, cluster="projects/p/locations/l/clusters/c", target=L4, period=7)
AT = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)


# The name.


def test_name_is_recognisable_and_the_same_each_time() -> None:
    name = KEY.job_name(RAY)

    assert re.fullmatch(r"warm-ray-ml-[0-9a-f]{16}", name)
    assert replace(KEY).job_name(RAY) == name


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"digest": HELPER_DIGEST}, id="digest"),
        pytest.param({"cluster": "projects/p/locations/l/clusters/d"}, id="cluster"),
        pytest.param({"target": Placement()}, id="target"),
        pytest.param({"period": 8}, id="period"),
        pytest.param({"forced_by": "message-1"}, id="forced"),
    ],
)
def test_job_name_depends_on_each_part_of_the_key(change: dict[str, Any]) -> None:
    assert replace(KEY, **change).job_name(RAY) != KEY.job_name(RAY)


def test_two_tags_of_a_digest_are_one_warmup() -> None:
    assert KEY.job_name(parse_reference("anyscale/ray-ml:latest")) == KEY.job_name(RAY)


def test_each_forcing_message_has_its_own_warmup() -> None:
    first, second = (replace(KEY, forced_by=f"message-{number}") for number in (1, 2))

    assert first.job_name(RAY) != second.job_name(RAY)


def test_placements_that_mean_the_same_make_the_same_name() -> None:
    selector = {"cloud.google.com/gke-spot": "true", "cloud.google.com/gke-accelerator": "l4"}
    tolerations = [Toleration("b", "Exists"), Toleration("a", "Exists")]
    one = Placement.of(selector, tolerations)
    other = Placement.of(dict(reversed(selector.items())), [*reversed(tolerations), tolerations[0]])

    assert replace(KEY, target=one).job_name(RAY) == replace(KEY, target=other).job_name(RAY)


@pytest.mark.parametrize(
    ("image", "slug"),
    [
        pytest.param("nginx", "nginx", id="short"),
        pytest.param("a.b/c/my__odd.na--me", "my-odd-na-me", id="separators"),
        pytest.param(f"ghcr.io/o/app@{DIGEST}", "app", id="digest-alone"),
        pytest.param(f"x/{'a' * 33}-b:1", "a" * 33, id="cut-at-a-separator"),
        pytest.param(f"x/{'a' * 200}:{'b' * 128}", "a" * 34, id="longest"),
        pytest.param("x/1:2", "1", id="digits"),
    ],
)
def test_name_is_valid_for_every_image(image: str, slug: str) -> None:
    name = KEY.job_name(parse_reference(image))

    assert name.startswith(f"warm-{slug}-")
    assert name.removeprefix(f"warm-{slug}-").isalnum()
    assert LABEL.fullmatch(name)


@given(
    repository=st.from_regex(r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*", fullmatch=True),
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True),
)
def test_every_name_fits_a_label_and_leaves_room_for_a_pods(
    repository: str, tag: str | None
) -> None:
    name = KEY.job_name(ImageReference("docker.io", f"library/{repository}", tag))

    assert LABEL.fullmatch(name)
    assert len(f"{name}-abcde") <= 63


# The period.


def test_period_lasts_as_long_as_it_is_configured() -> None:
    periods = [
        period_of(AT + timedelta(hours=hours), DIGEST, PERIOD_S) for hours in range(2 * 48 + 1)
    ]

    assert periods == sorted(periods)
    assert periods[-1] - periods[0] == 2
    assert max(periods.count(number) for number in periods) == 48


def test_same_moment_lies_in_the_same_period_in_every_time_zone() -> None:
    elsewhere = AT.astimezone(datetime.strptime("+0530", "%z").tzinfo)

    assert period_of(elsewhere, DIGEST, PERIOD_S) == period_of(AT, DIGEST, PERIOD_S)


def test_periods_of_digests_begin_at_different_times() -> None:
    def beginning(number: int) -> int:
        digest = Digest(f"sha256:{number:064x}")
        first = period_of(AT, digest, PERIOD_S)
        return next(
            hours
            for hours in range(1, 49)
            if period_of(AT + timedelta(hours=hours), digest, PERIOD_S) > first
        )

    beginnings = {beginning(number) for number in range(200)}

    assert len(beginnings) > 40


@pytest.mark.parametrize("period_s", [0.5, 1.0, 1800.5, 31_536_000.0])
def test_any_length_of_a_period_will_do(period_s: float) -> None:
    number = period_of(AT, DIGEST, period_s)

    assert period_of(AT + timedelta(seconds=period_s), DIGEST, period_s) in {number, number + 1}
    assert period_of(AT + timedelta(seconds=2 * period_s), DIGEST, period_s) > number


@pytest.mark.parametrize(
    ("period_s", "max_age_s", "limit_s"),
    [
        pytest.param(48 * HOUR, 24 * HOUR, 72 * HOUR, id="defaults"),
        pytest.param(48 * HOUR, 168 * HOUR, 216 * HOUR, id="old-messages"),
        pytest.param(90_000.5, 1800.5, 91_801, id="fractions"),
        pytest.param(0.5, 1800, 24 * HOUR, id="day-of-the-daily-budget"),
        pytest.param(48 * HOUR, 0, 48 * HOUR + 31 * 24 * HOUR, id="no-limit-but-the-topics"),
        pytest.param(8760 * HOUR, 744 * HOUR, 9504 * HOUR, id="longest"),
    ],
)
def test_job_outlives_all_messages_that_can_request_it(
    period_s: float, max_age_s: float, limit_s: int
) -> None:
    lives = time_to_live_s(period_s, max_age_s)

    assert limit_s < lives < 2**31
    assert isinstance(lives, int)


# An existing Job.


def stand(spec: dict[str, Any], *conditions: str) -> JobState:
    """Return the state of a Job; a condition with a minus is one that does not hold."""
    listed = [
        {"type": kind.removeprefix("-"), "status": "False" if kind.startswith("-") else "True"}
        for kind in conditions
    ]
    return JobState.from_body(
        {
            "metadata": {"name": "warm-a", "uid": "u", "creationTimestamp": "2026-11-24T07:00:00Z"},
            "spec": spec,
            "status": {"conditions": listed},
        }
    )


WAITS = {"suspend": True}
RUNS = {"suspend": False}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(stand(WAITS), "waiting", id="new"),
        pytest.param(stand(WAITS, "Suspended"), "waiting", id="suspended"),
        pytest.param(stand(RUNS), "running", id="resumed"),
        pytest.param(stand({}), "running", id="never-suspended"),
        pytest.param(stand(RUNS, "-Suspended"), "running", id="running"),
        pytest.param(stand(RUNS, "FailureTarget"), "running", id="failing"),
        pytest.param(stand(RUNS, "Complete"), "finished", id="complete"),
        pytest.param(stand(RUNS, "Failed"), "finished", id="failed"),
        pytest.param(stand(WAITS, "Failed"), "finished", id="failed-while-suspended"),
        pytest.param(stand(RUNS, "-Failed"), "running", id="not-failed"),
    ],
)
def test_job_waits_runs_or_is_finished(state: JobState, expected: str) -> None:
    assert state.is_waiting is (expected == "waiting")
    assert state.is_running is (expected == "running")
    assert state.is_finished is (expected == "finished")


def test_job_is_failed_or_complete() -> None:
    failed, complete = stand(RUNS, "Failed"), stand(RUNS, "Complete")

    assert (failed.is_failed, failed.is_complete) == (True, False)
    assert (complete.is_failed, complete.is_complete) == (False, True)


def test_job_whose_fact_is_written_is_marked() -> None:
    body = {"metadata": {"name": "a", "annotations": {"prestream.dev/reported": "fact"}}}

    assert JobState.from_body(body).is_reported
    assert not JobState.from_body({"metadata": {"name": "a"}}).is_reported


def test_job_of_a_warmup_is_read_as_waiting() -> None:
    state = JobState.from_body(make_warmup().body())

    assert state.name == "warm-ray-ml-2-7-0-0123456789"
    assert state.is_waiting
