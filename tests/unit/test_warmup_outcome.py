"""The outcome of a warmup, from its Job, its pods and their reports."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.cluster_event import (
    ContainerFailed,
    ImagePullDelayed,
    NodeEvent,
)
from shared.domain.warmup_outcome import Diagnosis, FinishedJob, diagnose
from tests.fakes.cluster_events import (
    END,
    HELPER,
    IMAGE,
    NO_ROOM,
    NODE,
    NOT_FOUND,
    failed,
    job_said,
    not_started,
    origin,
    present,
    pulled,
    pulling,
    unschedulable,
)

COMPLETE = FinishedJob(
    is_complete=True, at=END, reason="CompletionsReached", message="Reached expected number"
)
DEADLINE = FinishedJob(
    is_complete=False,
    at=END,
    reason="DeadlineExceeded",
    message="Job was active longer than specified deadline",
)
BACKOFF = replace(DEADLINE, reason="BackoffLimitExceeded", message="Job has reached the limit")
POLICY = replace(DEADLINE, reason="PodFailurePolicy", message="Container image failed")
LIMITED = f'Failed to pull image "{IMAGE}": toomanyrequests: You have reached your pull rate limit'
UNAVAILABLE = f'Failed to pull image "{IMAGE}": 503 Service Unavailable'
QUOTA = 'pods "warm-1-x" is forbidden: exceeded quota: prestream, requested: pods=1'
FORBIDDEN = 'pods "warm-1-x" is forbidden: violates PodSecurity "restricted:latest"'


def pod_body(
    number: int = 1, *, node: str | None = NODE, status: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "metadata": {"name": f"warm-1-{number}", "uid": f"pod-{number}"},
        "spec": {"nodeName": node} if node else {},
        "status": status or {},
    }


def container_status(**state: Any) -> dict[str, Any]:
    return {"name": "image", "image": IMAGE, "imageID": "", **state}


CASES = [
    pytest.param(COMPLETE, None, [pulled()], "pulled", id="pulled"),
    pytest.param(COMPLETE, pod_body(), [], "pulled", id="complete-though-its-events-are-lost"),
    pytest.param(COMPLETE, None, [], "pulled", id="complete-though-all-else-is-gone"),
    pytest.param(COMPLETE, None, [present()], "pulled", id="present-which-the-verdict-tells"),
    pytest.param(
        BACKOFF, None, [pulled(5), not_started(6)], "pulled", id="pulled-though-it-did-not-start"
    ),
    pytest.param(
        BACKOFF, None, [not_started(6)], "pulled", id="start-was-tried-so-the-image-is-there"
    ),
    pytest.param(
        BACKOFF,
        pod_body(status={"containerStatuses": [container_status(imageID="sha256:1")]}),
        [],
        "pulled",
        id="status-names-the-image",
    ),
    pytest.param(POLICY, None, [pulled(5)], "pulled", id="pulled-though-a-policy-failed-the-job"),
    pytest.param(DEADLINE, None, [pulled(5)], "pulled", id="pulled-though-the-deadline-came"),
    pytest.param(DEADLINE, None, [failed()], "pull_failed", id="back-off-until-the-deadline"),
    pytest.param(
        DEADLINE,
        None,
        [failed(1), pulling(300)],
        "pull_failed",
        id="a-last-attempt-changes-nothing-about-a-permanent-failure",
    ),
    pytest.param(DEADLINE, None, [pulling(1), failed(3600)], "pull_failed", id="ended-early-by-us"),
    pytest.param(DEADLINE, None, [failed(1, LIMITED)], "postponed", id="rate-limited"),
    pytest.param(
        DEADLINE, None, [failed(1, UNAVAILABLE), pulling(1)], "pull_failed", id="unavailable"
    ),
    pytest.param(
        DEADLINE,
        None,
        [failed(1, UNAVAILABLE), pulling(90)],
        "timed_out",
        id="still-pulling-after-an-attempt-that-failed",
    ),
    pytest.param(
        DEADLINE,
        None,
        [ImagePullDelayed(origin(9, f'Back-off pulling image "{IMAGE}"'), IMAGE)],
        "pull_failed",
        id="the-failure-itself-was-lost",
    ),
    pytest.param(
        DEADLINE,
        None,
        [ContainerFailed(origin(9, "Error: ErrImagePull"), "pull")],
        "pull_failed",
        id="only-the-containers-failure-is-left",
    ),
    pytest.param(
        DEADLINE,
        pod_body(
            status={
                "containerStatuses": [
                    container_status(
                        state={"waiting": {"reason": "ImagePullBackOff", "message": LIMITED}}
                    )
                ]
            }
        ),
        [],
        "postponed",
        id="the-pods-status-tells-of-the-pull",
    ),
    pytest.param(DEADLINE, None, [pulling(9)], "timed_out", id="still-pulling"),
    pytest.param(DEADLINE, pod_body(), [], "timed_out", id="the-node-said-nothing"),
    pytest.param(DEADLINE, None, [], "timed_out", id="nothing-is-left"),
    pytest.param(DEADLINE, None, [unschedulable()], "no_node", id="unschedulable"),
    pytest.param(DEADLINE, pod_body(node=None), [], "no_node", id="the-pod-has-no-node"),
    pytest.param(
        DEADLINE,
        None,
        [job_said(1, "FailedCreate", QUOTA), job_said(3600, "DeadlineExceeded", "late")],
        "timed_out",
        id="the-quota-was-full",
    ),
    pytest.param(
        DEADLINE,
        None,
        [job_said(1, "FailedCreate", FORBIDDEN), job_said(3600, "DeadlineExceeded", "late")],
        "misconfigured",
        id="a-policy-forbids-the-pod",
    ),
    pytest.param(
        DEADLINE, None, [failed(1, **HELPER)], "misconfigured", id="helper-cannot-be-pulled"
    ),
    pytest.param(
        DEADLINE, None, [failed(1, LIMITED, **HELPER)], "postponed", id="helper-is-rate-limited"
    ),
    pytest.param(
        DEADLINE, None, [not_started(1, **HELPER)], "misconfigured", id="helper-does-not-start"
    ),
    pytest.param(
        BACKOFF,
        pod_body(
            status={
                "initContainerStatuses": [
                    {"name": "helper", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
                ]
            }
        ),
        [pulled(1, **HELPER)],
        "misconfigured",
        id="helper-fails",
    ),
    pytest.param(
        BACKOFF,
        pod_body(status={"reason": "OutOfcpu", "message": "Node didn't have enough cpu"}),
        [],
        "no_node",
        id="the-node-refused-the-pod",
    ),
    pytest.param(
        BACKOFF,
        None,
        [failed(1, UNAVAILABLE), pulling(90)],
        "pull_failed",
        id="failed-before-the-deadline",
    ),
    pytest.param(BACKOFF, None, [], "pull_failed", id="failed-and-nothing-is-left"),
    pytest.param(
        BACKOFF, None, [pulled(1, **HELPER)], "pull_failed", id="only-the-helper-was-pulled"
    ),
]


@pytest.mark.parametrize(("job", "pod", "reports", "outcome"), CASES)
def test_outcome_follows_the_events(
    job: FinishedJob, pod: dict[str, Any] | None, reports: list[NodeEvent], outcome: str
) -> None:
    told = {diagnose(job, pod, order).outcome for order in itertools.permutations(reports)}

    assert told == {outcome}


def test_failure_has_reason_hint_and_evidence() -> None:
    diagnosis = diagnose(DEADLINE, None, [pulling(1), failed(2)])

    assert diagnosis.reason == "the registry has no such image"
    assert diagnosis.hint == "Check the name and the tag of the image."
    assert diagnosis.node == NODE
    (evidence,) = diagnosis.evidence
    assert (evidence.kind, evidence.text) == ("pull", NOT_FOUND)
    assert (evidence.log, evidence.insert_id) == ("projects/demo/logs/events", "e2")


@pytest.mark.parametrize(
    ("reports", "kind", "text"),
    [
        pytest.param([unschedulable()], "scheduling", NO_ROOM, id="scheduler"),
        pytest.param([job_said(1, "FailedCreate", QUOTA)], "job", QUOTA, id="job"),
        pytest.param([failed(1, **HELPER)], "pull", NOT_FOUND, id="helper"),
        pytest.param([failed(1, UNAVAILABLE), pulling(9)], "pull", UNAVAILABLE, id="still-pulling"),
    ],
)
def test_each_failure_is_proven(reports: list[NodeEvent], kind: str, text: str) -> None:
    diagnosis = diagnose(DEADLINE, None, reports)

    assert [(each.kind, each.text) for each in diagnosis.evidence] == [(kind, text)]


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        pytest.param(NOT_FOUND, "Check `helper_image`", id="absent"),
        pytest.param(UNAVAILABLE, "check Private Google Access", id="unavailable"),
    ],
)
def test_helper_failure_has_its_own_hint(message: str, hint: str) -> None:
    diagnosis = diagnose(DEADLINE, None, [failed(1, message, **HELPER)])

    assert (diagnosis.outcome, diagnosis.hint is not None) == ("misconfigured", True)
    assert hint in str(diagnosis.hint)


def test_only_a_rate_limit_has_a_retry_time() -> None:
    limited = diagnose(DEADLINE, None, [failed(1, LIMITED)])
    absent = diagnose(DEADLINE, None, [failed(1, NOT_FOUND)])

    assert limited.not_before == END + timedelta(hours=1)
    assert absent.not_before is None


def test_outcome_without_evidence_has_no_node() -> None:
    diagnosis = diagnose(BACKOFF, None, [])

    assert diagnosis.reason is not None
    assert "no event shows whether the image was pulled" in diagnosis.reason
    assert (diagnosis.node, diagnosis.evidence) == (None, ())


class TestSeveralPods:
    """A disruption may have made several pods, on several nodes."""

    def test_pull_names_its_node(self) -> None:
        reports: list[NodeEvent] = [
            pulled(5, pod=1, node="spot-1"),
            pulling(60, pod=2, node="spot-2"),
        ]

        diagnosis = diagnose(DEADLINE, pod_body(2, node="spot-2"), reports)

        assert (diagnosis.outcome, diagnosis.node) == ("pulled", "spot-1")

    def test_last_pull_counts(self) -> None:
        reports = [pulled(5, pod=1, node="spot-1"), pulled(90, pod=2, node="spot-2")]

        diagnosis = diagnose(COMPLETE, pod_body(2, node="spot-2"), reports)

        assert diagnosis.node == "spot-2"
        assert diagnosis.pulled == reports[1]

    def test_pull_outweighs_that_a_later_pod_found_the_image(self) -> None:
        reports = [pulled(5, pod=1), present(90, pod=2)]

        diagnosis = diagnose(COMPLETE, pod_body(2), reports)

        assert (diagnosis.outcome, diagnosis.pulled) == ("pulled", reports[0])

    @pytest.mark.parametrize("gone", [False, True])
    def test_failure_is_the_last_pods(self, *, gone: bool) -> None:
        reports: list[NodeEvent] = [
            pulling(5, pod=1, node="spot-1"),
            unschedulable(60, pod=2),
        ]

        diagnosis = diagnose(DEADLINE, None if gone else pod_body(2, node=None), reports)

        assert (diagnosis.outcome, diagnosis.node) == ("no_node", None)


def test_failed_start_is_reported_beside_the_pull() -> None:
    diagnosis = diagnose(BACKOFF, None, [pulled(5), not_started(6)])

    assert diagnosis.reason is not None
    assert diagnosis.reason.startswith("the container did not start, after its image was pulled: ")
    assert diagnosis.was_pulled


def test_start_that_succeeded_in_the_end_is_no_failure() -> None:
    diagnosis = diagnose(COMPLETE, None, [not_started(5, pod=1), pulled(9, pod=2)])

    assert diagnosis.reason is None


@pytest.mark.parametrize(
    "reports", [[pulled(1, **HELPER)], [pulled(1, container="other")], [not_started(1, **HELPER)]]
)
def test_another_containers_image_is_not_the_warmed_one(reports: Sequence[NodeEvent]) -> None:
    assert not diagnose(DEADLINE, pod_body(), reports).was_pulled


def job_body(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions), **status}}


TIME = "2026-05-04T10:00:00Z"


def test_complete_job_has_its_completion_time() -> None:
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-05-04T10:09:09Z"}

    finished = FinishedJob.from_body(job_body(condition, completionTime=TIME))

    assert finished is not None
    assert (finished.is_complete, finished.at) == (True, END)


def test_failed_job_ended_at_its_condition() -> None:
    target = {"type": "FailureTarget", "status": "True", "lastTransitionTime": "2026-05-04T09:59Z"}
    condition = {
        "type": "Failed",
        "status": "True",
        "lastTransitionTime": TIME,
        "reason": "DeadlineExceeded",
        "message": DEADLINE.message,
    }

    assert FinishedJob.from_body(job_body(target, condition)) == DEADLINE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="new"),
        pytest.param(job_body(), id="no-condition"),
        pytest.param(job_body({"type": "Failed", "status": "False"}), id="not-failed"),
        pytest.param(
            job_body({"type": "FailureTarget", "status": "True", "lastTransitionTime": TIME}),
            id="about-to-fail",
        ),
        pytest.param(
            job_body({"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": TIME}),
            id="about-to-complete",
        ),
        pytest.param(
            job_body({"type": "Suspended", "status": "True", "lastTransitionTime": TIME}),
            id="suspended",
        ),
    ],
)
def test_job_that_goes_on_has_not_ended(body: dict[str, Any]) -> None:
    assert FinishedJob.from_body(body) is None


def test_ending_without_a_pull_was_not_pulled() -> None:
    outcomes = ["pull_failed", "misconfigured", "postponed", "no_node", "timed_out"]

    assert not any(Diagnosis(outcome).was_pulled for outcome in outcomes)  # type: ignore[arg-type]
