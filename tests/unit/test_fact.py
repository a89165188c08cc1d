"""Facts: their documented fields, insert ids that repeat, and severities."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shared.domain.fact import (
    GOOD_OUTCOMES,
    Fact,
    NodeDetails,
    PullObserved,
    StreamObserved,
    Subject,
    TagMoved,
    WarmupFinished,
    WarmupOutcome,
    make_insert_id,
)
from shared.domain.request import Cause
from shared.domain.streaming_verdict import Evidence, Verdict
from shared.domain.timestamp import format_time, parse_time
from shared.pipeline.sweep.bypass import MirrorBypassed

Reported = WarmupFinished | PullObserved | StreamObserved | TagMoved | MirrorBypassed

AT = datetime(2026, 5, 4, 9, 30, 11, 204817, tzinfo=UTC)
CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
DIGEST = "sha256:" + "5f2d" * 16
MIRROR = f"us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml@{DIGEST}"

SUBJECT = Subject(
    image="anyscale/ray-ml:2.7.0",
    mirror=MIRROR,
    digest=DIGEST,
    cluster=CLUSTER,
    cause=Cause("audit_log", "id-1", "apps/v1/namespaces/ml/deployments/trainer"),
)
ELSEWHERE = replace(SUBJECT, cluster="projects/demo/locations/us-east1/clusters/gpu")
NODE_DETAILS = NodeDetails(name="node-1", node_pool="l4", accelerator="nvidia-l4")
EVIDENCE = Evidence("snapshotter", "Image … is backed by image streaming.", "log", "st1")
STREAMED = Verdict("streamed", (EVIDENCE,), None)
SLOW = Verdict("not_streamed", (), "Do this.")

WARMUP = WarmupFinished(
    subject=SUBJECT,
    outcome="pulled",
    at=AT,
    job="warm-ray-ml-1",
    job_uid="job-uid",
    message_id="m-1",
    strategy="gpu-node",
    target="nvidia-l4-spot-6af5d1",
    node=NODE_DETAILS,
    started_at=AT - timedelta(seconds=40),
    pull_seconds=36,
    total_seconds=40.5,
    image_bytes=8_123_456_789,
    verdict=STREAMED,
)
JOBLESS = replace(WARMUP, job=None, job_uid=None)
PULL = PullObserved(
    subject=SUBJECT,
    at=AT,
    verdict=STREAMED,
    pod_uid="pod-uid",
    container="trainer",
    event_uid="event-uid",
    workload="apps/v1/namespaces/ml/deployments/trainer",
    node=NODE_DETAILS,
    pull_seconds=1,
    image_bytes=8_123_456_789,
)
STREAM = StreamObserved(
    subject=SUBJECT, at=AT, node="node-1", text=EVIDENCE.text, layers=14, streamed_layers=14
)
MOVED = TagMoved(
    subject=SUBJECT, at=AT, old_digest="sha256:" + "0bad" * 16, workloads=("ml/trainer",)
)
BYPASSED = MirrorBypassed(
    subject=SUBJECT, at=AT, period="2026-05-04", workloads=("ml/trainer",), hint="Do that."
)
ALL = [each.as_fact() for each in (WARMUP, PULL, STREAM, MOVED, BYPASSED)]
FACTS = [pytest.param(fact, id=fact.event) for fact in ALL]
COMMON = {"event", "image", "mirror", "digest", "cluster", "cause"}


class TestPayloads:
    @pytest.mark.parametrize(
        ("fact", "fields"),
        [
            pytest.param(
                WARMUP.as_fact(),
                "outcome strategy job target node node_pool accelerator started_at pull_seconds"
                " total_seconds image_bytes streamed evidence reason hint not_before",
                id="warmup.finished",
            ),
            pytest.param(
                PULL.as_fact(),
                "workload node node_pool accelerator pull_seconds image_bytes streamed evidence"
                " hint",
                id="pull.observed",
            ),
            pytest.param(STREAM.as_fact(), "node layers streamed_layers", id="stream.observed"),
            pytest.param(MOVED.as_fact(), "old_digest workloads", id="tag.moved"),
            pytest.param(BYPASSED.as_fact(), "workloads reason hint", id="mirror.bypassed"),
        ],
    )
    def test_fact_has_exactly_the_documented_fields(self, fact: Fact, fields: str) -> None:
        assert set(fact.payload) == COMMON | set(fields.split())

    @pytest.mark.parametrize("fact", FACTS)
    def test_fact_has_its_event_and_subject(self, fact: Fact) -> None:
        assert fact.payload["event"] == fact.event
        assert fact.payload["image"] == "anyscale/ray-ml:2.7.0"
        assert fact.payload["mirror"] == MIRROR
        assert fact.payload["digest"] == DIGEST
        assert fact.payload["cluster"] == CLUSTER
        assert fact.payload["cause"] == {
            "kind": "audit_log",
            "id": "id-1",
            "resource": "apps/v1/namespaces/ml/deployments/trainer",
        }

    @pytest.mark.parametrize("fact", FACTS)
    def test_fact_is_plain_json(self, fact: Fact) -> None:
        assert json.loads(json.dumps(fact.payload)) == fact.payload

    @pytest.mark.parametrize("fact", FACTS)
    def test_fact_has_the_time_of_what_happened(self, fact: Fact) -> None:
        assert fact.timestamp == AT

    def test_warmup_is_written_in_full(self) -> None:
        payload = WARMUP.as_fact().payload

        assert payload["outcome"] == "pulled"
        assert payload["strategy"] == "gpu-node"
        assert payload["job"] == "warm-ray-ml-1"
        assert payload["target"] == "nvidia-l4-spot-6af5d1"
        assert (payload["node"], payload["node_pool"], payload["accelerator"]) == (
            "node-1",
            "l4",
            "nvidia-l4",
        )
        assert payload["started_at"] == "2026-05-04T09:29:31.204817Z"
        assert payload["image_bytes"] == 8_123_456_789
        assert payload["streamed"] == "streamed"
        assert payload["evidence"] == [EVIDENCE.as_json()]

    @pytest.mark.parametrize("payload", [WARMUP.as_fact().payload, PULL.as_fact().payload])
    def test_seconds_are_floats_and_bytes_are_integers(self, payload: dict[str, Any]) -> None:
        assert isinstance(payload["pull_seconds"], float)
        assert isinstance(payload["image_bytes"], int)

    def test_unknown_value_is_null(self) -> None:
        bare = WarmupFinished(
            subject=Subject(image="a"), outcome="not_allowed", at=AT, message_id="m-1"
        )

        payload = dict(bare.as_fact().payload)

        assert payload.pop("event") == "warmup.finished"
        assert payload.pop("image") == "a"
        assert payload.pop("outcome") == "not_allowed"
        assert payload.pop("evidence") == []
        assert set(payload.values()) == {None}

    def test_no_time_at_all_is_zero_and_not_null(self) -> None:
        payload = replace(PULL, pull_seconds=0.0).as_fact().payload

        assert payload["pull_seconds"] == 0.0

    def test_postponed_warmup_has_its_retry_time(self) -> None:
        later = replace(WARMUP, outcome="postponed", not_before=AT + timedelta(hours=6))

        assert later.as_fact().payload["not_before"] == "2026-05-04T15:30:11.204817Z"

    def test_hint_of_a_warmup_outweighs_that_of_its_verdict(self) -> None:
        slow = replace(WARMUP, verdict=SLOW)

        assert slow.as_fact().payload["hint"] == "Do this."
        assert replace(slow, hint="Do that.").as_fact().payload["hint"] == "Do that."

    def test_hint_needs_no_verdict(self) -> None:
        refused = replace(WARMUP, outcome="no_node", verdict=None, hint="Do that.")

        payload = refused.as_fact().payload

        assert (payload["streamed"], payload["hint"]) == (None, "Do that.")

    def test_negative_duration_is_left_out(self) -> None:
        payload = replace(WARMUP, total_seconds=-3552.0).as_fact().payload

        assert payload["total_seconds"] is None

    def test_workloads_are_a_list(self) -> None:
        assert MOVED.as_fact().payload["workloads"] == ["ml/trainer"]
        assert BYPASSED.as_fact().payload["workloads"] == ["ml/trainer"]
        assert MOVED.as_fact().payload["old_digest"] == "sha256:" + "0bad" * 16


class TestInsertIds:
    @pytest.mark.parametrize("fact", FACTS)
    def test_cloud_logging_takes_them(self, fact: Fact) -> None:
        assert re.fullmatch(r"[a-zA-Z0-9_.-]{1,100}", fact.insert_id)

    def test_those_of_different_events_differ(self) -> None:
        assert len({fact.insert_id for fact in ALL}) == 5

    @pytest.mark.parametrize(
        ("fact", "again"),
        [
            pytest.param(
                WARMUP,
                replace(
                    WARMUP, message_id="m-2", outcome="pull_failed", pull_seconds=1, reason="r"
                ),
                id="one-job",
            ),
            pytest.param(
                JOBLESS,
                replace(JOBLESS, verdict=None, reason="r"),
                id="one-message",
            ),
            pytest.param(PULL, replace(PULL, verdict=SLOW, workload=None), id="one-pull"),
            pytest.param(STREAM, replace(STREAM, layers=None), id="one-statement"),
            pytest.param(
                PULL,
                replace(PULL, at=AT.astimezone(timezone(timedelta(hours=2)))),
                id="one-time-in-another-zone",
            ),
            pytest.param(MOVED, replace(MOVED, workloads=()), id="one-move"),
            pytest.param(BYPASSED, replace(BYPASSED, at=AT + timedelta(1)), id="one-period"),
        ],
    )
    def test_same_thing_seen_twice_has_one(self, fact: Reported, again: Reported) -> None:
        assert fact.as_fact().insert_id == again.as_fact().insert_id

    @pytest.mark.parametrize(
        ("fact", "other"),
        [
            pytest.param(WARMUP, replace(WARMUP, job_uid="job-2"), id="another-job"),
            pytest.param(WARMUP, JOBLESS, id="no-job"),
            pytest.param(JOBLESS, replace(JOBLESS, message_id="m-2"), id="another-message"),
            pytest.param(JOBLESS, replace(JOBLESS, target="t"), id="another-target"),
            pytest.param(
                JOBLESS, replace(JOBLESS, subject=replace(SUBJECT, image="b")), id="another-image"
            ),
            pytest.param(WARMUP, replace(WARMUP, subject=ELSEWHERE), id="warmup-elsewhere"),
            pytest.param(JOBLESS, replace(JOBLESS, subject=ELSEWHERE), id="message-elsewhere"),
            pytest.param(PULL, replace(PULL, subject=ELSEWHERE), id="pull-elsewhere"),
            pytest.param(STREAM, replace(STREAM, subject=ELSEWHERE), id="statement-elsewhere"),
            pytest.param(MOVED, replace(MOVED, subject=ELSEWHERE), id="tag-elsewhere"),
            pytest.param(BYPASSED, replace(BYPASSED, subject=ELSEWHERE), id="bypass-elsewhere"),
            pytest.param(PULL, replace(PULL, pod_uid="p"), id="another-pod"),
            pytest.param(PULL, replace(PULL, container="c"), id="another-container"),
            pytest.param(PULL, replace(PULL, event_uid="e"), id="another-event"),
            pytest.param(PULL, replace(PULL, at=AT + timedelta(seconds=1)), id="pulled-again"),
            pytest.param(STREAM, replace(STREAM, node="n"), id="another-node"),
            pytest.param(STREAM, replace(STREAM, text="t"), id="another-text"),
            pytest.param(STREAM, replace(STREAM, at=AT + timedelta(seconds=1)), id="said-again"),
            pytest.param(MOVED, replace(MOVED, old_digest="d"), id="another-old-digest"),
            pytest.param(
                MOVED, replace(MOVED, subject=replace(SUBJECT, digest="d")), id="another-new-digest"
            ),
            pytest.param(BYPASSED, replace(BYPASSED, period="p"), id="another-period"),
        ],
    )
    def test_different_things_have_different_ones(self, fact: Reported, other: Reported) -> None:
        assert fact.as_fact().insert_id != other.as_fact().insert_id

    def test_parts_of_a_key_do_not_run_together(self) -> None:
        ids = {
            make_insert_id("tag.moved", ["a", "b", None]),
            make_insert_id("tag.moved", ["a", "b", "None"]),
            make_insert_id("tag.moved", ["ab", "", None]),
            make_insert_id("mirror.bypassed", ["a", "b", None]),
        }

        assert len(ids) == 4

    def test_warmup_that_nothing_identifies_is_refused(self) -> None:
        nameless = replace(WARMUP, job_uid=None, message_id=None)

        with pytest.raises(ValueError, match="neither a Job nor a message"):
            nameless.as_fact()


class TestSeverities:
    @pytest.mark.parametrize(
        "outcome",
        ["pull_failed", "not_allowed", "misconfigured", "postponed", "no_node", "timed_out"],
    )
    def test_warmup_that_ended_badly_is_a_warning(self, outcome: WarmupOutcome) -> None:
        assert replace(WARMUP, outcome=outcome).as_fact().severity == "WARNING"

    @pytest.mark.parametrize("outcome", sorted(GOOD_OUTCOMES))
    def test_slow_warmup_is_not_a_failure(self, outcome: WarmupOutcome) -> None:
        assert replace(WARMUP, outcome=outcome, verdict=SLOW).as_fact().severity == "INFO"

    @pytest.mark.parametrize(
        ("build", "severity"),
        [
            pytest.param(replace(PULL, verdict=SLOW).as_fact, "WARNING", id="not-streamed"),
            pytest.param(replace(PULL, verdict=Verdict("unknown")).as_fact, "INFO", id="unknown"),
            pytest.param(PULL.as_fact, "INFO", id="streamed"),
            pytest.param(STREAM.as_fact, "INFO", id="stream.observed"),
            pytest.param(MOVED.as_fact, "INFO", id="tag.moved"),
            pytest.param(BYPASSED.as_fact, "WARNING", id="mirror.bypassed"),
        ],
    )
    def test_other_facts_warn_where_a_person_can_do_something(
        self, build: Callable[[], Fact], severity: str
    ) -> None:
        assert build().severity == severity


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (AT, "2026-05-04T09:30:11.204817Z"),
        (AT.replace(microsecond=0), "2026-05-04T09:30:11Z"),
        (AT.astimezone(timezone(timedelta(hours=-5))), "2026-05-04T09:30:11.204817Z"),
    ],
)
def test_times_are_written_in_utc(time: datetime, expected: str) -> None:
    assert format_time(time) == expected
    assert parse_time(expected) == time
