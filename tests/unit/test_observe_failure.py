"""Reports of failed pulls: they count against a mirror, and can end a warmup."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.action import EndJob
from shared.domain.cluster_event import ImagePullFailed
from shared.domain.disposition import NOT_CONFIRMED
from shared.domain.job_state import JobState
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION, write_refusal
from shared.errors import ClusterRefusedError, TransientError
from shared.messages.node_event import parse_log_entry
from shared.pipeline.observe_warmup import plan_end
from tests.fakes.clusters import Body
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
from tests.fakes.reported_pods import reflect
from tests.fakes.warmups import MIRRORS

DENIED = f'Failed to pull image "{MIRROR}": unexpected status: 403 Forbidden'


WARMUP: dict[str, Any] = {}
WORKLOAD: dict[str, Any] = {"namespace": "ml", "pod": "trainer"}


def failed(image: str = "a/b:1", error: str = "403 Forbidden", **where: Any) -> Body:
    text = f'Failed to pull image "{MIRRORS}/{image}": unexpected status: {error}'
    return pod_event("Failed", text, **where)


@pytest.mark.parametrize(
    ("events", "distrusted"),
    [
        pytest.param([failed(**WARMUP)], ["docker.io"], id="warmup-is-denied"),
        pytest.param([failed(**WORKLOAD)], ["docker.io"], id="rewritten-pod-is-denied"),
        pytest.param([failed(error="502 Bad Gateway")], [None], id="unavailable"),
        pytest.param([failed(error="404 Not Found")], [None], id="absent"),
        pytest.param(
            [failed(pod="a", error="502", namespace="ml") for _ in range(3)],
            [None] * 3,
            id="one-image-thrice",
        ),
        pytest.param(
            [
                failed("a/b:1", "502 Bad Gateway", namespace="ml", pod="one"),
                failed("c/d:1", "429 Too Many Requests", namespace="ml", pod="two"),
            ],
            [None, "docker.io"],
            id="two-images",
        ),
    ],
)
def test_failures_make_a_mirror_distrusted(
    events: list[Body], distrusted: list[str | None]
) -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})

    outcomes = [scene.happen(event) for event in events]

    assert [each.details.get("distrusted") for each in outcomes] == distrusted
    is_distrusted = "docker.io" in distrusted
    assert [each["event"] for each in scene.facts] == ["mirror.distrusted"] * is_distrusted
    assert scene.proven == ({} if is_distrusted else {"docker.io": MIRRORS})


def change_status(pod: Body) -> None:
    status = pod["status"]["containerStatuses"][0]
    status["state"]["waiting"]["message"] = "unexpected status: 404 Not Found"


@pytest.mark.parametrize("where", [WARMUP, WORKLOAD], ids=["warmup", "workload"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pod: pod["metadata"].update(uid="other"), id="other-uid"),
        pytest.param(lambda pod: pod["metadata"].update(name="other"), id="no-pod"),
        pytest.param(lambda pod: pod["spec"].update(nodeName="gke-2"), id="other-node"),
        pytest.param(lambda pod: pod["status"].clear(), id="no-failure"),
        pytest.param(change_status, id="other-failure"),
        pytest.param(
            lambda pod: pod["status"]["containerStatuses"][0].update(image=f"{MIRRORS}/c/d:1"),
            id="other-image",
        ),
    ],
)
def test_failure_that_the_pod_does_not_confirm_decides_nothing(
    where: dict[str, Any], change: Callable[[Body], object]
) -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})
    event = failed(**where)
    pod = reflect(scene.cluster, event)
    assert pod is not None
    change(pod)

    outcome = scene.see(event)

    assert (outcome.disposition, outcome.details["reason"]) == ("ignored", NOT_CONFIRMED)
    assert (scene.facts, scene.proven) == ([], {"docker.io": MIRRORS})
    assert scene.cluster.calls == ["fetch_pod"]


@pytest.mark.parametrize(
    ("where", "rewritten", "secrets"),
    [
        pytest.param(WORKLOAD, False, [], id="mirror-is-named-by-the-workload"),
        pytest.param(WORKLOAD, True, [{"name": "hub"}], id="pull-secret-of-a-workload"),
        pytest.param(WARMUP, True, [{"name": "hub"}], id="pull-secret-of-a-warmup"),
    ],
)
def test_failure_of_another_identity_does_not_count(
    where: dict[str, Any], secrets: list[Any], *, rewritten: bool
) -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})
    event = failed(**where)
    pod = reflect(scene.cluster, event, rewritten=rewritten)
    assert pod is not None
    pod["spec"]["imagePullSecrets"] = secrets

    outcome = scene.see(event)

    assert "distrusted" not in outcome.details
    assert (scene.facts, scene.proven) == ([], {"docker.io": MIRRORS})


def test_fact_names_the_pods_that_wait_and_the_command_that_releases_them() -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})
    for pod, namespace in (("b", "ml"), ("a", "ml"), ("c", "web")):
        reflect(scene.cluster, failed(pod=pod, namespace=namespace))
    reflect(scene.cluster, pod_event("Failed", 'Failed to pull image "x/y": 1', pod="d"))

    scene.happen(failed(pod="b", namespace="ml"))

    (fact,) = scene.facts
    assert fact["pods"] == ["ml/a", "ml/b", "web/c"]
    assert "kubectl -n ml delete pod a b; kubectl -n web delete pod c" in fact["hint"]


def test_pods_that_may_not_be_read_decide_nothing() -> None:
    # The manifests of the version before do not grant the right.
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})
    scene.cluster.fail("fetch_pod", ClusterRefusedError("403"))

    with pytest.raises(ClusterRefusedError):
        scene.happen(failed())
    assert (scene.facts, scene.proven) == ([], {"docker.io": MIRRORS})


def test_mirror_is_removed_only_after_the_fact() -> None:
    scene = ObservedWarmup(None)
    scene.place_proven({"docker.io": MIRRORS})
    event = pod_event("Failed", DENIED)
    scene.log.error = TransientError("503")

    with pytest.raises(TransientError):
        scene.happen(event)
    assert scene.proven == {"docker.io": MIRRORS}

    scene.log.error = None
    assert scene.see(event).details["distrusted"] == "docker.io"


def parse(event: dict[str, Any]) -> Any:
    return parse_log_entry(json.dumps(log_entry(event)).encode())


IMAGE_STATUS = {"name": "image", "imageID": "sha256:1", "state": {"running": {}}}


def make_pod(owner: str = f"uid-of-{JOB}", **status: Any) -> Body:
    owners = [{"kind": "Job", "name": JOB, "uid": owner}]
    return {"metadata": {"ownerReferences": owners}, "status": status}


@pytest.mark.parametrize(
    ("pod", "ends"),
    [
        pytest.param(make_pod(), True, id="still-pulling"),
        pytest.param(make_pod("another"), False, id="pod-of-another-job"),
        pytest.param({"metadata": {}, "status": {}}, False, id="no-job"),
        pytest.param(make_pod(containerStatuses=[IMAGE_STATUS]), False, id="image-arrived"),
    ],
)
def test_permanent_failure_ends_the_warmup_of_the_pod(pod: Body, *, ends: bool) -> None:
    event = parse(pod_event("Failed", NOT_FOUND))
    assert isinstance(event, ImagePullFailed)
    scene = ObservedWarmup(None)
    state = JobState.from_body(scene.cluster.jobs[JOB])

    actions = plan_end(event, state, pod)

    expected = EndJob(state.name, state.resource_version, write_refusal(event))
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
    event = pod_event("Failed", NOT_FOUND)
    reflect(scene.cluster, event)
    scene.see(event, "entry-9")
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
