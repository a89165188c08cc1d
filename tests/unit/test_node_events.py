"""What nodes and Jobs report, read from entries of Cloud Logging and from the Kubernetes API."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.domain.cluster_event import (
    ContainerFailed,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    ImageStreamed,
    JobReported,
    LayerDownloadFailed,
    NodeEvent,
    Origin,
    PodUnschedulable,
)
from shared.domain.disposition import Irrelevant
from shared.errors import InvalidEventError
from shared.messages.node_event import parse_event, parse_log_entry
from tests.fakes.recorded_events import find_events, load_event

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
NODE = "gke-gpu-l4-spot-7c1e44d0-x2bq"
DIGEST = "sha256:" + "5f2d" * 16

Change = Callable[[dict[str, Any]], object]


def load(name: str) -> dict[str, Any]:
    entry: dict[str, Any] = load_event(f"events-{name}")
    return entry


def read(name: str, change: Change = lambda _: None) -> NodeEvent:
    """Parse a recorded entry, after a change to it."""
    entry = load(name)
    change(entry)
    return parse_log_entry(json.dumps(entry).encode())


def origin_of(report: NodeEvent) -> Origin:
    assert not isinstance(report, Irrelevant)
    return report.origin


class TestPods:
    @pytest.mark.parametrize(
        ("name", "seconds", "image_bytes", "already_present"),
        [
            pytest.param("pulled-v1.26", 0.794767724, None, False, id="1.26"),
            pytest.param("pulled-v1.27", 9.722063481, None, False, id="1.27"),
            pytest.param("pulled-v1.30", 150.462, 8123456789, False, id="1.30"),
            pytest.param("present-v1.35", None, None, True, id="present-1.35"),
        ],
    )
    def test_every_wording_of_a_pull_is_read(
        self, *, name: str, seconds: float | None, image_bytes: int | None, already_present: bool
    ) -> None:
        report = read(name)

        assert isinstance(report, ImagePulled)
        assert report.pulled.image == f"{MIRROR}:2.7.0"
        assert report.pulled.seconds == seconds
        assert report.pulled.image_bytes == image_bytes
        assert report.pulled.already_present is already_present

    def test_a_report_says_where_it_comes_from(self) -> None:
        report = read("pulled-v1.30")

        entry = load("pulled-v1.30")
        assert origin_of(report) == Origin(
            cluster=CLUSTER,
            kind="Pod",
            name="trainer-6d9f7c5b8-qk4zt",
            namespace="ml",
            uid=entry["jsonPayload"]["involvedObject"]["uid"],
            field_path="spec.containers{trainer}",
            node=NODE,
            event_name=entry["jsonPayload"]["metadata"]["name"],
            event_uid=entry["jsonPayload"]["metadata"]["uid"],
            timestamp=datetime(2026, 5, 4, 9, 30, 11, tzinfo=UTC),
            message=entry["jsonPayload"]["message"],
            log="projects/demo/logs/events",
            insert_id=entry["insertId"],
        )

    def test_an_init_container_is_told_from_others(self) -> None:
        init, ordinary = origin_of(read("present")), origin_of(read("pulled-v1.30"))

        assert (init.container, init.is_init) == ("helper", True)
        assert (ordinary.container, ordinary.is_init) == ("trainer", False)

    def test_a_report_on_a_pod_as_a_whole_names_no_container(self) -> None:
        origin = origin_of(read("failed-scheduling"))

        assert origin.container is None
        assert not origin.is_init

    def test_the_beginning_of_a_pull_is_read(self) -> None:
        report = read("pulling")

        assert isinstance(report, ImagePulling)
        assert report.image == f"{MIRROR}:2.7.0"

    def test_a_failed_pull_is_classified(self) -> None:
        report = read("pull-failed-not-found")

        assert isinstance(report, ImagePullFailed)
        assert report.image == f"{MIRROR}:9.9.9"
        assert report.failure.kind == "not_found"

    def test_a_combined_event_is_read_like_a_single_one(self) -> None:
        report = read("pull-failed-combined")

        assert isinstance(report, ImagePullFailed)
        assert report.failure.kind == "unavailable"
        assert report.origin.message.startswith("Failed to pull image")

    @pytest.mark.parametrize(
        ("name", "step"),
        [
            pytest.param("failed-err-image-pull", "pull", id="pull-error"),
            pytest.param("failed-image-pull-back-off", "pull", id="pull-back-off"),
            pytest.param("failed-start", "start", id="runtime"),
            pytest.param("failed-config", "other", id="missing-secret"),
        ],
    )
    def test_a_container_that_did_not_start_says_how_far_it_came(
        self, name: str, step: str
    ) -> None:
        report = read(name)

        assert isinstance(report, ContainerFailed)
        assert report.step == step

    @pytest.mark.parametrize(
        "text",
        [
            "Error: failed to create containerd container: mount callback failed",
            "Error: failed to start containerd task: cannot start a stopped process",
            'Error: failed to generate container "c" spec: failed to generate spec: no command',
            "Error: failed to reserve container name 'helper_warm-x_prestream'",
        ],
    )
    def test_what_the_runtime_answers_comes_after_the_pull(self, text: str) -> None:
        report = read("failed-start", lambda entry: entry["jsonPayload"].update(message=text))

        assert isinstance(report, ContainerFailed)
        assert report.step == "start"

    @pytest.mark.parametrize(
        "error", ["ErrImageNeverPull", "InvalidImageName", "SignatureValidationFailed"]
    )
    def test_no_other_failure_of_the_image_counts_as_a_start(self, error: str) -> None:
        report = read(
            "failed-start", lambda entry: entry["jsonPayload"].update(message=f"Error: {error}")
        )

        assert isinstance(report, ContainerFailed)
        assert report.step == "pull"

    def test_waiting_for_a_pull_is_told_from_waiting_for_a_restart(self) -> None:
        pull, restart = read("back-off-pulling"), read("back-off-restarting")

        assert isinstance(pull, ImagePullDelayed)
        assert pull.image == f"{MIRROR}:2.7.0"
        assert isinstance(restart, Irrelevant)

    def test_newer_kubelets_add_the_error_to_the_wait(self) -> None:
        text = f'Back-off pulling image "{MIRROR}:2.7.0": ErrImagePull: not found'

        report = read("back-off-pulling", lambda entry: entry["jsonPayload"].update(message=text))

        assert isinstance(report, ImagePullDelayed)

    def test_a_pod_that_no_node_takes_is_reported_at_its_last_time(self) -> None:
        report = read("failed-scheduling")

        assert isinstance(report, PodUnschedulable)
        assert report.origin.timestamp == datetime(2026, 5, 4, 9, 31, 40, 718204, tzinfo=UTC)
        assert report.origin.node is None

    @pytest.mark.parametrize("reason", ["Pulled", "Pulling", "Failed", "BackOff"])
    def test_only_the_kubelet_is_believed_about_pulls(self, reason: str) -> None:
        def forge(entry: dict[str, Any]) -> None:
            entry["jsonPayload"] |= {"reason": reason, "source": {"component": "someone"}}

        report = read("pulled-v1.30", forge)

        assert report == Irrelevant(f"an event {reason} that is not the kubelet's: 'someone'")

    @pytest.mark.parametrize("name", ["pulled-v1.30", "pulling"])
    def test_an_unknown_wording_is_no_pull(self, name: str) -> None:
        report = read(name, lambda entry: entry["jsonPayload"].update(message="Image is there"))

        assert report == Irrelevant("a text of a Pod that says nothing of pulls")

    def test_another_reason_is_ignored(self) -> None:
        report = read("pulled-v1.30", lambda entry: entry["jsonPayload"].update(reason="Started"))

        assert report == Irrelevant("an event of a Pod that says nothing of pulls: Started")


class TestJobs:
    @pytest.mark.parametrize(
        ("name", "reason", "has_ended"),
        [
            ("job-completed", "Completed", True),
            ("job-backoff-limit", "BackoffLimitExceeded", True),
            ("job-deadline", "DeadlineExceeded", True),
            ("job-pod-failure-policy", "PodFailurePolicy", True),
            ("job-failed-create", "FailedCreate", False),
        ],
    )
    def test_what_ends_a_job_is_told_from_what_does_not(
        self, *, name: str, reason: str, has_ended: bool
    ) -> None:
        report = read(name)

        assert isinstance(report, JobReported)
        assert (report.reason, report.has_ended) == (reason, has_ended)
        assert report.origin.cluster == CLUSTER
        assert (report.origin.namespace, report.origin.name) == (
            "prestream",
            "warm-anyscale-ray-ml-3f9c1d20",
        )

    def test_a_job_reported_as_failed_has_ended(self) -> None:
        report = read("job-completed", lambda entry: entry["jsonPayload"].update(reason="Failed"))

        assert isinstance(report, JobReported)
        assert report.has_ended

    def test_its_pods_are_nothing_to_report(self) -> None:
        assert isinstance(read("job-created-pod"), Irrelevant)

    def test_a_job_of_another_api_is_none(self) -> None:
        def volcano(entry: dict[str, Any]) -> None:
            entry["jsonPayload"]["involvedObject"]["apiVersion"] = "batch.volcano.sh/v1alpha1"

        assert isinstance(read("job-completed", volcano), Irrelevant)


class TestStreaming:
    def test_the_short_statement_is_read(self) -> None:
        report = read("streaming-plain")

        assert isinstance(report, ImageStreamed)
        assert report.statement.image == f"{MIRROR}:2.7.0"
        assert report.statement.is_success
        assert report.statement.layers is None
        assert report.origin.node == NODE

    @pytest.mark.parametrize(
        ("name", "image"),
        [
            pytest.param("streaming-figures", f"{MIRROR}@{DIGEST}", id="single"),
            pytest.param("streaming-combined", f"{MIRROR}:2.7.0", id="combined"),
            pytest.param("line-figures", f"{MIRROR}:2.7.0", id="line"),
        ],
    )
    def test_the_statement_with_figures_is_read(self, name: str, image: str) -> None:
        report = read(name)

        assert isinstance(report, ImageStreamed)
        assert report.statement.image == image
        assert (report.statement.streamed_layers, report.statement.layers) == (14, 14)
        assert report.statement.text.startswith("Image ")
        assert report.statement.text == report.origin.message
        assert report.statement.insert_id == load(name)["insertId"]

    def test_a_line_says_where_it_comes_from(self) -> None:
        report = read("line-figures")

        origin = origin_of(report)
        assert (origin.cluster, origin.kind, origin.name, origin.node) == (
            CLUSTER,
            "Node",
            NODE,
            NODE,
        )
        assert origin.log == "projects/demo/logs/gcfs-snapshotter"
        assert origin.timestamp == datetime(2026, 5, 4, 9, 30, 10, 622354, tzinfo=UTC)
        assert (origin.event_uid, origin.namespace) == (None, None)

    def test_an_event_and_a_line_say_the_same_in_the_same_words(self) -> None:
        event, line = read("streaming-plain"), read("line-bare")

        assert origin_of(event).message == origin_of(line).message

    def test_an_image_on_the_boot_disk_is_not_streamed(self) -> None:
        report = read("line-boot-disk")

        assert isinstance(report, ImageStreamed)
        assert not report.statement.is_success
        assert report.statement.is_on_disk

    def test_quotes_within_a_framed_line_are_unescaped(self) -> None:
        text = 'time="t" msg="snapshot \\"x\\": Image r.io/a:1 is backed by image streaming."'

        report = read("line-bare", lambda entry: entry["jsonPayload"].update(MESSAGE=text))

        assert isinstance(report, ImageStreamed)
        assert report.statement.text == 'snapshot "x": Image r.io/a:1 is backed by image streaming.'

    def test_a_layer_that_could_not_be_downloaded_is_read(self) -> None:
        report = read("layer-failed")

        assert isinstance(report, LayerDownloadFailed)
        assert report.failure.image == f"{MIRROR}@{DIGEST}"
        assert report.failure.layer == "sha256:" + "c0de" * 16
        assert report.failure.log == "projects/demo/logs/events"

    @pytest.mark.parametrize("name", ["layer-collected", "line-other", "node-ready"])
    def test_what_says_nothing_of_an_image_is_ignored(self, name: str) -> None:
        assert isinstance(read(name), Irrelevant)

    @pytest.mark.parametrize(
        ("name", "component"),
        [
            pytest.param("layer-failed", "gcfs-snapshotter", id="failure-of-the-snapshotter"),
            pytest.param("streaming-plain", "gcfsd", id="statement-of-the-daemon"),
            pytest.param("streaming-plain", "someone", id="statement-of-someone"),
        ],
    )
    def test_the_component_must_fit_the_text(self, name: str, component: str) -> None:
        report = read(
            name, lambda entry: entry["jsonPayload"]["source"].update(component=component)
        )

        assert isinstance(report, Irrelevant)

    @pytest.mark.parametrize("form", ["message", "textPayload"])
    def test_a_line_is_read_from_whichever_field_the_nodes_agent_used(self, form: str) -> None:
        def change(entry: dict[str, Any]) -> None:
            text = entry.pop("jsonPayload")["MESSAGE"]
            entry |= {form: text} if form == "textPayload" else {"jsonPayload": {form: text}}

        report = read("line-bare", change)

        assert isinstance(report, ImageStreamed)
        assert report == read("line-bare")

    @pytest.mark.parametrize("text", [None, 5, ["I", "m"]])
    def test_a_line_without_a_text_is_ignored(self, text: object) -> None:
        report = read("line-bare", lambda entry: entry["jsonPayload"].update(MESSAGE=text))

        assert isinstance(report, Irrelevant)

    def test_a_line_of_no_known_node_is_ignored(self) -> None:
        report = read("line-bare", lambda entry: entry["resource"]["labels"].pop("node_name"))

        assert isinstance(report, Irrelevant)


class TestOtherEntries:
    def test_a_restart_of_the_exporter_is_ignored_and_quoted(self) -> None:
        report = read("exporter-restarted")

        assert isinstance(report, Irrelevant)
        assert "Some events may have been lost" in report.reason

    def test_another_log_is_ignored(self) -> None:
        assert read("other-log") == Irrelevant("the entry is of another log: gcfsd")

    def test_an_event_of_another_kind_is_ignored(self) -> None:
        def scale(entry: dict[str, Any]) -> None:
            entry["jsonPayload"]["involvedObject"]["kind"] = "Deployment"

        assert isinstance(read("pulled-v1.30", scale), Irrelevant)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\xff\xfe", id="not-utf-8"),
            pytest.param(b"text", id="not-json"),
            pytest.param(b"[]", id="list"),
            pytest.param(b"null", id="null"),
            pytest.param(b"{}", id="no-log"),
            pytest.param(b'{"logName": 5}', id="log-is-no-text"),
            pytest.param(b'{"logName": "projects/p/logs/events"}', id="no-payload"),
            pytest.param(b"[" * 100_000, id="too-deep"),
        ],
    )
    def test_what_is_no_log_entry_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidEventError):
            parse_log_entry(data)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda e: e.update(jsonPayload="text"), id="payload-is-text"),
            pytest.param(lambda e: e.update(jsonPayload={}), id="payload-is-empty"),
            pytest.param(lambda e: e["jsonPayload"].pop("involvedObject"), id="no-object"),
            pytest.param(lambda e: e["jsonPayload"].update(involvedObject=None), id="null-object"),
            pytest.param(lambda e: e["jsonPayload"].pop("reason"), id="no-reason"),
            pytest.param(lambda e: e["jsonPayload"].update(message=5), id="message-is-no-text"),
            pytest.param(lambda e: e["jsonPayload"].update(lastTimestamp="noon"), id="odd-time"),
            pytest.param(lambda e: e.pop("resource"), id="no-resource"),
            pytest.param(lambda e: e["resource"]["labels"].pop("cluster_name"), id="no-cluster"),
        ],
    )
    def test_an_entry_without_a_whole_event_is_refused(self, change: Change) -> None:
        with pytest.raises(InvalidEventError):
            read("pulled-v1.30", change)

    @pytest.mark.parametrize("time", [None, "noon"])
    def test_a_line_without_a_time_is_refused(self, time: str | None) -> None:
        with pytest.raises(InvalidEventError):
            read("line-bare", lambda entry: entry.update(timestamp=time))

    def test_unknown_fields_do_no_harm(self) -> None:
        def add(entry: dict[str, Any]) -> None:
            entry["split"] = {"uid": "u"}
            entry["jsonPayload"]["related"] = None

        assert isinstance(read("pulled-v1.30", add), ImagePulled)


class TestTimes:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            pytest.param({}, "2026-05-04T09:30:11+00:00", id="last-timestamp"),
            pytest.param(
                {"lastTimestamp": None, "series": {"lastObservedTime": "2026-05-04T09:40:00.5Z"}},
                "2026-05-04T09:40:00.500000+00:00",
                id="series",
            ),
            pytest.param(
                {"lastTimestamp": None, "eventTime": "2026-05-04T09:20:00Z"},
                "2026-05-04T09:20:00+00:00",
                id="event-time",
            ),
            pytest.param({"lastTimestamp": None}, "2026-05-04T10:00:00+00:00", id="entry"),
        ],
    )
    def test_the_last_time_that_is_known_counts(
        self, fields: dict[str, Any], expected: str
    ) -> None:
        def change(entry: dict[str, Any]) -> None:
            entry["jsonPayload"] |= fields
            entry["timestamp"] = "2026-05-04T10:00:00Z"

        report = read("pulled-v1.30", change)

        assert origin_of(report).timestamp.isoformat() == expected


class TestKubernetesApi:
    def test_an_event_of_the_api_reads_like_the_entry_of_it(self) -> None:
        event = load("pulled-v1.30")["jsonPayload"] | {
            "count": 2,
            "firstTimestamp": "2026-05-04T09:00:00Z",
        }

        report = parse_event(event, cluster=CLUSTER)

        assert isinstance(report, ImagePulled)
        assert isinstance(logged := read("pulled-v1.30"), ImagePulled)
        assert report.pulled == logged.pulled
        assert report.origin.timestamp == logged.origin.timestamp
        assert (report.origin.log, report.origin.insert_id) == (None, None)

    def test_an_event_of_a_node_names_it(self) -> None:
        report = parse_event(load("streaming-plain")["jsonPayload"], cluster=CLUSTER)

        assert origin_of(report).node == NODE

    def test_a_newer_client_names_the_reporter_instead_of_the_source(self) -> None:
        event = load("pulled-v1.30")["jsonPayload"] | {"source": {}}

        report = parse_event(event, cluster=CLUSTER)

        assert isinstance(report, ImagePulled)
        assert report.origin.node == NODE

    def test_an_event_without_any_time_has_that_of_its_creation(self) -> None:
        event = load("pulled-v1.30")["jsonPayload"] | {"lastTimestamp": None}

        report = parse_event(event, cluster=CLUSTER)

        assert origin_of(report).timestamp == datetime(2026, 5, 4, 9, 30, 11, tzinfo=UTC)

    @pytest.mark.parametrize("event", [{}, {"reason": "Pulled"}, {"metadata": []}])
    def test_what_is_no_event_is_refused(self, event: dict[str, Any]) -> None:
        with pytest.raises(InvalidEventError):
            parse_event(event, cluster=CLUSTER)


@pytest.mark.parametrize("path", find_events("events"), ids=lambda path: path.stem)
def test_every_recorded_entry_can_be_read(path: Path) -> None:
    report = parse_log_entry(path.read_bytes())

    if isinstance(report, Irrelevant):
        assert report.reason
    else:
        assert report.origin.cluster == CLUSTER
