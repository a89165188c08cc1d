"""Kubernetes events of pods and Jobs, from log entries and from the API."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.cluster_event import (
    ContainerFailed,
    ImagePullDelayed,
    ImagePulled,
    ImagePullFailed,
    ImagePulling,
    JobReported,
    Origin,
    PodUnschedulable,
)
from shared.domain.disposition import Irrelevant
from shared.errors import InvalidEventError
from shared.messages.node_event import parse_event
from tests.fakes.node_entries import CLUSTER, MIRROR, NODE, load_entry, origin_of, parse


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
        report = parse(name)

        assert isinstance(report, ImagePulled)
        assert report.pulled.image == f"{MIRROR}:2.7.0"
        assert report.pulled.seconds == seconds
        assert report.pulled.image_bytes == image_bytes
        assert report.pulled.already_present is already_present

    def test_event_has_its_origin(self) -> None:
        report = parse("pulled-v1.30")

        entry = load_entry("pulled-v1.30")
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
            first_timestamp=datetime(2026, 5, 4, 9, 30, 11, tzinfo=UTC),
            message=entry["jsonPayload"]["message"],
            log="projects/demo/logs/events",
            insert_id=entry["insertId"],
        )

    @pytest.mark.parametrize(
        ("path", "field"),
        [
            pytest.param(("involvedObject", "uid"), "uid", id="object-uid"),
            pytest.param(("involvedObject", "fieldPath"), "field_path", id="field-path"),
            pytest.param(("metadata", "name"), "event_name", id="event-name"),
            pytest.param(("metadata", "uid"), "event_uid", id="event-uid"),
        ],
    )
    def test_empty_field_of_the_origin_is_none(self, path: tuple[str, str], field: str) -> None:
        def clear(entry: dict[str, Any]) -> None:
            part, name = path
            entry["jsonPayload"][part][name] = ""

        assert getattr(origin_of(parse("pulled-v1.30", clear)), field) is None

    def test_event_without_a_host_has_the_node_of_its_entry(self) -> None:
        def clear(entry: dict[str, Any]) -> None:
            del entry["jsonPayload"]["source"]["host"], entry["jsonPayload"]["reportingInstance"]
            entry["resource"]["labels"]["node_name"] = "gke-gpu-l4-2"

        assert origin_of(parse("pulled-v1.30", clear)).node == "gke-gpu-l4-2"

    def test_init_container_is_recognized(self) -> None:
        init, ordinary = origin_of(parse("present")), origin_of(parse("pulled-v1.30"))

        assert (init.container, init.is_init) == ("helper", True)
        assert (ordinary.container, ordinary.is_init) == ("trainer", False)

    def test_report_on_a_pod_as_a_whole_names_no_container(self) -> None:
        origin = origin_of(parse("failed-scheduling"))

        assert origin.container is None
        assert not origin.is_init

    def test_beginning_of_a_pull_is_read(self) -> None:
        report = parse("pulling")

        assert isinstance(report, ImagePulling)
        assert report.image == f"{MIRROR}:2.7.0"

    def test_failed_pull_is_classified(self) -> None:
        report = parse("pull-failed-not-found")

        assert isinstance(report, ImagePullFailed)
        assert report.image == f"{MIRROR}:9.9.9"
        assert report.failure.kind == "not_found"

    def test_combined_event_is_read_like_a_single_one(self) -> None:
        report = parse("pull-failed-combined")

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
    def test_failed_container_has_its_step(self, name: str, step: str) -> None:
        report = parse(name)

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
    def test_error_of_the_runtime_follows_the_pull(self, text: str) -> None:
        report = parse("failed-start", lambda entry: entry["jsonPayload"].update(message=text))

        assert isinstance(report, ContainerFailed)
        assert report.step == "start"

    @pytest.mark.parametrize(
        "error", ["ErrImageNeverPull", "InvalidImageName", "SignatureValidationFailed"]
    )
    def test_no_other_failure_of_the_image_counts_as_a_start(self, error: str) -> None:
        report = parse(
            "failed-start", lambda entry: entry["jsonPayload"].update(message=f"Error: {error}")
        )

        assert isinstance(report, ContainerFailed)
        assert report.step == "pull"

    def test_back_off_of_a_pull_differs_from_back_off_of_a_restart(self) -> None:
        pull, restart = parse("back-off-pulling"), parse("back-off-restarting")

        assert isinstance(pull, ImagePullDelayed)
        assert pull.image == f"{MIRROR}:2.7.0"
        assert isinstance(restart, Irrelevant)

    def test_newer_kubelets_add_the_error_to_the_wait(self) -> None:
        text = f'Back-off pulling image "{MIRROR}:2.7.0": ErrImagePull: not found'

        report = parse("back-off-pulling", lambda entry: entry["jsonPayload"].update(message=text))

        assert isinstance(report, ImagePullDelayed)

    def test_pod_that_no_node_takes_is_reported_at_its_last_time(self) -> None:
        report = parse("failed-scheduling")

        assert isinstance(report, PodUnschedulable)
        assert report.origin.timestamp == datetime(2026, 5, 4, 9, 31, 40, 718204, tzinfo=UTC)
        assert report.origin.node is None

    @pytest.mark.parametrize("reason", ["Pulled", "Pulling", "Failed", "BackOff"])
    def test_pull_events_of_other_components_are_ignored(self, reason: str) -> None:
        def forge(entry: dict[str, Any]) -> None:
            entry["jsonPayload"] |= {"reason": reason, "source": {"component": "someone"}}

        report = parse("pulled-v1.30", forge)

        assert report == Irrelevant(f"an event {reason} that is not the kubelet's: 'someone'")

    @pytest.mark.parametrize("name", ["pulled-v1.30", "pulling"])
    def test_unknown_wording_is_no_pull(self, name: str) -> None:
        report = parse(name, lambda entry: entry["jsonPayload"].update(message="Image is there"))

        assert report == Irrelevant("a text of a Pod that says nothing of pulls")

    def test_another_reason_is_ignored(self) -> None:
        report = parse("pulled-v1.30", lambda entry: entry["jsonPayload"].update(reason="Started"))

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
    def test_job_event_has_its_reason_and_end(
        self, *, name: str, reason: str, has_ended: bool
    ) -> None:
        report = parse(name)

        assert isinstance(report, JobReported)
        assert (report.reason, report.has_ended) == (reason, has_ended)
        assert report.origin.cluster == CLUSTER
        assert (report.origin.namespace, report.origin.name) == (
            "prestream",
            "warm-anyscale-ray-ml-3f9c1d20",
        )

    def test_job_reported_as_failed_has_ended(self) -> None:
        report = parse("job-completed", lambda entry: entry["jsonPayload"].update(reason="Failed"))

        assert isinstance(report, JobReported)
        assert report.has_ended

    def test_creation_of_a_pod_is_ignored(self) -> None:
        assert isinstance(parse("job-created-pod"), Irrelevant)

    def test_job_of_another_api_is_ignored(self) -> None:
        def volcano(entry: dict[str, Any]) -> None:
            entry["jsonPayload"]["involvedObject"]["apiVersion"] = "batch.volcano.sh/v1alpha1"

        assert isinstance(parse("job-completed", volcano), Irrelevant)


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
    def test_last_time_that_is_known_counts(self, fields: dict[str, Any], expected: str) -> None:
        def change(entry: dict[str, Any]) -> None:
            entry["jsonPayload"] |= fields
            entry["timestamp"] = "2026-05-04T10:00:00Z"

        report = parse("pulled-v1.30", change)

        assert origin_of(report).timestamp.isoformat() == expected


class TestKubernetesApi:
    def test_event_of_the_api_reads_like_the_entry_of_it(self) -> None:
        event = load_entry("pulled-v1.30")["jsonPayload"] | {
            "count": 2,
            "firstTimestamp": "2026-05-04T09:00:00Z",
        }

        report = parse_event(event, cluster=CLUSTER)

        assert isinstance(report, ImagePulled)
        assert isinstance(logged := parse("pulled-v1.30"), ImagePulled)
        assert report.pulled == logged.pulled
        assert report.origin.timestamp == logged.origin.timestamp
        assert (report.origin.log, report.origin.insert_id) == (None, None)

    def test_event_of_a_node_names_it(self) -> None:
        report = parse_event(load_entry("streaming-plain")["jsonPayload"], cluster=CLUSTER)

        assert origin_of(report).node == NODE

    def test_newer_client_names_the_reporter_instead_of_the_source(self) -> None:
        event = load_entry("pulled-v1.30")["jsonPayload"] | {"source": {}}

        report = parse_event(event, cluster=CLUSTER)

        assert isinstance(report, ImagePulled)
        assert report.origin.node == NODE

    def test_event_without_any_time_has_that_of_its_creation(self) -> None:
        event = load_entry("pulled-v1.30")["jsonPayload"] | {"lastTimestamp": None}

        report = parse_event(event, cluster=CLUSTER)

        assert origin_of(report).timestamp == datetime(2026, 5, 4, 9, 30, 11, tzinfo=UTC)

    @pytest.mark.parametrize("event", [{}, {"reason": "Pulled"}, {"metadata": []}])
    def test_invalid_event_is_refused(self, event: dict[str, Any]) -> None:
        with pytest.raises(InvalidEventError):
            parse_event(event, cluster=CLUSTER)
