"""Reports of failed pulls: they count against a mirror, and can end a warmup."""

import json
from typing import Any

import pytest

from shared.domain.action import EndJob
from shared.domain.cluster_event import ImagePullFailed
from shared.domain.job_state import JobState
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION, write_refusal
from shared.errors import TransientError
from shared.messages.node_event import parse_log_entry
from shared.pipeline.observe_warmup import plan_end
from tests.fakes.node_reports import (
    JOB,
    LIMITED,
    MIRROR,
    NODE,
    NOT_FOUND,
    end,
    job_event,
    log_entry,
    pod_event,
)
from tests.fakes.observers import ObservedWarmup
from tests.fakes.warmups import MIRRORS

DENIED = f'Failed to pull image "{MIRROR}": unexpected status: 403 Forbidden'


def denied(image: str) -> str:
    return f'Failed to pull image "{MIRRORS}/{image}": unexpected status: 403 Forbidden'


@pytest.mark.parametrize(
    ("where", "images", "distrusted"),
    [
        pytest.param({}, ["a/b:1"], ["docker.io"], id="warmup"),
        pytest.param({"uid": "other"}, ["a/b:1"], [None], id="no-pod-of-a-warmup"),
        pytest.param({"namespace": "ml"}, ["a/b:1"], [None], id="workload"),
        pytest.param({"namespace": "ml"}, ["a/b:1", "c/d:1"], [None, "docker.io"], id="two-images"),
    ],
)
def test_refusals_make_a_mirror_distrusted(
    where: dict[str, Any], images: list[str], distrusted: list[str | None]
) -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})

    outcomes = [scene.see(pod_event("Failed", denied(image), **where)) for image in images]

    assert [each.details.get("distrusted") for each in outcomes] == distrusted
    assert ("list_pods" in scene.cluster.calls) == (where.get("namespace") != "ml")
    is_distrusted = "docker.io" in distrusted
    assert [each["event"] for each in scene.facts] == ["mirror.distrusted"] * is_distrusted
    assert scene.proven == ({} if is_distrusted else {"docker.io": MIRRORS})


def test_mirror_is_removed_only_after_the_fact() -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})
    event = pod_event("Failed", DENIED)
    scene.log.error = TransientError("503")

    with pytest.raises(TransientError):
        scene.see(event)
    assert scene.proven == {"docker.io": MIRRORS}

    scene.log.error = None
    assert scene.see(event).details["distrusted"] == "docker.io"


def parse(event: dict[str, Any]) -> Any:
    return parse_log_entry(json.dumps(log_entry(event)).encode())


def make_pod(uid: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid}, "status": status}


IMAGE_STATUS = {"name": "image", "imageID": "sha256:1", "state": {"running": {}}}
UID = f"uid-of-{JOB}-x7k2p"


@pytest.mark.parametrize(
    ("pods", "ends"),
    [
        pytest.param([make_pod(UID)], True, id="still-pulling"),
        pytest.param([], False, id="no-pod"),
        pytest.param([make_pod("another")], False, id="pod-of-another-job"),
        pytest.param([make_pod(UID, containerStatuses=[IMAGE_STATUS])], False, id="image-arrived"),
    ],
)
def test_permanent_failure_ends_the_warmup_of_the_pod(
    pods: list[dict[str, Any]], *, ends: bool
) -> None:
    failed = parse(pod_event("Failed", NOT_FOUND))
    assert isinstance(failed, ImagePullFailed)
    scene = ObservedWarmup(None)
    state = JobState.from_body(scene.cluster.jobs[JOB])

    actions = plan_end(failed, state, pods)

    expected = EndJob(state.name, state.resource_version, write_refusal(failed))
    assert actions == ((expected,) if ends else ())


WHERE = [
    pytest.param({}, "pull_failed", id="image"),
    pytest.param({"container": "helper", "init": True}, "misconfigured", id="helper"),
]


@pytest.mark.parametrize("events_are_gone", [False, True])
@pytest.mark.parametrize(("where", "outcome"), WHERE)
def test_fact_of_an_ended_warmup_has_the_failed_pull(
    where: dict[str, Any], outcome: str, *, events_are_gone: bool
) -> None:
    scene = ObservedWarmup(None)
    ended = scene.happen(pod_event("Failed", NOT_FOUND, **where))
    assert ended.details["ended"] == JOB
    assert (scene.deadline, scene.facts) == (1, [])
    end(scene.cluster.jobs[JOB], "DeadlineExceeded")
    scene.cluster.pods.clear()
    if events_are_gone:
        scene.cluster.events.clear()

    scene.happen(job_event("DeadlineExceeded"))

    (fact,) = scene.facts
    assert (fact["outcome"], fact["node"]) == (outcome, NODE)
    assert "the registry has no such image" in fact["reason"]
    assert [each["text"] for each in fact["evidence"]] == [NOT_FOUND]


def test_evidence_names_the_entry_that_ended_the_warmup() -> None:
    scene = ObservedWarmup(None)
    scene.see(pod_event("Failed", NOT_FOUND), "entry-9")
    end(scene.cluster.jobs[JOB], "DeadlineExceeded")

    scene.happen(job_event("DeadlineExceeded"))

    (evidence,) = scene.facts[0]["evidence"]
    assert (evidence["log"], evidence["insert_id"]) == ("projects/demo/logs/events", "entry-9")


def test_invalid_refusal_is_left_out() -> None:
    scene = ObservedWarmup("DeadlineExceeded")
    scene.annotations[REFUSAL_ANNOTATION] = '{"pod": 5}'

    scene.happen(job_event("DeadlineExceeded"))

    assert scene.facts[0]["outcome"] == "timed_out"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        pytest.param("CompletionsReached", NOT_FOUND, id="complete"),
        pytest.param("DeadlineExceeded", NOT_FOUND, id="failed"),
        pytest.param(None, LIMITED, id="temporary-failure"),
        pytest.param(None, "Error: ImagePullBackOff", id="unknown-failure"),
    ],
)
def test_warmup_goes_on_or_has_ended(reason: str | None, message: str) -> None:
    scene = ObservedWarmup(reason)

    assert scene.happen(pod_event("Failed", message)).disposition == "ignored"
    assert "patch_job" not in scene.cluster.calls
    assert scene.facts == []


def test_failure_without_a_job_is_ignored() -> None:
    scene = ObservedWarmup(None)
    scene.cluster.jobs.clear()

    assert scene.happen(pod_event("Failed", NOT_FOUND)).disposition == "ignored"


def test_changed_job_is_ended_by_the_next_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = ObservedWarmup(None)
    fetch = scene.cluster.fetch_job

    def fetch_old(name: str) -> Any:
        body = fetch(name)
        assert body is not None
        body["metadata"]["resourceVersion"] = "0"
        return body

    monkeypatch.setattr(scene.cluster, "fetch_job", fetch_old)

    with pytest.raises(TransientError, match="changed while it was being ended"):
        scene.happen(pod_event("Failed", NOT_FOUND))


def test_dry_run_leaves_a_warmup_to_its_deadline() -> None:
    scene = ObservedWarmup(None, dry_run=True)

    outcome = scene.happen(pod_event("Failed", NOT_FOUND))

    assert outcome.details["reason"] == "a dry run leaves the warmup to its deadline"
    assert scene.deadline == 3600
