"""Reports of Jobs: an ended warmup is reported once, and the next one is resumed."""

import itertools
from typing import Any

import pytest

from shared.domain.warmup_job import REPORTED_ANNOTATION
from shared.errors import ConfigurationError, TransientError
from tests.fakes.node_reports import (
    JOB,
    MIRROR,
    STATEMENT,
    job_event,
    node_event,
    pod_event,
    pulled_text,
)
from tests.fakes.observers import ObservedWarmup
from tests.fakes.warmups import MIRRORS

OWN = "us-central1-docker.pkg.dev/demo/apps/vllm:1"


@pytest.mark.parametrize(
    ("reason", "condition", "outcome"),
    [
        ("Completed", "CompletionsReached", "pulled"),
        ("BackoffLimitExceeded", "BackoffLimitExceeded", "pull_failed"),
        ("DeadlineExceeded", "DeadlineExceeded", "timed_out"),
        ("PodFailurePolicy", "PodFailurePolicy", "pull_failed"),
    ],
)
def test_ended_job_is_reported(reason: str, condition: str, outcome: str) -> None:
    scene = ObservedWarmup(condition)

    done = scene.happen(job_event(reason))

    assert done.disposition == "handled"
    assert [(each["event"], each["outcome"]) for each in scene.facts] == [
        ("warmup.finished", outcome)
    ]
    assert (done.details["job"], done.details["outcome"]) == (JOB, outcome)
    assert REPORTED_ANNOTATION in scene.annotations


def test_order_and_number_of_messages_do_not_matter() -> None:
    events = [
        pod_event("Pulled", pulled_text(), 60),
        node_event(STATEMENT.replace(MIRROR, OWN), 61),
        job_event("Completed"),
        job_event("Completed"),
    ]
    written = set()
    for order in itertools.permutations(events):
        scene = ObservedWarmup()
        for event in order:
            scene.see(event)
        facts = [each for each in scene.log.facts if each.event == "warmup.finished"]
        written |= {(each.insert_id, each.timestamp) for each in facts}
        assert len(facts) == 1

    assert len(written) == 1


def test_job_without_its_end_is_tried_again() -> None:
    scene = ObservedWarmup(None)

    with pytest.raises(TransientError, match=JOB):
        scene.happen(job_event("Completed"))

    assert scene.facts == []


def foreign_labels(scene: ObservedWarmup) -> None:
    scene.cluster.jobs[JOB]["metadata"]["labels"] = {}


def remove_job(scene: ObservedWarmup) -> None:
    scene.cluster.jobs.clear()


@pytest.mark.parametrize(
    ("event", "prepare", "reason"),
    [
        pytest.param(job_event("Completed", uid="another"), None, "the Job is gone", id="replaced"),
        pytest.param(job_event("Completed"), remove_job, "the Job is gone", id="gone"),
        pytest.param(
            job_event("Completed", namespace="ml"),
            None,
            "the Job is not a warmup's",
            id="other-namespace",
        ),
        pytest.param(
            job_event("Completed"), foreign_labels, "the Job is not a warmup's", id="no-warmup"
        ),
        pytest.param(
            job_event("FailedCreate", "exceeded quota"),
            None,
            "the Job goes on after FailedCreate",
            id="goes-on",
        ),
    ],
)
def test_other_reports_of_jobs_are_ignored(
    event: dict[str, Any], prepare: Any, reason: str
) -> None:
    scene = ObservedWarmup()
    if prepare is not None:
        prepare(scene)

    outcome = scene.happen(event)

    assert (outcome.disposition, outcome.details["reason"]) == ("ignored", reason)
    assert scene.facts == []
    assert "patch_job" not in scene.cluster.calls


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_job_is_marked_only_after_its_fact(error: Exception) -> None:
    scene = ObservedWarmup()
    scene.log.error = error

    with pytest.raises(type(error)):
        scene.happen(job_event("Completed"))
    assert REPORTED_ANNOTATION not in scene.annotations

    scene.log.error = None
    scene.happen(job_event("Completed"))
    assert REPORTED_ANNOTATION in scene.annotations
    assert len(scene.facts) == 1


@pytest.mark.parametrize(
    ("values", "resumed"),
    [
        pytest.param({"max_running": 2}, ["warm-b-1", "warm-a-2"], id="limit"),
        pytest.param({"dry_run": True}, [], id="dry-run"),
    ],
)
def test_end_of_a_warmup_resumes_the_next(values: dict[str, Any], resumed: list[str]) -> None:
    scene = ObservedWarmup(**values)
    names = ["warm-b-1", "warm-a-2", "warm-c-3"]
    scene.queue(*names)

    outcome = scene.happen(job_event("Completed"))

    assert outcome.details["resumed"] == resumed
    assert scene.waiting == [name for name in names if name not in resumed]
    assert len(scene.facts) == 1


def test_next_warmup_is_resumed_although_the_fact_exists() -> None:
    scene = ObservedWarmup()
    scene.happen(job_event("Completed"))
    scene.queue("warm-b-1")

    outcome = scene.happen(job_event("Completed"))

    assert outcome.details["reason"] == "its fact was written before"
    assert scene.waiting == []
    assert len(scene.facts) == 1


def test_next_warmup_is_resumed_although_the_fact_cannot_be_written() -> None:
    scene = ObservedWarmup()
    scene.queue("warm-b-1")
    scene.log.error = TransientError("503")

    with pytest.raises(TransientError):
        scene.happen(job_event("Completed"))

    assert scene.waiting == []


def test_dry_run_reports_and_changes_nothing() -> None:
    scene = ObservedWarmup(dry_run=True)
    scene.queue("warm-b-1")

    scene.happen(job_event("Completed"))

    assert len(scene.facts) == 1
    assert not {"patch_job", "list_jobs", "fetch_config_map"} & set(scene.cluster.calls)


@pytest.mark.parametrize("call", ["list_jobs", "list_pods", "list_events", "fetch_node"])
@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_fact_is_written_once_the_cluster_answers(call: str, error: Exception) -> None:
    scene = ObservedWarmup()
    scene.cluster.fail(call, error)
    with pytest.raises(type(error)):
        scene.happen(job_event("Completed"))
    scene.cluster.recover()

    scene.happen(job_event("Completed"))

    assert len(scene.facts) == 1


@pytest.mark.parametrize(
    ("reason", "proven"), [("CompletionsReached", "docker.io"), ("DeadlineExceeded", None)]
)
def test_complete_warmup_proves_its_mirror(reason: str, proven: str | None) -> None:
    scene = ObservedWarmup(reason)
    scene.place_proven({})

    outcome = scene.happen(job_event("Completed"))

    assert outcome.details.get("proven") == proven
    assert scene.proven == ({} if proven is None else {"docker.io": MIRRORS})
