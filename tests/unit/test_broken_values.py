"""Values in messages that no message should have: endless, or beyond every bound."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.http import CloudEvent

from cli.status.warmup_state import read_job
from shared.domain.kubelet_messages import parse_pulled
from shared.domain.placement import InvalidPlacementError, Placement
from shared.domain.pod_scheduling import SchedulingFields
from shared.domain.snapshotter_messages import parse_statement
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import (
    CAUSE_ANNOTATION,
    NOT_BEFORE_ANNOTATION,
)
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION, read_refusal
from shared.errors import InvalidEventError
from shared.messages.json_body import MAX_VALUES, decode
from shared.messages.node_event import parse_log_entry
from shared.messages.node_event_body import MAX_TEXT
from shared.messages.pubsub_message import PubsubMessage
from shared.pipeline.execute import Executor
from shared.pipeline.report_warmup import report_job
from shared.pipeline.track_proven import FAILURES_ANNOTATION, find_recent_failures
from tests.fakes.clusters import FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    STATEMENT,
    end,
    log_entry,
    place_warmup,
    pod_event,
    snapshotter_line,
)

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def parse_envelope(**message: Any) -> PubsubMessage:
    fields = {"messageId": "m-1", "publishTime": "2026-11-24T07:00:00Z", **message}
    event = CloudEvent({"type": "t", "source": "s", "id": "m-1"}, {"message": fields})
    return PubsubMessage.from_cloud_event(event)


@pytest.mark.parametrize("field", ["messageId", "publishTime", "attributes"])
@pytest.mark.parametrize("value", [nested(5_000), [nested(5_000)], {"a": nested(5_000)}])
def test_field_of_a_delivery_may_be_deeper_than_it_can_be_shown(field: str, value: Any) -> None:
    with pytest.raises(InvalidEventError):
        parse_envelope(**{field: value})


@pytest.mark.parametrize(
    "value",
    [
        nested(5_000),
        {"nodeSelector": nested(5_000)},
        {"tolerations": {"a": nested(5_000)}},
        {"tolerations": [nested(5_000)]},
        {"tolerations": [{"key": nested(5_000)}]},
        {"tolerations": [{"operator": "Maybe", "value": "a" * 5_000}]},
    ],
    ids=["placement", "selector", "tolerations", "toleration", "key", "operator"],
)
def test_placement_that_is_refused_is_not_shown(value: Any) -> None:
    with pytest.raises(InvalidPlacementError) as caught:
        Placement.from_json(value)

    assert len(str(caught.value)) < 100


def test_toleration_that_is_deeper_than_it_can_be_shown_is_left_out() -> None:
    scheduling = SchedulingFields(tolerations=[{"key": nested(5_000)}, {"key": "a"}])

    assert [each.key for each in scheduling.placement.tolerations] == ["a"]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_time_outside_the_range_of_zones_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="year"):
        parse_time(text)


def test_earliest_and_latest_time_convert_to_every_zone() -> None:
    for text in ("0002-01-01T00:00:00+14:00", "9998-12-31T23:59:59-14:00"):
        assert parse_time(text).astimezone(UTC).tzinfo is UTC


@pytest.mark.parametrize(
    ("seconds", "size", "expected"),
    [
        pytest.param("1s", "9" * 5_000, (1.0, None), id="size"),
        pytest.param("9" * 5_000 + "h", "1", (None, 1), id="seconds"),
        pytest.param("9" * 2_000_000 + "h", "1", (None, 1), id="seconds-beyond-a-decimal"),
        pytest.param("1s", "9" * 18, (1.0, 10**18 - 1), id="the-most"),
    ],
)
def test_number_of_a_pull_without_an_end_is_not_known(
    seconds: str, size: str, expected: tuple[float | None, int | None]
) -> None:
    text = f'Successfully pulled image "a:1" in {seconds} (1s). Image size: {size} bytes.'

    pulled = parse_pulled(text)

    assert pulled is not None
    assert (pulled.seconds, pulled.image_bytes) == expected


def test_number_of_layers_without_an_end_is_no_statement() -> None:
    digits = "9" * 5_000
    text = f"Image a:1 is backed by image streaming by 1% ({digits}/{digits} layers)."

    assert parse_statement(text) is None


def test_text_without_an_end_is_read_as_far_as_kubernetes_writes_one() -> None:
    event = log_entry(pod_event("Failed", "parent snapshot " * 500_000))
    line = snapshotter_line(STATEMENT + " x" * 2_000_000)

    for entry in (event, line):
        report = parse_log_entry(json.dumps(entry).encode())
        origin = getattr(report, "origin", None)
        assert origin is None or len(origin.message) <= MAX_TEXT


@pytest.mark.parametrize("sign", [b",1", b",[]", b",{}", b',{"a":[]}'])
def test_message_of_too_many_values_is_refused_before_it_is_decoded(sign: bytes) -> None:
    body = b"[1%s]" % (sign * (MAX_VALUES + 1))

    with pytest.raises(InvalidEventError, match=rf"not it: it has more than {MAX_VALUES} values"):
        decode(body, list, "not it")


def test_message_of_as_many_values_as_are_allowed_is_read() -> None:
    body = b"[1%s]" % (b",1" * (MAX_VALUES - 1))

    assert len(decode(body, list, "not it")) == MAX_VALUES


BROKEN = ["", "5", "[]", "{", '{"kind": "rumour"}', '{"kind": ["push"]}', "[" * 100_000]


@pytest.mark.parametrize("text", [*BROKEN, '{"kind": "push", "id": [NaN]}'])
def test_broken_cause_is_unknown(text: str) -> None:
    cluster, facts = FakeCluster(), FakeFactLog()
    job = end(place_warmup(cluster))
    job["metadata"]["annotations"][CAUSE_ANNOTATION] = text

    report_job(cluster, job, Executor(facts, dry_run=True))

    assert [fact.payload["cause"] for fact in facts.facts] == [None]


REFUSAL = {
    "pod": "p",
    "podUid": "u",
    "fieldPath": "spec.containers{image}",
    "node": "n",
    "time": "2026-11-24T07:00:00Z",
    "image": "a:1",
    "message": "not found",
    "log": None,
    "insertId": None,
}


@pytest.mark.parametrize(
    "text",
    [
        *BROKEN,
        *(json.dumps(REFUSAL | {name: 5}) for name in ("pod", "image", "message", "time")),
        *(json.dumps({key: REFUSAL[key] for key in REFUSAL if key != name}) for name in REFUSAL),
    ],
)
def test_broken_refusal_is_unknown(text: str) -> None:
    job = {"metadata": {"annotations": {REFUSAL_ANNOTATION: text}}}

    assert read_refusal(job, cluster="c") == []


@pytest.mark.parametrize("text", BROKEN)
def test_broken_failure_count_is_zero(text: str) -> None:
    body = {"metadata": {"annotations": {FAILURES_ANNOTATION: text}}}

    assert find_recent_failures(body, "docker.io", NOW) == {}


def test_broken_not_before_is_left_out() -> None:
    job = end(place_warmup(FakeCluster()), "DeadlineExceeded")
    job["metadata"]["annotations"][NOT_BEFORE_ANNOTATION] = "tomorrow"

    observation = read_job(job, None, cluster="c", period=timedelta(hours=48))

    assert observation.not_before is None
