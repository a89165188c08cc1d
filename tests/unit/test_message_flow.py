"""Checks of sinks, subscriptions and dead letters."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.doctor import google_requests
from cli.doctor.check import Check
from cli.doctor.checks.message_flow import (
    SINKS,
    SUBSCRIPTIONS,
    SinkResponses,
    check_dead_letters,
    check_sink,
    check_subscription,
)
from cli.doctor.response import NotFound, Response, Unavailable

INFRA = Path(__file__).parents[2] / "infra" / "modules" / "prestream"
NOW = datetime(2026, 1, 2, tzinfo=UTC)
TOPIC = "projects/home/topics/prestream-audit"
WRITER = "serviceAccount:service-42@gcp-sa-logging.iam.gserviceaccount.com"
SINK = {"destination": f"pubsub.googleapis.com/{TOPIC}", "writerIdentity": WRITER}
LOOK = google_requests.subscription("home", "prestream-audit-log")
SUBSCRIPTION: dict[str, Any] = {
    "topic": TOPIC,
    "state": "ACTIVE",
    "pushConfig": {
        "pushEndpoint": "https://prestream-audit-log-x.a.run.app",
        "oidcToken": {"serviceAccountEmail": "prestream-invoker@home.iam.gserviceaccount.com"},
    },
    "deadLetterPolicy": {"deadLetterTopic": "projects/home/topics/prestream-dead-letters"},
}


def publishers(*members: str) -> dict[str, Any]:
    return {"bindings": [{"role": "roles/pubsub.publisher", "members": list(members)}]}


def sink(found: Response, policy: Response) -> dict[str, Check]:
    look = google_requests.sink("clusters", "prestream-audit")
    readings = SinkResponses("clusters", "prestream-audit", TOPIC, look, found, policy)
    return {each.name: each for each in check_sink(readings)}


FOLDER = "serviceAccount:service-folder-7@gcp-sa-logging.iam.gserviceaccount.com"
HIDDEN, ABSENT = Unavailable("x", "403"), NotFound("x")


@pytest.mark.parametrize(
    ("found", "policy", "name", "verdict", "fix"),
    [
        pytest.param(SINK, publishers(WRITER), "sink", "ok", None, id="sends"),
        pytest.param(SINK, publishers(WRITER), "sink-writer", "ok", None, id="may-publish"),
        pytest.param(
            SINK,
            publishers("serviceAccount:another"),
            "sink-writer",
            "failed",
            "gcloud pubsub topics add-iam-policy-binding prestream-audit --project=home"
            f" --member={WRITER} --role=roles/pubsub.publisher",
            id="may-not-publish",
        ),
        pytest.param(SINK, ABSENT, "sink-writer", "failed", "", id="no-topic"),
        pytest.param(
            SINK | {"disabled": True},
            publishers(WRITER),
            "sink",
            "failed",
            "gcloud logging sinks update prestream-audit --no-disabled --project=clusters",
            id="disabled",
        ),
        pytest.param(
            SINK | {"destination": "pubsub.googleapis.com/projects/home/topics/other"},
            publishers(WRITER),
            "sink",
            "failed",
            f"gcloud logging sinks update prestream-audit pubsub.googleapis.com/{TOPIC}"
            " --project=clusters",
            id="another-destination",
        ),
        pytest.param(ABSENT, publishers(WRITER), "sink", "failed", "", id="absent"),
        pytest.param(ABSENT, publishers(FOLDER), "sink", "ok", None, id="absent-but-of-a-folder"),
        pytest.param(ABSENT, HIDDEN, "sink", "unknown", "", id="absent-and-policy-unseen"),
        pytest.param(HIDDEN, {}, "sink", "unknown", "", id="unseen"),
        pytest.param(SINK, HIDDEN, "sink-writer", "unknown", "", id="policy-unseen"),
        pytest.param(
            SINK | {"writerIdentity": None}, {}, "sink-writer", "unknown", "", id="no-writer"
        ),
    ],
)
def test_sink_sends_to_its_topic(
    found: Response, policy: Response, name: str, verdict: str, fix: str | None
) -> None:
    check = sink(found, policy)[name]

    assert check.verdict == verdict
    if fix != "":
        assert check.fix == fix


def subscription(reading: Response) -> dict[str, str]:
    found = check_subscription("prestream-audit", LOOK, reading)
    return {each.name: each.verdict for each in found}


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        pytest.param(SUBSCRIPTION, {}, id="pushes-and-keeps-dead-letters"),
        pytest.param(SUBSCRIPTION | {"topic": "_deleted-topic_"}, {"subscription": "failed"}),
        pytest.param(SUBSCRIPTION | {"topic": f"{TOPIC}-2"}, {"subscription": "failed"}),
        pytest.param(SUBSCRIPTION | {"detached": True}, {"subscription": "failed"}),
        pytest.param(SUBSCRIPTION | {"pushConfig": {}}, {"subscription": "failed"}),
        pytest.param(
            SUBSCRIPTION | {"pushConfig": {"pushEndpoint": "https://x"}},
            {"subscription": "failed"},
            id="without-identity",
        ),
        pytest.param(SUBSCRIPTION | {"state": "RESOURCE_ERROR"}, {"subscription": "failed"}),
        pytest.param(
            SUBSCRIPTION | {"deadLetterPolicy": {"deadLetterTopic": None}},
            {"dead-letter-policy": "failed"},
            id="no-dead-letters",
        ),
        pytest.param(
            SUBSCRIPTION | {"deadLetterPolicy": {"deadLetterTopic": "_deleted-topic_"}},
            {"dead-letter-policy": "failed"},
            id="dead-letter-topic-deleted",
        ),
    ],
)
def test_subscription_pushes_and_keeps_dead_letters(
    reading: Response, expected: dict[str, str]
) -> None:
    assert subscription(reading) == {
        "subscription": "ok",
        "dead-letter-policy": "ok",
        **expected,
    }


def test_subscription_must_exist() -> None:
    assert subscription(ABSENT) == {"subscription": "failed"}
    assert subscription(HIDDEN) == {"subscription": "unknown"}


def dead(kept: Response, backlog: Response) -> dict[str, Check]:
    look = google_requests.subscription("home", "prestream-dead-letters")
    return {each.name: each for each in check_dead_letters(look, kept, backlog)}


def waiting(number: int) -> dict[str, Any]:
    return {"timeSeries": [{"points": [{"value": {"int64Value": str(number)}}]}]}


def test_no_dead_letters_are_ok() -> None:
    found = dead({"topic": "t"}, waiting(0))

    assert {each.verdict for each in found.values()} == {"ok"}


def test_dead_letters_are_a_warning_with_the_command_that_shows_them() -> None:
    found = dead({"topic": "t"}, waiting(7))["dead-letters"]

    assert (found.verdict, found.finding[:2]) == ("warning", "7 ")
    assert found.fix == (
        "gcloud pubsub subscriptions pull prestream-dead-letters --project=home --limit=10"
    )


def test_dead_letters_without_a_subscription_fail() -> None:
    assert dead(NotFound("x"), {})["dead-letters-kept"].verdict == "failed"


@pytest.mark.parametrize("backlog", [{}, Unavailable("x", "403"), NotFound("x")])
def test_missing_measurement_is_unknown(backlog: Response) -> None:
    found = dead(Unavailable("x", "403"), backlog)

    assert {each.verdict for each in found.values()} == {"unknown"}


def test_names_are_those_that_are_deployed() -> None:
    functions = (INFRA / "functions.tf").read_text("utf-8")
    sinks = (INFRA / "sinks.tf").read_text("utf-8")

    for name, topic in SUBSCRIPTIONS.items():
        key = name.removeprefix("prestream-").replace("-", "_")
        block = functions.partition(f"    {key} = {{")[2].partition("}")[0]
        assert f'"{topic}"' in block, name
    assert all(f"    {name} = {{" in sinks for name in SINKS)


def test_backlog_is_read_from_its_metric() -> None:
    look = google_requests.backlog("home", "dead", NOW, NOW)

    assert look.path.startswith("v3/projects/home/timeSeries?filter=metric.type")
    assert "interval.endTime=2026-01-02T00%3A00%3A00Z" in look.path
