"""How a warmup ended, from what the cluster still knows about it."""

import pytest

from shared.domain.warmup_job import (
    CAUSE_ANNOTATION,
    SIZE_ANNOTATION,
)
from tests.fakes.ended_warmups import EndedScene
from tests.fakes.node_reports import (
    IMAGE_BYTES,
    JOB,
    LIMITED,
    MIRROR,
    NODE,
    NOT_FOUND,
    POD,
    at,
    end,
    job_event,
    make_event,
    place_node,
    place_pod,
    place_warmup,
    pod_event,
    pulled_text,
    unschedulable_event,
)

NO_ROOM = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


@pytest.fixture
def scene() -> EndedScene:
    return EndedScene()


@pytest.mark.parametrize(
    ("reason", "events", "outcome"),
    [
        pytest.param("DeadlineExceeded", [("Failed", NOT_FOUND)], "pull_failed", id="absent"),
        pytest.param("DeadlineExceeded", [("Failed", LIMITED)], "postponed", id="limited"),
        pytest.param(
            "DeadlineExceeded",
            [("Pulling", f'Pulling image "{MIRROR}"')],
            "timed_out",
            id="still-pulling",
        ),
        pytest.param(
            "BackoffLimitExceeded",
            [("Pulled", pulled_text()), ("Failed", "Error: failed to create containerd task")],
            "pulled",
            id="not-started",
        ),
        pytest.param("PodFailurePolicy", [("Pulled", pulled_text())], "pulled", id="policy"),
        pytest.param(
            "CompletionsReached",
            [("Pulled", f'Container image "{MIRROR}" already present on machine')],
            "already_present",
            id="present",
        ),
    ],
)
@pytest.mark.parametrize("pod_is_gone", [False, True])
def test_events_of_the_pod_decide_the_outcome(
    scene: EndedScene,
    reason: str,
    events: list[tuple[str, str]],
    outcome: str,
    *,
    pod_is_gone: bool,
) -> None:
    told = [pod_event(each, text, 60 + n) for n, (each, text) in enumerate(events)]
    scene.warm(*told, reason=reason)
    if pod_is_gone:
        scene.cluster.pods.clear()

    payload = scene.report()

    assert (payload["outcome"], payload["node"]) == (outcome, NODE)


def test_failed_pull_has_reason_hint_and_evidence(scene: EndedScene) -> None:
    scene.warm(pod_event("Failed", NOT_FOUND, 60), reason="DeadlineExceeded")

    payload = scene.report()

    assert payload["reason"] == "the registry has no such image"
    assert payload["hint"] == "Check the name and the tag of the image."
    assert payload["evidence"] == [
        {"kind": "pull", "text": NOT_FOUND, "log": None, "insert_id": None}
    ]
    assert (payload["streamed"], payload["pull_seconds"]) == (None, None)
    assert payload["image_bytes"] == IMAGE_BYTES
    assert scene.log.facts[0].severity == "WARNING"


def test_rate_limit_has_the_time_of_a_retry(scene: EndedScene) -> None:
    scene.warm(pod_event("Failed", LIMITED), reason="DeadlineExceeded")

    assert scene.report()["not_before"] == at(90 + 3600)


def test_unscheduled_pod_has_the_reason_of_the_scheduler(scene: EndedScene) -> None:
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    scene.cluster.place(unschedulable_event(NO_ROOM))

    payload = scene.report()

    assert (payload["outcome"], payload["reason"]) == ("no_node", NO_ROOM)
    assert [payload[name] for name in ("node", "node_pool", "accelerator")] == [None] * 3


def test_missing_pod_has_the_reason_of_the_job(scene: EndedScene) -> None:
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    quota = 'pods "x" is forbidden: exceeded quota: prestream'
    scene.cluster.place(job_event("FailedCreate", quota, 10))
    scene.cluster.place(job_event("DeadlineExceeded", "late", 90))

    payload = scene.report()

    assert payload["outcome"] == "timed_out"
    assert quota in payload["reason"]


def test_fields_without_a_source_are_null(scene: EndedScene) -> None:
    end(place_warmup(scene.cluster), "DeadlineExceeded")

    payload = scene.report()

    assert payload["outcome"] == "timed_out"
    unknown = ("node", "node_pool", "accelerator", "pull_seconds", "streamed")
    assert {payload[name] for name in unknown} == {None}


def test_unknown_fields_of_a_pull_are_null(scene: EndedScene) -> None:
    job = scene.warm()
    scene.cluster.nodes.clear()
    job["metadata"]["annotations"][SIZE_ANNOTATION] = ""
    del job["metadata"]["annotations"][CAUSE_ANNOTATION]
    del job["status"]["startTime"]

    payload = scene.report()

    assert payload["outcome"] == "pulled"
    assert (payload["node"], payload["streamed"]) == (NODE, "unknown")
    unknown = ("node_pool", "accelerator", "pull_seconds", "image_bytes", "cause", "started_at")
    assert {payload[name] for name in unknown} == {None}


def test_earlier_job_of_the_same_name_is_left_out(scene: EndedScene) -> None:
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    earlier = -600.0
    scene.cluster.place(pod_event("Pulled", pulled_text(), earlier, uid="of-the-earlier"))
    scene.cluster.place(job_event("FailedCreate", "forbidden", earlier))
    old = place_pod(scene.cluster, f"{JOB}-old00")
    old["metadata"]["ownerReferences"][0]["uid"] = "of-the-earlier"

    payload = scene.report()

    assert (payload["outcome"], payload["node"]) == ("timed_out", None)


def test_slow_clock_hides_no_event_of_an_existing_pod(scene: EndedScene) -> None:
    scene.warm(pod_event("Failed", NOT_FOUND, -1), reason="DeadlineExceeded")

    assert scene.report()["outcome"] == "pull_failed"


def test_pods_of_another_job_are_left_out(scene: EndedScene) -> None:
    other = pod_event("Pulled", pulled_text(), pod="warm-other-9876543210-abcde")
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    scene.cluster.place(other)

    assert scene.report()["outcome"] == "timed_out"


def test_second_pod_counts_after_a_preemption(scene: EndedScene) -> None:
    scene.warm(pod_event("Pulling", f'Pulling image "{MIRROR}"', 20))
    place_node(scene.cluster, "gke-gpu-l4-2")
    second = place_pod(scene.cluster, f"{JOB}-second", seconds=40, node="gke-gpu-l4-2")
    name = second["metadata"]["name"]
    scene.cluster.place(pod_event("Pulled", pulled_text(30), 80, pod=name, node="gke-gpu-l4-2"))
    scene.cluster.pods.reverse()

    payload = scene.report()

    assert (payload["outcome"], payload["node"]) == ("pulled", "gke-gpu-l4-2")
    assert payload["pull_seconds"] == 30.0


def test_second_pod_without_a_node_is_not_a_pull(scene: EndedScene) -> None:
    scene.warm(
        pod_event("Pulling", f'Pulling image "{MIRROR}"', 20),
        reason="DeadlineExceeded",
    )
    place_pod(scene.cluster, f"{JOB}-second", seconds=40, node=None)
    scene.cluster.pods.reverse()

    payload = scene.report()

    assert (payload["outcome"], payload["node"]) == ("no_node", None)


def test_invalid_event_hides_no_other(scene: EndedScene) -> None:
    odd = pod_event("Failed", NOT_FOUND, 59)
    odd["lastTimestamp"] = "yesterday"
    scene.warm(odd, pod_event("Pulled", pulled_text(), 60))

    assert scene.report()["pull_seconds"] == 42.0


def test_events_of_other_kinds_are_left_out(scene: EndedScene) -> None:
    end(place_warmup(scene.cluster), "DeadlineExceeded")
    text = pulled_text()
    scene.cluster.place(make_event("ReplicaSet", POD, "Pulled", text, component="kubelet"))

    assert scene.report()["outcome"] == "timed_out"
