"""Whose turn it is, when several warmups wait."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.pipeline.plan_resume import resume_next
from tests.fakes.clusters import FakeCluster
from tests.fakes.warmups import make_warmup


def fill(cluster: FakeCluster, *names: str) -> None:
    for name in names:
        cluster.create_job(make_warmup(name).body())


def running(cluster: FakeCluster) -> list[str]:
    return [name for name, job in cluster.jobs.items() if not job["spec"]["suspend"]]


def test_the_oldest_come_first() -> None:
    cluster = FakeCluster()
    fill(cluster, "warm-c", "warm-a", "warm-b")

    assert resume_next(cluster, 2) == ["warm-c", "warm-a"]
    assert running(cluster) == ["warm-c", "warm-a"]


def test_of_two_made_in_one_second_the_one_that_was_asked_for_first_comes_first() -> None:
    cluster = FakeCluster()
    for name, microsecond in [("warm-a", 900_000), ("warm-b", 1), ("warm-c", 0)]:
        asked = datetime(2026, 11, 24, 7, 0, 0, microsecond, UTC)
        cluster.create_job(make_warmup(name, queued_at=asked).body())
    for job in cluster.jobs.values():
        job["metadata"]["creationTimestamp"] = "2026-11-24T07:00:00Z"

    assert resume_next(cluster, 3) == ["warm-c", "warm-b", "warm-a"]


def test_no_more_run_than_the_limit_allows() -> None:
    cluster = FakeCluster()
    fill(cluster, "warm-a", "warm-b", "warm-c")
    resume_next(cluster, 2)

    assert resume_next(cluster, 2) == []
    assert running(cluster) == ["warm-a", "warm-b"]


def test_more_that_run_than_the_limit_allows_are_left_alone() -> None:
    cluster = FakeCluster()
    fill(cluster, "warm-a", "warm-b", "warm-c")
    resume_next(cluster, 3)
    fill(cluster, "warm-d")

    assert resume_next(cluster, 1) == []
    assert running(cluster) == ["warm-a", "warm-b", "warm-c"]


@pytest.mark.parametrize("condition", ["Complete", "Failed"])
def test_one_that_ended_makes_room_for_the_next(condition: str) -> None:
    cluster = FakeCluster()
    fill(cluster, "warm-a", "warm-b")
    resume_next(cluster, 1)
    cluster.end_job("warm-a", condition)

    assert resume_next(cluster, 1) == ["warm-b"]


def test_one_that_failed_while_it_waited_gets_no_turn() -> None:
    cluster = FakeCluster()
    fill(cluster, "warm-a", "warm-b")
    cluster.end_job("warm-a", "Failed")

    assert resume_next(cluster, 1) == ["warm-b"]


def test_jobs_that_are_none_of_ours_do_not_count() -> None:
    cluster = FakeCluster()
    foreign = make_warmup("backup").body()
    foreign["metadata"]["labels"] = {}
    foreign["spec"]["suspend"] = False
    cluster.create_job(foreign)
    fill(cluster, "warm-a")

    assert resume_next(cluster, 1) == ["warm-a"]


class Interrupted(FakeCluster):
    """A cluster in which something happens between what is read and what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Any = lambda: None

    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().patch_job(name, patch)


def test_two_that_resume_at_once_resume_the_same() -> None:
    cluster = Interrupted()
    fill(cluster, "warm-a", "warm-b", "warm-c", "warm-d")
    others: list[str] = []
    cluster.meanwhile = lambda: others.extend(resume_next(cluster, 2))

    resume_next(cluster, 2)

    assert others == ["warm-a", "warm-b"]
    assert running(cluster) == ["warm-a", "warm-b"]


def test_a_turn_is_not_lost_to_the_controller_that_writes_a_jobs_status() -> None:
    cluster = Interrupted()
    fill(cluster, "warm-a")
    suspended = {"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}
    cluster.meanwhile = lambda: cluster.patch_job("warm-a", suspended)

    assert resume_next(cluster, 1) == ["warm-a"]
    assert running(cluster) == ["warm-a"]


def test_one_that_is_gone_by_now_leaves_its_turn_to_the_next() -> None:
    cluster = Interrupted()
    fill(cluster, "warm-a", "warm-b")
    cluster.meanwhile = lambda: cluster.jobs.pop("warm-a")

    assert resume_next(cluster, 1) == ["warm-b"]


def test_nothing_that_waits_costs_one_call() -> None:
    cluster = FakeCluster()

    assert resume_next(cluster, 5) == []
    assert cluster.calls == ["list_jobs"]
