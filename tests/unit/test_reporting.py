"""One fact for each warmup that ended: written before the Job is marked, whatever is left of it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.fact import Fact
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    CAUSE_ANNOTATION,
    HOLDING_ANNOTATION,
    IMAGE_ANNOTATION,
    LACKING_ANNOTATION,
    REPORTED_ANNOTATION,
    SIZE_ANNOTATION,
)
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.read_warmup import is_warmup
from shared.pipeline.report_warmup import report_job
from tests.fakes.clusters import FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    CREATED,
    IMAGE_BYTES,
    JOB,
    LIMITED,
    MIRROR,
    NODE,
    NOT_FOUND,
    POD,
    STATEMENT,
    at,
    end,
    job_event,
    make_event,
    node_event,
    place_node,
    place_pod,
    place_warmup,
    pod_event,
    pulled_text,
    unschedulable_event,
)
from tests.fakes.warmups import DIGEST

NO_ROOM = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def log() -> FakeFactLog:
    return FakeFactLog()


Report = Callable[[], Any]


@pytest.fixture
def report(cluster: FakeCluster, log: FakeFactLog) -> Report:
    """Report the Job of the cluster, and return the payload of its fact."""

    def run() -> Any:
        body = cluster.fetch_job(JOB)
        assert body is not None
        fact = report_job(cluster, body, Executor(log))
        return None if fact is None else fact.payload

    return run


def warm(
    cluster: FakeCluster, *events: dict[str, Any], reason: str = "CompletionsReached"
) -> dict[str, Any]:
    """Put a warmup into the cluster that ended on its node, with what was reported of it."""
    place_node(cluster)
    job = end(place_warmup(cluster), reason)
    place_pod(cluster)
    for event in events:
        cluster.place(event)
    return job


def test_a_fact_says_all_that_is_documented(cluster: FakeCluster, report: Report) -> None:
    warm(cluster, pod_event("Pulled", pulled_text(42.5), 60))

    assert report() == {
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


class TestOnce:
    """One fact for a Job, however often its end is reported."""

    def test_the_job_is_marked_with_the_insert_id_of_its_fact(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report
    ) -> None:
        warm(cluster, pod_event("Pulled", pulled_text()))

        report()

        (fact,) = log.facts
        annotations = cluster.jobs[JOB]["metadata"]["annotations"]
        assert annotations[REPORTED_ANNOTATION] == fact.insert_id
        assert IMAGE_ANNOTATION in annotations

    def test_a_marked_job_is_not_reported_again(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report
    ) -> None:
        warm(cluster)

        assert report() is not None
        assert report() is None
        assert len(log.facts) == 1

    def test_the_fact_comes_before_the_mark(self, cluster: FakeCluster) -> None:
        warm(cluster)
        marked_when_written: list[bool] = []

        class Watching(FakeFactLog):
            def write(self, fact: Fact) -> None:
                super().write(fact)
                annotations = cluster.jobs[JOB]["metadata"]["annotations"]
                marked_when_written.append(REPORTED_ANNOTATION in annotations)

        report_job(cluster, cluster.jobs[JOB], Executor(Watching()))

        assert marked_when_written == [False]

    @pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
    def test_without_its_fact_nothing_is_marked(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report, error: Exception
    ) -> None:
        warm(cluster)
        log.error = error

        with pytest.raises(type(error)):
            report()

        assert REPORTED_ANNOTATION not in cluster.jobs[JOB]["metadata"]["annotations"]

    def test_a_mark_that_was_lost_costs_a_copy_and_no_second_fact(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report
    ) -> None:
        warm(cluster, pod_event("Pulled", pulled_text()))
        cluster.fail("patch_job", TransientError("timeout"))
        with pytest.raises(TransientError):
            report()
        cluster.mend()
        # Meanwhile the snapshotter said something, and the pod went.
        cluster.place(node_event(STATEMENT, 61))
        cluster.pods.clear()

        report()

        first, second = log.facts
        assert (first.insert_id, first.timestamp) == (second.insert_id, second.timestamp)
        assert REPORTED_ANNOTATION in cluster.jobs[JOB]["metadata"]["annotations"]

    def test_a_job_that_changed_meanwhile_is_not_marked_but_tried_again(
        self, cluster: FakeCluster, log: FakeFactLog
    ) -> None:
        job = warm(cluster)
        stale = {**job, "metadata": {**job["metadata"], "resourceVersion": "0"}}

        with pytest.raises(TransientError, match=f"Job {JOB} changed"):
            report_job(cluster, stale, Executor(log))

        assert REPORTED_ANNOTATION not in cluster.jobs[JOB]["metadata"]["annotations"]

    def test_a_fact_is_stamped_with_the_end_of_the_job(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report
    ) -> None:
        warm(cluster)

        report()

        assert log.facts[0].timestamp == parse_time(at(90))

    def test_two_jobs_of_one_name_have_two_facts(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report
    ) -> None:
        warm(cluster, reason="DeadlineExceeded")
        report()
        del cluster.jobs[JOB]
        end(place_warmup(cluster))["metadata"]["uid"] = "another"

        report()

        first, second = log.facts
        assert first.insert_id != second.insert_id

    def test_a_dry_run_writes_the_fact_and_leaves_the_cluster(
        self, cluster: FakeCluster, log: FakeFactLog
    ) -> None:
        job = warm(cluster)

        fact = report_job(cluster, job, Executor(log, dry_run=True))

        assert log.facts == [fact]
        assert "patch_job" not in cluster.calls


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": {}}, id="it-goes-on"),
        pytest.param({"labels": {}}, id="no-label-of-ours"),
        pytest.param({"labels": {"app.kubernetes.io/name": "prestream"}}, id="another-of-ours"),
        pytest.param({"annotations": {}}, id="no-image"),
    ],
)
def test_what_is_no_warmup_that_ended_is_not_reported(
    cluster: FakeCluster, log: FakeFactLog, report: Report, change: dict[str, Any]
) -> None:
    job = warm(cluster)
    for name, value in change.items():
        (job if name == "status" else job["metadata"])[name] = value

    assert report() is None
    assert log.facts == []
    assert is_warmup(job) is ("status" in change)


class TestEndings:
    """How a warmup ended, from what the cluster still knows of it."""

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
    def test_the_pods_events_tell_it_whether_or_not_the_pod_is_there(
        self,
        cluster: FakeCluster,
        report: Report,
        reason: str,
        events: list[tuple[str, str]],
        outcome: str,
        *,
        pod_is_gone: bool,
    ) -> None:
        told = [pod_event(each, text, 60 + n) for n, (each, text) in enumerate(events)]
        warm(cluster, *told, reason=reason)
        if pod_is_gone:
            cluster.pods.clear()

        payload = report()

        assert (payload["outcome"], payload["node"]) == (outcome, NODE)

    def test_a_failed_pull_is_told_with_reason_hint_and_evidence(
        self, cluster: FakeCluster, log: FakeFactLog, report: Report
    ) -> None:
        warm(cluster, pod_event("Failed", NOT_FOUND, 60), reason="DeadlineExceeded")

        payload = report()

        assert payload["reason"] == "the registry has no such image"
        assert payload["hint"] == "Check the name and the tag of the image."
        assert payload["evidence"] == [
            {"kind": "pull", "text": NOT_FOUND, "log": None, "insert_id": None}
        ]
        assert (payload["streamed"], payload["pull_seconds"]) == (None, None)
        assert payload["image_bytes"] == IMAGE_BYTES
        assert log.facts[0].severity == "WARNING"

    def test_a_rate_limit_says_when_to_try_again(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        warm(cluster, pod_event("Failed", LIMITED), reason="DeadlineExceeded")

        assert report()["not_before"] == at(90 + 3600)

    def test_without_a_node_the_scheduler_says_why(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        end(place_warmup(cluster), "DeadlineExceeded")
        cluster.place(unschedulable_event(NO_ROOM))

        payload = report()

        assert (payload["outcome"], payload["reason"]) == ("no_node", NO_ROOM)
        assert [payload[name] for name in ("node", "node_pool", "accelerator")] == [None] * 3

    def test_without_a_pod_the_job_says_why(self, cluster: FakeCluster, report: Report) -> None:
        end(place_warmup(cluster), "DeadlineExceeded")
        quota = 'pods "x" is forbidden: exceeded quota: prestream'
        cluster.place(job_event("FailedCreate", quota, 10))
        cluster.place(job_event("DeadlineExceeded", "late", 90))

        payload = report()

        assert payload["outcome"] == "timed_out"
        assert quota in payload["reason"]

    def test_without_a_trace_nothing_is_made_up(self, cluster: FakeCluster, report: Report) -> None:
        end(place_warmup(cluster), "DeadlineExceeded")

        payload = report()

        assert payload["outcome"] == "timed_out"
        unknown = ("node", "node_pool", "accelerator", "pull_seconds", "streamed")
        assert {payload[name] for name in unknown} == {None}

    def test_what_is_unknown_of_a_pull_is_null(self, cluster: FakeCluster, report: Report) -> None:
        job = warm(cluster)
        cluster.nodes.clear()
        job["metadata"]["annotations"][SIZE_ANNOTATION] = ""
        del job["metadata"]["annotations"][CAUSE_ANNOTATION]
        del job["status"]["startTime"]

        payload = report()

        assert payload["outcome"] == "pulled"
        assert (payload["node"], payload["streamed"]) == (NODE, "unknown")
        unknown = ("node_pool", "accelerator", "pull_seconds", "image_bytes", "cause", "started_at")
        assert {payload[name] for name in unknown} == {None}

    def test_an_earlier_job_of_the_same_name_has_no_say(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        end(place_warmup(cluster), "DeadlineExceeded")
        earlier = -600.0
        cluster.place(pod_event("Pulled", pulled_text(), earlier, uid="of-the-earlier"))
        cluster.place(job_event("FailedCreate", "forbidden", earlier))
        old = place_pod(cluster, f"{JOB}-old00")
        old["metadata"]["ownerReferences"][0]["uid"] = "of-the-earlier"

        payload = report()

        assert (payload["outcome"], payload["node"]) == ("timed_out", None)

    def test_a_clock_that_is_behind_hides_nothing_of_a_pod_that_is_there(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        warm(cluster, pod_event("Failed", NOT_FOUND, -1), reason="DeadlineExceeded")

        assert report()["outcome"] == "pull_failed"

    def test_another_jobs_pods_have_no_say(self, cluster: FakeCluster, report: Report) -> None:
        other = pod_event("Pulled", pulled_text(), pod="warm-other-9876543210-abcde")
        end(place_warmup(cluster), "DeadlineExceeded")
        cluster.place(other)

        assert report()["outcome"] == "timed_out"

    def test_after_a_preemption_the_second_pod_is_told_of(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        warm(cluster, pod_event("Pulling", f'Pulling image "{MIRROR}"', 20))
        place_node(cluster, "gke-gpu-l4-2")
        second = place_pod(cluster, f"{JOB}-second", seconds=40, node="gke-gpu-l4-2")
        name = second["metadata"]["name"]
        cluster.place(pod_event("Pulled", pulled_text(30), 80, pod=name, node="gke-gpu-l4-2"))
        cluster.pods.reverse()

        payload = report()

        assert (payload["outcome"], payload["node"]) == ("pulled", "gke-gpu-l4-2")
        assert payload["pull_seconds"] == 30.0

    def test_a_second_pod_without_a_node_is_no_pull_on_the_first_ones(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        warm(
            cluster,
            pod_event("Pulling", f'Pulling image "{MIRROR}"', 20),
            reason="DeadlineExceeded",
        )
        place_pod(cluster, f"{JOB}-second", seconds=40, node=None)
        cluster.pods.reverse()

        payload = report()

        assert (payload["outcome"], payload["node"]) == ("no_node", None)

    def test_an_odd_event_hides_no_other(self, cluster: FakeCluster, report: Report) -> None:
        odd = pod_event("Failed", NOT_FOUND, 59)
        odd["lastTimestamp"] = "yesterday"
        warm(cluster, odd, pod_event("Pulled", pulled_text(), 60))

        assert report()["pull_seconds"] == 42.0


class TestVerdict:
    """Whether the warmup's own pull was streamed."""

    def test_the_snapshotters_word_counts_with_its_text(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        warm(cluster, pod_event("Pulled", pulled_text(1.5), 60), node_event(STATEMENT, 61))

        payload = report()

        assert payload["streamed"] == "streamed"
        assert [each["text"] for each in payload["evidence"]] == [STATEMENT, pulled_text(1.5)]

    @pytest.mark.parametrize(
        ("seconds", "counts"),
        [
            pytest.param(60 - 42 - 61, False, id="long-before-the-pull-began"),
            pytest.param(60 - 42 - 59, True, id="just-before"),
            pytest.param(60, True, id="at-its-end"),
            pytest.param(60 + 299, True, id="some-minutes-after"),
            pytest.param(60 + 301, False, id="long-after"),
        ],
    )
    def test_only_what_was_said_around_the_pull_is_about_it(
        self, cluster: FakeCluster, report: Report, seconds: float, *, counts: bool
    ) -> None:
        warm(cluster, pod_event("Pulled", pulled_text(42), 60), node_event(STATEMENT, seconds))

        assert (report()["streamed"] == "streamed") is counts

    @pytest.mark.parametrize(
        "statement",
        [
            pytest.param(
                node_event(STATEMENT.replace("ray-ml", "ray-llm"), 60), id="another-image"
            ),
            pytest.param(
                node_event(STATEMENT.replace(DIGEST, "sha256:" + "0" * 64), 60),
                id="another-digest",
            ),
            pytest.param(node_event(STATEMENT, 60, node="gke-gpu-l4-2"), id="another-node"),
            pytest.param(node_event(STATEMENT, 60, component="gcfsd"), id="another-component"),
            pytest.param(
                node_event(STATEMENT.replace("100.0% (14/14", "0.0% (0/14"), 60), id="no-layer"
            ),
        ],
    )
    def test_another_statement_does_not_count(
        self, cluster: FakeCluster, report: Report, statement: dict[str, Any]
    ) -> None:
        warm(cluster, pod_event("Pulled", pulled_text(42), 60), statement)

        assert report()["streamed"] != "streamed"

    def test_a_fast_pull_on_a_streaming_node_that_lacked_the_image_is_likely_streamed(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        place_node(cluster, images=[MIRROR])
        job = warm(cluster, pod_event("Pulled", pulled_text(1.5), 60))
        job["metadata"]["annotations"][LACKING_ANNOTATION] = f"gke-gpu-l4-0,{NODE}"

        assert report()["streamed"] == "likely_streamed"

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param("off", id="streaming-is-off"),
            pytest.param("gone", id="the-node-is-gone"),
            pytest.param("late", id="the-image-may-have-come-meanwhile"),
            pytest.param("elsewhere", id="another-node-lacked-it"),
            pytest.param("renamed", id="a-workload-brought-it-under-the-upstreams-name"),
        ],
    )
    def test_nothing_is_called_likely_that_is_not(
        self, cluster: FakeCluster, report: Report, change: str
    ) -> None:
        pull = pod_event("Pulled", pulled_text(1.5), 600 if change == "late" else 60)
        job = warm(cluster, pull)
        lacking = "gke-gpu-l4-0" if change == "elsewhere" else NODE
        job["metadata"]["annotations"][LACKING_ANNOTATION] = lacking
        if change == "off":
            place_node(cluster, streaming=False)
        elif change == "gone":
            cluster.nodes.clear()
        elif change == "renamed":
            place_node(cluster, images=[MIRROR, f"docker.io/anyscale/ray-ml@{DIGEST}"])

        assert report()["streamed"] == "unknown"

    def test_a_fast_pull_of_what_the_node_held_was_cached(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        job = warm(cluster, pod_event("Pulled", pulled_text(0.4), 60))
        job["metadata"]["annotations"][HOLDING_ANNOTATION] = NODE

        assert report()["streamed"] == "cached_on_node"

    def test_a_layer_that_failed_is_evidence(self, cluster: FakeCluster, report: Report) -> None:
        text = f'Layer download failed. Layer id: "sha256:1", image: "{MIRROR}"'
        warm(
            cluster,
            pod_event("Pulled", pulled_text(42), 60),
            node_event(text, 50, component="gcfsd"),
        )

        payload = report()

        assert payload["streamed"] == "not_streamed"
        assert payload["evidence"][0]["text"] == text

    def test_a_pull_whose_report_was_lost_is_judged_by_the_snapshotter_alone(
        self, cluster: FakeCluster, report: Report
    ) -> None:
        warm(cluster, node_event(STATEMENT, 85))

        payload = report()

        assert (payload["streamed"], payload["pull_seconds"]) == ("streamed", None)
        assert payload["image_bytes"] == IMAGE_BYTES


def test_a_cause_that_cannot_be_read_is_unknown(cluster: FakeCluster, report: Report) -> None:
    job = warm(cluster)
    job["metadata"]["annotations"][CAUSE_ANNOTATION] = json.dumps({"who": "somebody"})

    assert report()["cause"] is None


def test_the_time_waited_in_the_queue_is_part_of_the_total(
    cluster: FakeCluster, report: Report
) -> None:
    job = end(place_warmup(cluster), seconds=7200)
    job["status"]["startTime"] = at(7000)

    payload = report()

    assert payload["total_seconds"] == 7200.0
    assert parse_time(payload["started_at"]) - CREATED == timedelta(seconds=7000)


def test_events_of_other_kinds_of_object_are_not_the_pods(
    cluster: FakeCluster, report: Report
) -> None:
    end(place_warmup(cluster), "DeadlineExceeded")
    text = pulled_text()
    cluster.place(make_event("ReplicaSet", POD, "Pulled", text, component="kubelet"))

    assert report()["outcome"] == "timed_out"
