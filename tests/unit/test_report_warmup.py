"""The fact of a warmup that ended: its fields, and that it is written once."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.fact import Fact
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    CAUSE_ANNOTATION,
    IMAGE_ANNOTATION,
    REPORTED_ANNOTATION,
)
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.read_warmup import is_warmup
from shared.pipeline.report_warmup import report_job
from tests.fakes.ended_warmups import EndedScene
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    CREATED,
    IMAGE_BYTES,
    JOB,
    MIRROR,
    NODE,
    STATEMENT,
    at,
    end,
    node_event,
    place_warmup,
    pod_event,
    pulled_text,
)
from tests.fakes.warmups import DIGEST


@pytest.fixture
def scene() -> EndedScene:
    return EndedScene()


def test_fact_has_every_documented_field(scene: EndedScene) -> None:
    scene.warm(pod_event("Pulled", pulled_text(42.5), 60))

    assert scene.report() == {
        "event": "warmup.finished",
        "image": "anyscale/ray-ml:2.7.0",
        "mirror": MIRROR,
        "digest": DIGEST,
        "cluster": "projects/demo/locations/us-central1/clusters/gpu",
        "cause": {
            "kind": "audit_log",
            "id": "id-1",
            "resource": "apps/v1/namespaces/ml/deployments/trainer",
        },
        "outcome": "pulled",
        "strategy": "gpu-node",
        "job": JOB,
        "target": "nvidia-l4-6af5d1",
        "node": NODE,
        "node_pool": "l4-spot",
        "accelerator": "nvidia-l4",
        "started_at": at(2),
        "pull_seconds": 42.5,
        "total_seconds": 90.0,
        "image_bytes": IMAGE_BYTES,
        "streamed": "unknown",
        "evidence": [{"kind": "pull", "text": pulled_text(42.5), "log": None, "insert_id": None}],
        "reason": None,
        "hint": None,
        "not_before": None,
    }


def test_job_is_marked_with_the_insert_id(scene: EndedScene) -> None:
    scene.warm(pod_event("Pulled", pulled_text()))

    scene.report()

    (fact,) = scene.log.facts
    annotations = scene.cluster.jobs[JOB]["metadata"]["annotations"]
    assert annotations[REPORTED_ANNOTATION] == fact.insert_id
    assert IMAGE_ANNOTATION in annotations


def test_marked_job_is_not_reported_again(scene: EndedScene) -> None:
    scene.warm()

    assert scene.report() is not None
    assert scene.report() is None
    assert len(scene.log.facts) == 1


def test_fact_precedes_the_mark(scene: EndedScene) -> None:
    scene.warm()
    marked_when_written: list[bool] = []

    class Watching(FakeFactLog):
        def write(self, fact: Fact) -> None:
            super().write(fact)
            annotations = scene.cluster.jobs[JOB]["metadata"]["annotations"]
            marked_when_written.append(REPORTED_ANNOTATION in annotations)

    report_job(scene.cluster, scene.cluster.jobs[JOB], Executor(Watching()))

    assert marked_when_written == [False]


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_job_without_a_fact_is_not_marked(scene: EndedScene, error: Exception) -> None:
    scene.warm()
    scene.log.error = error

    with pytest.raises(type(error)):
        scene.report()

    assert REPORTED_ANNOTATION not in scene.cluster.jobs[JOB]["metadata"]["annotations"]


def test_lost_mark_leads_to_the_same_fact(scene: EndedScene) -> None:
    scene.warm(pod_event("Pulled", pulled_text()))
    scene.cluster.fail("patch_job", TransientError("timeout"))
    with pytest.raises(TransientError):
        scene.report()
    scene.cluster.recover()
    # Meanwhile the snapshotter said something, and the pod went.
    scene.cluster.place(node_event(STATEMENT, 61))
    scene.cluster.pods.clear()

    scene.report()

    first, second = scene.log.facts
    assert (first.insert_id, first.timestamp) == (second.insert_id, second.timestamp)
    assert REPORTED_ANNOTATION in scene.cluster.jobs[JOB]["metadata"]["annotations"]


def test_changed_job_is_not_marked(scene: EndedScene) -> None:
    job = scene.warm()
    stale = {**job, "metadata": {**job["metadata"], "resourceVersion": "0"}}

    with pytest.raises(TransientError, match=f"Job {JOB} changed"):
        report_job(scene.cluster, stale, Executor(scene.log))

    assert REPORTED_ANNOTATION not in scene.cluster.jobs[JOB]["metadata"]["annotations"]


def test_fact_has_the_time_of_the_end(scene: EndedScene) -> None:
    scene.warm()

    scene.report()

    assert scene.log.facts[0].timestamp == parse_time(at(90))


def test_jobs_of_one_name_have_different_facts(scene: EndedScene) -> None:
    scene.warm(reason="DeadlineExceeded")
    scene.report()
    del scene.cluster.jobs[JOB]
    end(place_warmup(scene.cluster))["metadata"]["uid"] = "another"

    scene.report()

    first, second = scene.log.facts
    assert first.insert_id != second.insert_id


def test_dry_run_writes_the_fact_and_no_mark(scene: EndedScene) -> None:
    job = scene.warm()

    fact = report_job(scene.cluster, job, Executor(scene.log, dry_run=True))

    assert scene.log.facts == [fact]
    assert "patch_job" not in scene.cluster.calls


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": {}}, id="it-goes-on"),
        pytest.param({"labels": {}}, id="no-label-of-ours"),
        pytest.param({"labels": {"app.kubernetes.io/name": "prestream"}}, id="another-of-ours"),
        pytest.param({"annotations": {}}, id="no-image"),
    ],
)
def test_other_jobs_are_not_reported(scene: EndedScene, change: dict[str, Any]) -> None:
    job = scene.warm()
    for name, value in change.items():
        (job if name == "status" else job["metadata"])[name] = value

    assert scene.report() is None
    assert scene.log.facts == []
    assert is_warmup(job) is ("status" in change)


def test_invalid_cause_is_unknown(scene: EndedScene) -> None:
    job = scene.warm()
    job["metadata"]["annotations"][CAUSE_ANNOTATION] = json.dumps({"who": "somebody"})

    assert scene.report()["cause"] is None


def test_total_includes_the_time_in_the_queue(scene: EndedScene) -> None:
    job = end(place_warmup(scene.cluster), seconds=7200)
    job["status"]["startTime"] = at(7000)

    payload = scene.report()

    assert payload["total_seconds"] == 7200.0
    assert parse_time(payload["started_at"]) - CREATED == timedelta(seconds=7000)
