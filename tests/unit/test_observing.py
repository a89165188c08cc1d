"""What nodes and Jobs report: which facts are written, whichever message comes first."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.domain.disposition import Irrelevant, Outcome
from shared.domain.warmup_job import REPORTED_ANNOTATION
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION
from shared.errors import ConfigurationError, InvalidEventError, TransientError
from shared.messages.node_event import parse_log_entry
from shared.pipeline.observe import Observing
from shared.pipeline.report_warmup import Reporting
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    IMAGE_BYTES,
    JOB,
    LIMITED,
    MIRROR,
    NODE,
    NOT_FOUND,
    STATEMENT,
    end,
    job_event,
    log_entry,
    node_event,
    place_node,
    place_pod,
    place_warmup,
    pod_event,
    pulled_text,
    snapshotter_line,
    unschedulable_event,
)
from tests.fakes.warmups import DIGEST, MIRRORS

OWN = "us-central1-docker.pkg.dev/demo/apps/vllm:1"
CLUSTER = str(GPU_CLUSTER)


class Observed:
    """Observing over a cluster and a log in memory."""

    def __init__(self, **settings: Any) -> None:
        self.cluster = FakeCluster()
        self.log = FakeFactLog()
        self.connected: list[ClusterName] = []
        self.known = {GPU_CLUSTER}
        self._settings = Settings(project="demo", deployment_project="demo", **settings)
        self._observing = Observing(
            self._settings,
            connect=self._connect,
            facts=self.log,
            reporting=Reporting(self.log, marks=not self._settings.dry_run),
        )

    def see(self, entry: dict[str, Any]) -> Outcome:
        """Observe what a LogEntry reports."""
        return self._observing.observe(parse_log_entry(json.dumps(entry).encode()))

    def happen(self, event: dict[str, Any]) -> Outcome:
        """Let an event happen: the cluster keeps it, and its LogEntry is delivered."""
        return self.see(log_entry(self.cluster.place(event)))

    @property
    def facts(self) -> list[Any]:
        return [fact.payload for fact in self.log.facts]

    def annotations(self, job: str = JOB) -> dict[str, str]:
        found: dict[str, str] = self.cluster.jobs[job]["metadata"]["annotations"]
        return found

    def _connect(self, name: ClusterName) -> FakeCluster:
        if name not in self.known:
            raise UnknownClusterError(f"there is no cluster {name}")
        self.connected.append(name)
        return self.cluster


@pytest.fixture
def observed() -> Observed:
    return Observed()


def warm(observed: Observed, reason: str | None = "CompletionsReached", **changes: Any) -> None:
    """Put a warmup with its pod and node into the cluster; with a reason, it has ended."""
    place_node(observed.cluster)
    job = place_warmup(observed.cluster, **changes)
    place_pod(observed.cluster)
    if reason is not None:
        end(job, reason)


def queue(observed: Observed, *names: str) -> None:
    for name in names:
        place_warmup(observed.cluster, name)["spec"]["suspend"] = True


def is_suspended(observed: Observed, name: str) -> bool:
    return bool(observed.cluster.jobs[name]["spec"]["suspend"])


class TestWarmups:
    """A warmup that ended: one fact, and the next one's turn."""

    @pytest.mark.parametrize(
        ("reason", "condition", "outcome"),
        [
            ("Completed", "CompletionsReached", "pulled"),
            ("BackoffLimitExceeded", "BackoffLimitExceeded", "pull_failed"),
            ("DeadlineExceeded", "DeadlineExceeded", "timed_out"),
            ("PodFailurePolicy", "PodFailurePolicy", "pull_failed"),
        ],
    )
    def test_each_way_in_which_a_job_ends_is_a_fact(
        self, observed: Observed, reason: str, condition: str, outcome: str
    ) -> None:
        warm(observed, condition)

        done = observed.happen(job_event(reason))

        assert done.disposition == "handled"
        assert [(each["event"], each["outcome"]) for each in observed.facts] == [
            ("warmup.finished", outcome)
        ]
        assert (done.details["job"], done.details["outcome"]) == (JOB, outcome)

    def test_whichever_messages_come_and_however_often_there_is_one_fact(self) -> None:
        entries = [
            log_entry(pod_event("Pulled", pulled_text(), 60), "1"),
            log_entry(node_event(STATEMENT.replace(MIRROR, OWN), 61), "2"),
            log_entry(job_event("Completed"), "3"),
            log_entry(job_event("Completed"), "3"),
        ]
        written = set()
        for order in itertools.permutations(entries):
            observed = Observed()
            warm(observed)
            for entry in order:
                observed.see(entry)
            facts = [each for each in observed.log.facts if each.event == "warmup.finished"]
            written |= {(each.insert_id, each.timestamp) for each in facts}
            assert len(facts) == 1

        assert len(written) == 1

    def test_an_end_that_the_api_server_does_not_know_yet_is_tried_again(
        self, observed: Observed
    ) -> None:
        warm(observed, None)

        with pytest.raises(TransientError, match=JOB):
            observed.happen(job_event("Completed"))

        assert observed.facts == []

    def test_a_pod_that_could_not_be_created_ends_nothing(self, observed: Observed) -> None:
        warm(observed, None)

        outcome = observed.happen(job_event("FailedCreate", "exceeded quota"))

        assert outcome.disposition == "ignored"
        assert observed.facts == []

    @pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
    def test_a_fact_that_cannot_be_written_leaves_the_job_unmarked(
        self, observed: Observed, error: Exception
    ) -> None:
        warm(observed)
        observed.log.error = error

        with pytest.raises(type(error)):
            observed.happen(job_event("Completed"))
        assert REPORTED_ANNOTATION not in observed.annotations()

        observed.log.error = None
        observed.happen(job_event("Completed"))
        assert REPORTED_ANNOTATION in observed.annotations()
        assert len(observed.facts) == 1

    def test_the_next_ones_get_their_turn_oldest_first_up_to_the_limit(self) -> None:
        observed = Observed(max_running=2)
        warm(observed)
        queue(observed, "warm-b-1", "warm-a-2", "warm-c-3")

        outcome = observed.happen(job_event("Completed"))

        assert outcome.details["resumed"] == ["warm-b-1", "warm-a-2"]
        assert is_suspended(observed, "warm-c-3")

    def test_no_turn_is_given_beyond_the_budget_of_a_namespace(self) -> None:
        observed = Observed(namespace_budget=1)
        warm(observed)
        queue(observed, "warm-b-1", "warm-a-2")

        outcome = observed.happen(job_event("Completed"))

        assert outcome.details["resumed"] == ["warm-b-1"]

    def test_the_next_one_gets_its_turn_though_the_fact_was_written_before(
        self, observed: Observed
    ) -> None:
        warm(observed)
        observed.happen(job_event("Completed"))
        queue(observed, "warm-b-1")

        outcome = observed.happen(job_event("Completed"))

        assert outcome.details["reason"] == "its fact was written before"
        assert not is_suspended(observed, "warm-b-1")
        assert len(observed.facts) == 1

    def test_the_next_one_gets_its_turn_though_no_fact_can_be_written(
        self, observed: Observed
    ) -> None:
        warm(observed)
        queue(observed, "warm-b-1")
        observed.log.error = TransientError("503")

        with pytest.raises(TransientError):
            observed.happen(job_event("Completed"))

        assert not is_suspended(observed, "warm-b-1")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            pytest.param({"uid": "of-an-earlier-one"}, "the Job is gone", id="replaced"),
            pytest.param({"namespace": "ml"}, "the Job is not a warmup's", id="not-ours"),
        ],
    )
    def test_another_job_of_that_name_is_left_alone(
        self, observed: Observed, change: dict[str, Any], reason: str
    ) -> None:
        warm(observed)

        outcome = observed.happen(job_event("Completed", **change))

        assert (outcome.disposition, outcome.details["reason"]) == ("ignored", reason)
        assert observed.facts == []
        assert REPORTED_ANNOTATION not in observed.annotations()

    def test_a_job_that_is_gone_is_ignored(self, observed: Observed) -> None:
        outcome = observed.happen(job_event("Completed"))

        assert outcome.details["reason"] == "the Job is gone"

    def test_a_job_in_our_namespace_that_is_no_warmup_is_left_alone(
        self, observed: Observed
    ) -> None:
        warm(observed)
        observed.cluster.jobs[JOB]["metadata"]["labels"] = {}

        outcome = observed.happen(job_event("Completed"))

        assert outcome.details["reason"] == "the Job is not a warmup's"
        assert observed.facts == []

    def test_a_dry_run_writes_the_fact_and_leaves_the_cluster(self) -> None:
        observed = Observed(dry_run=True)
        warm(observed)
        queue(observed, "warm-b-1")

        observed.happen(job_event("Completed"))

        assert len(observed.facts) == 1
        assert "patch_job" not in observed.cluster.calls


class TestEarlyEnd:
    """A pull that cannot succeed must not keep its turn until the deadline."""

    @pytest.mark.parametrize(
        "where",
        [
            pytest.param({}, id="image"),
            pytest.param({"container": "helper", "init": True}, id="helper"),
        ],
    )
    def test_a_pull_that_cannot_succeed_ends_the_warmup(
        self, observed: Observed, where: dict[str, Any]
    ) -> None:
        warm(observed, None)

        outcome = observed.happen(pod_event("Failed", NOT_FOUND, **where))

        assert outcome.details["ended"] == JOB
        assert observed.cluster.jobs[JOB]["spec"]["activeDeadlineSeconds"] == 1
        assert observed.facts == []

    @pytest.mark.parametrize("events_are_gone", [False, True])
    @pytest.mark.parametrize(
        ("where", "outcome"),
        [
            pytest.param({}, "pull_failed", id="image"),
            pytest.param({"container": "helper", "init": True}, "misconfigured", id="helper"),
        ],
    )
    def test_its_fact_tells_of_the_pull_and_never_of_the_deadline(
        self, observed: Observed, where: dict[str, Any], outcome: str, *, events_are_gone: bool
    ) -> None:
        warm(observed, None)
        observed.happen(pod_event("Failed", NOT_FOUND, **where))
        end(observed.cluster.jobs[JOB], "DeadlineExceeded")
        observed.cluster.pods.clear()
        if events_are_gone:
            observed.cluster.events.clear()

        observed.happen(job_event("DeadlineExceeded"))

        (fact,) = observed.facts
        assert (fact["outcome"], fact["node"]) == (outcome, NODE)
        assert "the registry has no such image" in fact["reason"]
        assert [each["text"] for each in fact["evidence"]] == [NOT_FOUND]

    def test_the_evidence_names_the_entry_that_ended_it(self, observed: Observed) -> None:
        warm(observed, None)
        observed.see(log_entry(pod_event("Failed", NOT_FOUND), "entry-9"))
        end(observed.cluster.jobs[JOB], "DeadlineExceeded")

        observed.happen(job_event("DeadlineExceeded"))

        (evidence,) = observed.facts[0]["evidence"]
        assert (evidence["log"], evidence["insert_id"]) == (
            "projects/demo/logs/events",
            "entry-9",
        )

    def test_a_refusal_that_cannot_be_read_costs_nothing_else(self, observed: Observed) -> None:
        warm(observed, "DeadlineExceeded")
        observed.annotations()[REFUSAL_ANNOTATION] = '{"pod": 5}'

        observed.happen(job_event("DeadlineExceeded"))

        assert observed.facts[0]["outcome"] == "timed_out"

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(pod_event("Failed", LIMITED), id="rate-limited"),
            pytest.param(pod_event("Failed", "Error: ImagePullBackOff"), id="in-other-words"),
            pytest.param(pod_event("BackOff", f'Back-off pulling image "{MIRROR}"'), id="back-off"),
            pytest.param(pod_event("Pulled", pulled_text()), id="pulled"),
            pytest.param(unschedulable_event("0/3 nodes are available"), id="no-node"),
        ],
    )
    def test_all_else_that_happens_to_its_pod_is_told_at_its_end(
        self, observed: Observed, event: dict[str, Any]
    ) -> None:
        warm(observed, None)

        outcome = observed.happen(event)

        assert outcome.disposition == "ignored"
        assert observed.facts == []
        assert observed.cluster.jobs[JOB]["spec"]["activeDeadlineSeconds"] == 3600

    def test_a_late_report_of_an_earlier_jobs_pod_ends_nothing(self, observed: Observed) -> None:
        warm(observed, None)

        outcome = observed.happen(pod_event("Failed", NOT_FOUND, uid="of-the-earlier"))

        assert outcome.disposition == "ignored"
        assert observed.cluster.jobs[JOB]["spec"]["activeDeadlineSeconds"] == 3600

    def test_a_pod_that_has_its_image_by_now_goes_on(self, observed: Observed) -> None:
        warm(observed, None)
        status = {"name": "image", "imageID": "sha256:1", "state": {"running": {}}}
        observed.cluster.pods[0]["status"] = {"containerStatuses": [status]}

        assert observed.happen(pod_event("Failed", NOT_FOUND)).disposition == "ignored"
        assert observed.cluster.jobs[JOB]["spec"]["activeDeadlineSeconds"] == 3600

    @pytest.mark.parametrize("reason", ["CompletionsReached", "DeadlineExceeded"])
    def test_a_warmup_that_ended_is_left_alone(self, observed: Observed, reason: str) -> None:
        warm(observed, reason)

        assert observed.happen(pod_event("Failed", NOT_FOUND)).disposition == "ignored"
        assert "patch_job" not in observed.cluster.calls

    def test_a_pod_of_no_job_is_ignored(self, observed: Observed) -> None:
        assert observed.happen(pod_event("Failed", NOT_FOUND)).disposition == "ignored"

    def test_a_job_that_changes_meanwhile_is_ended_at_the_next_delivery(
        self, observed: Observed
    ) -> None:
        warm(observed, None)
        fetch = observed.cluster.fetch_job

        def fetch_what_is_old(name: str) -> Any:
            body = fetch(name)
            assert body is not None
            body["metadata"]["resourceVersion"] = "0"
            return body

        observed.cluster.fetch_job = fetch_what_is_old  # type: ignore[method-assign]

        with pytest.raises(TransientError, match="changed while it was to be ended"):
            observed.happen(pod_event("Failed", NOT_FOUND))

    def test_a_dry_run_leaves_it_to_its_deadline(self) -> None:
        observed = Observed(dry_run=True)
        warm(observed, None)

        assert observed.happen(pod_event("Failed", NOT_FOUND)).disposition == "ignored"
        assert observed.cluster.jobs[JOB]["spec"]["activeDeadlineSeconds"] == 3600


def workload_event(image: str = MIRROR, seconds: float = 1.5, **change: Any) -> dict[str, Any]:
    fields = {"pod": "trainer-6d9f7c5b8-qk4zt", "namespace": "ml", "container": "trainer"} | change
    return pod_event("Pulled", pulled_text(seconds, image), 60, **fields)


class TestPulls:
    """A pull of any other pod's."""

    def test_a_fact_says_all_that_is_documented(self, observed: Observed) -> None:
        place_node(observed.cluster)

        outcome = observed.happen(workload_event())

        (fact,) = observed.log.facts
        assert fact.payload == {
            "event": "pull.observed",
            "image": f"docker.io/anyscale/ray-ml@{DIGEST}",
            "mirror": MIRROR,
            "digest": DIGEST,
            "cluster": CLUSTER,
            "cause": None,
            "workload": "core/v1/namespaces/ml/pods/trainer-6d9f7c5b8-qk4zt",
            "node": NODE,
            "node_pool": "l4-spot",
            "accelerator": "nvidia-l4",
            "pull_seconds": 1.5,
            "image_bytes": IMAGE_BYTES,
            "streamed": "unknown",
            "evidence": [
                {
                    "kind": "pull",
                    "text": pulled_text(1.5),
                    "log": "projects/demo/logs/events",
                    "insert_id": "entry-1",
                }
            ],
            "hint": None,
        }
        assert (outcome.details["image"], outcome.details["streamed"]) == (MIRROR, "unknown")

    def test_two_deliveries_of_a_pull_are_one_fact_and_two_pulls_are_two(
        self, observed: Observed
    ) -> None:
        first, again, other = (
            workload_event(),
            workload_event(),
            workload_event(pod="trainer-6d9f7c5b8-other"),
        )

        for event in (first, again, other):
            observed.happen(event)

        ids = [fact.insert_id for fact in observed.log.facts]
        assert ids[0] == ids[1] != ids[2]
        assert len({fact.timestamp for fact in observed.log.facts}) == 1

    @pytest.mark.parametrize(
        ("image", "name"),
        [
            pytest.param(MIRROR, f"docker.io/anyscale/ray-ml@{DIGEST}", id="mirrored"),
            pytest.param(
                f"{MIRRORS}/anyscale/ray-ml:2.7.0", "docker.io/anyscale/ray-ml:2.7.0", id="by-tag"
            ),
            pytest.param(OWN, OWN, id="own"),
            pytest.param(
                "gcr.io/starling/weights:7", "gcr.io/starling/weights:7", id="container-registry"
            ),
            pytest.param(
                "us-central1-docker.pkg.dev/other/dockerhub-mirror/a/b:1",
                "us-central1-docker.pkg.dev/other/dockerhub-mirror/a/b:1",
                id="anothers-mirror",
            ),
        ],
    )
    def test_what_lies_at_google_is_told_by_its_upstream_name(
        self, observed: Observed, image: str, name: str
    ) -> None:
        observed.happen(workload_event(image))

        (fact,) = observed.facts
        assert (fact["image"], fact["mirror"]) == (name, image)

    @pytest.mark.parametrize(
        ("event", "reason"),
        [
            pytest.param(
                workload_event("docker.io/anyscale/ray-ml:2.7.0"),
                "the image was not pulled from Artifact Registry",
                id="upstream",
            ),
            pytest.param(
                workload_event("nginx"),
                "the image was not pulled from Artifact Registry",
                id="short-name",
            ),
            pytest.param(
                workload_event("Not An Image"),
                "the image was not pulled from Artifact Registry",
                id="no-reference",
            ),
            pytest.param(
                workload_event(namespace="kube-system"),
                "the namespace is a system namespace",
                id="system",
            ),
            pytest.param(
                workload_event("gke.gcr.io/gcs-fuse-csi-driver-sidecar-mounter:v1"),
                "the image is not a workload's",
                id="sidecar-of-gke",
            ),
            pytest.param(
                workload_event("us-central1-artifactregistry.gcr.io/gke-release/x:v1"),
                "the image is not a workload's",
                id="image-of-gke",
            ),
        ],
    )
    def test_other_pulls_are_ignored(
        self, observed: Observed, event: dict[str, Any], reason: str
    ) -> None:
        outcome = observed.happen(event)

        assert (outcome.disposition, outcome.details["reason"]) == ("ignored", reason)
        assert observed.facts == []

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(pod_event("Failed", NOT_FOUND, namespace="ml"), id="failed"),
            pytest.param(
                pod_event("BackOff", f'Back-off pulling image "{MIRROR}"', namespace="ml"),
                id="back-off",
            ),
        ],
    )
    def test_what_is_no_pull_that_ended_is_ignored(
        self, observed: Observed, event: dict[str, Any]
    ) -> None:
        assert observed.happen(event).disposition == "ignored"
        assert observed.connected == []

    @pytest.mark.parametrize("seconds", [61, 59])
    def test_the_snapshotters_word_counts_whether_it_came_before_or_after(
        self, observed: Observed, seconds: float
    ) -> None:
        place_node(observed.cluster)
        observed.cluster.place(node_event(STATEMENT, seconds))

        observed.happen(workload_event())

        (fact,) = observed.facts
        assert fact["streamed"] == "streamed"
        assert fact["evidence"][0]["text"] == STATEMENT

    def test_another_images_statement_does_not_count(self, observed: Observed) -> None:
        place_node(observed.cluster)
        observed.cluster.place(node_event(STATEMENT.replace("ray-ml", "ray-llm"), 60))

        observed.happen(workload_event())

        assert observed.facts[0]["streamed"] == "unknown"

    def test_a_slow_pull_on_a_node_without_streaming_says_what_to_do(
        self, observed: Observed
    ) -> None:
        place_node(observed.cluster, streaming=False)

        observed.happen(workload_event(seconds=317.0))

        (fact,) = observed.log.facts
        assert fact.payload["streamed"] == "not_streamed"
        assert "turn it on for its node pool" in fact.payload["hint"]
        assert fact.severity == "WARNING"

    def test_what_was_present_is_told_as_cached(self, observed: Observed) -> None:
        text = f'Container image "{MIRROR}" already present on machine'

        observed.happen(pod_event("Pulled", text, namespace="ml"))

        (fact,) = observed.facts
        assert fact["streamed"] == "cached_on_node"
        assert (fact["pull_seconds"], fact["image_bytes"]) == (None, None)

    def test_of_a_node_that_is_gone_nothing_is_made_up(self, observed: Observed) -> None:
        observed.happen(workload_event())

        (fact,) = observed.facts
        assert (fact["node"], fact["node_pool"], fact["accelerator"]) == (NODE, None, None)
        assert (fact["streamed"], fact["hint"]) == ("unknown", None)

    def test_a_pull_that_cannot_be_written_is_tried_again(self, observed: Observed) -> None:
        observed.log.error = TransientError("503")

        with pytest.raises(TransientError):
            observed.happen(workload_event())


STREAMS: list[Any] = [
    pytest.param(log_entry, id="event"),
    pytest.param(lambda event: snapshotter_line(event["message"]), id="line"),
]


class TestStreams:
    """What a node's snapshotter says, as an event and as a line of its log."""

    @pytest.mark.parametrize("written", STREAMS)
    def test_a_fact_says_all_that_is_documented(
        self, observed: Observed, written: Callable[[Any], dict[str, Any]]
    ) -> None:
        observed.see(written(node_event(STATEMENT)))

        assert observed.facts == [
            {
                "event": "stream.observed",
                "image": f"docker.io/anyscale/ray-ml@{DIGEST}",
                "mirror": MIRROR,
                "digest": DIGEST,
                "cluster": CLUSTER,
                "cause": None,
                "node": NODE,
                "layers": 14,
                "streamed_layers": 14,
            }
        ]

    def test_the_cluster_need_not_be_asked(self, observed: Observed) -> None:
        observed.see(log_entry(node_event(STATEMENT)))

        assert observed.connected == []

    def test_without_figures_the_layers_are_unknown(self, observed: Observed) -> None:
        observed.see(log_entry(node_event(f"Image {MIRROR} is backed by image streaming.")))

        (fact,) = observed.facts
        assert (fact["layers"], fact["streamed_layers"]) == (None, None)

    @pytest.mark.parametrize("written", STREAMS)
    def test_no_streamed_layer_is_no_streaming(
        self, observed: Observed, written: Callable[[Any], dict[str, Any]]
    ) -> None:
        text = STATEMENT.replace("0.0% (0/14", "100.0% (14/14").replace(
            "streaming by 100.0% (14/14", "streaming by 0.0% (0/14"
        )

        outcome = observed.see(written(node_event(text)))

        assert outcome.details["reason"] == "no layer of the image is streamed"
        assert observed.facts == []

    @pytest.mark.parametrize("written", STREAMS)
    @pytest.mark.parametrize(
        "image",
        ["us-central1-artifactregistry.gcr.io/gke-release/x", "gke.gcr.io/pause:3", "A B"],
    )
    def test_the_images_of_gke_are_ignored(
        self, observed: Observed, written: Callable[[Any], dict[str, Any]], image: str
    ) -> None:
        observed.see(written(node_event(f"Image {image} is backed by image streaming.")))

        assert observed.facts == []

    def test_a_copy_is_the_same_fact(self, observed: Observed) -> None:
        for _ in range(2):
            observed.see(log_entry(node_event(STATEMENT)))

        first, second = observed.log.facts
        assert (first.insert_id, first.timestamp) == (second.insert_id, second.timestamp)

    def test_a_layer_that_failed_is_left_to_the_pull(self, observed: Observed) -> None:
        text = f'Layer download failed. Layer id: "sha256:1", image: "{MIRROR}"'

        assert observed.see(log_entry(node_event(text, component="gcfsd"))).disposition == "ignored"
        assert observed.facts == []


EVERY_FACT = [
    pytest.param(job_event("Completed"), id="job"),
    pytest.param(pod_event("Failed", NOT_FOUND), id="warmup"),
    pytest.param(workload_event(), id="pull"),
    pytest.param(node_event(STATEMENT), id="stream"),
]


@pytest.mark.parametrize("event", EVERY_FACT)
@pytest.mark.parametrize(
    ("clusters", "is_watched"),
    [(("gpu",), True), ((CLUSTER,), True), (("other",), False)],
)
def test_a_cluster_that_is_not_watched_is_left_alone(
    event: dict[str, Any], clusters: tuple[str, ...], *, is_watched: bool
) -> None:
    observed = Observed(clusters=clusters)
    warm(observed)

    outcome = observed.happen(event)

    ignored = outcome.details.get("reason") == "the cluster is not watched"
    assert ignored is not is_watched
    if not is_watched:
        assert (observed.facts, observed.connected) == ([], [])


@pytest.mark.parametrize("event", EVERY_FACT[:3])
def test_a_cluster_that_is_gone_is_said_to_be_unknown(
    observed: Observed, event: dict[str, Any]
) -> None:
    observed.known.clear()

    with pytest.raises(UnknownClusterError):
        observed.happen(event)


@pytest.mark.parametrize("event", EVERY_FACT[:3])
def test_a_cluster_that_cannot_be_a_cluster_is_poison(
    observed: Observed, event: dict[str, Any]
) -> None:
    entry = log_entry(event)
    entry["resource"]["labels"]["cluster_name"] = "a/b"

    with pytest.raises(InvalidEventError):
        observed.see(entry)


@pytest.mark.parametrize("call", ["fetch_job", "list_pods", "list_events", "fetch_node"])
@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_a_cluster_that_does_not_answer_costs_no_fact(
    observed: Observed, call: str, error: Exception
) -> None:
    warm(observed)
    observed.cluster.fail(call, error)
    with pytest.raises(type(error)):
        observed.happen(job_event("Completed"))
    observed.cluster.mend()

    observed.happen(job_event("Completed"))

    assert len(observed.facts) == 1


def test_what_is_irrelevant_is_ignored_with_its_reason(observed: Observed) -> None:
    entry = log_entry(pod_event("Killing", "Stopping container"))
    reported = parse_log_entry(json.dumps(entry).encode())

    outcome = observed.see(entry)

    assert isinstance(reported, Irrelevant)
    assert outcome == Outcome("ignored", {"reason": reported.reason})
