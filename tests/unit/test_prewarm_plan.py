"""The images that are prewarmed if not all fit, and the time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cron_schedule import Schedule
from shared.domain.image_reference import Digest
from shared.domain.prewarm import PrewarmedArtifact, PrewarmState
from shared.domain.prewarm_plan import LIMIT_BYTES, PrewarmPlan, Wanted, plan_prewarming

NOW = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)
RETENTION = timedelta(days=3)
GB = 1_000_000_000


def digest_of(name: str) -> Digest:
    return Digest(f"sha256:{name:0>64}")


def want(name: str, size: int = GB, workloads: int = 1, start: datetime | None = None) -> Wanted:
    return Wanted(digest_of(name), "us-central1", size, workloads, start)


def hold(
    name: str, size: int = GB, *, left: timedelta = RETENTION, state: PrewarmState = "ACTIVE"
) -> PrewarmedArtifact:
    return PrewarmedArtifact(
        digest_of(name), "us-central1", state, expires=NOW + left, image_bytes=size
    )


def plan(
    wanted: Sequence[Wanted], held: Sequence[PrewarmedArtifact] = (), limit: int = 100 * GB
) -> PrewarmPlan:
    return plan_prewarming(wanted, held, now=NOW, retention=RETENTION, limit_bytes=limit)


def test_artifact_that_fits_is_added() -> None:
    assert plan([want("a"), want("b")]) == PrewarmPlan(added=(want("a"), want("b")))


def test_project_has_a_hundred_gigabytes() -> None:
    fits, too_large = want("a", 100 * GB), want("b", 100 * GB + 1)

    made = plan_prewarming([too_large, fits], [], now=NOW, retention=RETENTION)

    assert LIMIT_BYTES == 100 * GB
    assert (made.added, made.left_out) == ((fits,), (too_large,))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(want("b", 60 * GB, 2), want("a", 50 * GB, 1), id="more-workloads"),
        pytest.param(
            want("b", 60 * GB, start=NOW + timedelta(hours=1)),
            want("a", 50 * GB, start=NOW + timedelta(hours=2)),
            id="starts-sooner",
        ),
        pytest.param(
            want("b", 60 * GB, start=NOW + timedelta(days=2)), want("a", 50 * GB), id="will-start"
        ),
        pytest.param(want("b", 50 * GB), want("a", 60 * GB), id="smaller"),
    ],
)
def test_order_decides_between_two_artifacts(first: Wanted, second: Wanted) -> None:
    assert plan([second, first]) == PrewarmPlan(added=(first,), left_out=(second,))


def test_artifact_that_does_not_fit_leaves_its_room() -> None:
    large, small = want("a", 200 * GB, 9), want("b")

    assert plan([large, small]) == PrewarmPlan(added=(small,), left_out=(large,))


def test_unused_artifact_takes_room() -> None:
    assert plan([want("a", 50 * GB)], [hold("z", 60 * GB)]).left_out == (want("a", 50 * GB),)


@pytest.mark.parametrize(
    ("left", "renewed"),
    [
        pytest.param(timedelta(hours=23), (want("a"),), id="less-than-a-third"),
        pytest.param(timedelta(days=1), (), id="a-third"),
        pytest.param(timedelta(days=3), (), id="all-of-it"),
    ],
)
def test_artifact_is_renewed_in_the_last_third_of_its_time(
    left: timedelta, renewed: tuple[Wanted, ...]
) -> None:
    assert plan([want("a")], [hold("a", left=left)]).renewed == renewed


def test_artifact_in_use_is_kept() -> None:
    held = hold("a", 60 * GB, left=timedelta(hours=1))

    made = plan([want("a", 60 * GB, 1), want("b", 60 * GB, 50)], [held])

    assert (made.renewed, made.left_out) == ((want("a", 60 * GB, 1),), (want("b", 60 * GB, 50),))


def test_unused_artifact_is_not_renewed() -> None:
    assert plan([], [hold("a", left=timedelta(minutes=1))]) == PrewarmPlan()


@pytest.mark.parametrize(
    ("state", "failed"), [("CACHING", ()), ("FAILED", (want("a"),))], ids=["caching", "failed"]
)
def test_pending_or_failed_artifact_is_not_requested_again(
    state: PrewarmState, failed: tuple[Wanted, ...]
) -> None:
    held = hold("a", left=timedelta(hours=1), state=state)

    assert plan([want("a")], [held]) == PrewarmPlan(failed=failed)


def test_another_region_has_a_cache_of_its_own_but_not_a_storage() -> None:
    there = PrewarmedArtifact(
        digest_of("a"), "europe-west4", "ACTIVE", expires=NOW + RETENTION, image_bytes=60 * GB
    )

    assert plan([want("a", 60 * GB)], [there]).left_out == (want("a", 60 * GB),)
    assert plan([want("a", 40 * GB)], [there]).added == (want("a", 40 * GB),)


NAMES = st.sampled_from("abcdefgh")
SIZES = st.integers(min_value=0, max_value=50)
WANTED = st.builds(
    want,
    NAMES,
    SIZES,
    st.integers(min_value=1, max_value=5),
    st.none() | st.integers(0, 72).map(lambda hours: NOW + timedelta(hours=hours)),
)
HELD = st.builds(
    lambda name, size, hours, state: hold(name, size, left=timedelta(hours=hours), state=state),
    NAMES,
    SIZES,
    st.integers(min_value=1, max_value=72),
    st.sampled_from(["CACHING", "ACTIVE", "FAILED"]),
)


@given(
    wanted=st.lists(WANTED, max_size=8, unique_by=lambda each: each.key),
    held=st.lists(HELD, max_size=8, unique_by=lambda each: each.digest),
    data=st.data(),
)
def test_plan_is_never_above_the_limit_drops_nothing_for_less_and_is_always_the_same(
    wanted: list[Wanted], held: list[PrewarmedArtifact], data: st.DataObject
) -> None:
    limit = 100
    taken = sum(each.image_bytes for each in held)

    made = plan(wanted, held, limit)

    # Never above the limit: what is added has room beside all that is held.
    assert taken + sum(each.image_bytes for each in made.added) <= max(limit, taken)
    # Each is in one place at most, and what is nowhere is held and lasts.
    placed = [*made.renewed, *made.added, *made.left_out, *made.failed]
    assert len(placed) == len(set(placed))
    states = {each.digest: each for each in held}
    for each in set(wanted) - set(placed):
        artifact = states[each.digest]
        assert artifact.state == "CACHING" or not artifact.expires_soon(NOW, RETENTION)
    # Nothing in use and held is dropped, and nothing is left out for what is used less.
    assert not {each.digest for each in made.left_out} & set(states)
    for left in made.left_out:
        better = sum(each.image_bytes for each in made.added if each.rank < left.rank)
        assert taken + better + left.image_bytes > limit
    # The same images in any order give the same plan.
    assert plan(data.draw(st.permutations(wanted)), data.draw(st.permutations(held)), limit) == made


# When a workload starts.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0 8 * * *", "2026-11-24T08:00:00+00:00", id="later-today"),
        pytest.param("0 7 * * *", "2026-11-25T07:00:00+00:00", id="tomorrow"),
        pytest.param("30 7 * * *", "2026-11-25T07:30:00+00:00", id="not-now"),
        pytest.param("*/20 * * * *", "2026-11-24T07:40:00+00:00", id="every-twenty-minutes"),
        pytest.param("5/30 * * * *", "2026-11-24T07:35:00+00:00", id="from-five-on"),
        pytest.param("0 0 * * sun", "2026-11-29T00:00:00+00:00", id="by-name"),
        pytest.param("0 0 * * 7", "2026-11-29T00:00:00+00:00", id="sunday-is-seven-too"),
        pytest.param("0 0 1 dec *", "2026-12-01T00:00:00+00:00", id="by-month"),
        pytest.param("0 0 28 * fri", "2026-11-27T00:00:00+00:00", id="either-day"),
        pytest.param("0 9,18 24-26 11 *", "2026-11-24T09:00:00+00:00", id="lists-and-ranges"),
        pytest.param("@daily", "2026-11-25T00:00:00+00:00", id="macro"),
        pytest.param("0 0 1 1 *", None, id="too-far"),
        pytest.param("@every 1h", None, id="not-of-kubernetes"),
        pytest.param("61 * * * *", None, id="no-minute"),
        pytest.param("*/0 * * * *", None, id="no-step"),
        pytest.param("a b c d e", None, id="no-schedule"),
        pytest.param("", None, id="empty"),
    ],
)
def test_schedule_has_its_next_start(text: str, expected: str | None) -> None:
    start = Schedule(text).next_start(NOW, timedelta(days=14))

    assert (start and start.isoformat()) == expected


def test_schedule_is_meant_in_its_time_zone() -> None:
    start = Schedule("0 9 * * *", "Europe/Berlin").next_start(NOW, timedelta(days=1))

    assert start == datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Nowhere/City", "../../etc/passwd", "/etc/passwd"])
def test_unknown_time_zone_has_no_next_start(zone: str) -> None:
    assert Schedule("0 9 * * *", zone).next_start(NOW, timedelta(days=1)) is None
