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

INFRA = Path(__file__).parents[2] / "infra"
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


def test_sink_that_sends_is_ok() -> None:
    found = sink(SINK, publishers(WRITER))

    assert {name: each.verdict for name, each in found.items()} == {
        "sink": "ok",
        "sink-writer": "ok",
    }


def test_sink_without_the_right_to_publish_fails() -> None:
    found = sink(SINK, publishers("serviceAccount:another"))["sink-writer"]

    assert (found.verdict, found.fix) == (
        "failed",
        (
            "gcloud pubsub topics add-iam-policy-binding prestream-audit --project=home"
            f" --member={WRITER} --role=roles/pubsub.publisher"
        ),
    )


def test_sink_without_its_topic_fails() -> None:
    assert sink(SINK, NotFound("x"))["sink-writer"].verdict == "failed"


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        pytest.param(
            {"disabled": True},
            "gcloud logging sinks update prestream-audit --no-disabled --project=clusters",
            id="disabled",
        ),
        pytest.param(
            {"destination": "pubsub.googleapis.com/projects/home/topics/other"},
            f"gcloud logging sinks update prestream-audit pubsub.googleapis.com/{TOPIC}"
            " --project=clusters",
            id="elsewhere",
        ),
    ],
)
def test_sink_that_sends_nothing_here_fails(more: dict[str, Any], fix: str) -> None:
    found = sink(SINK | more, publishers(WRITER))["sink"]

    assert (found.verdict, found.fix) == ("failed", fix)


def test_sink_that_is_missing_fails_unless_a_folder_has_one() -> None:
    folder = "serviceAccount:service-folder-7@gcp-sa-logging.iam.gserviceaccount.com"

    assert sink(NotFound("x"), publishers(WRITER))["sink"].verdict == "failed"
    assert sink(NotFound("x"), publishers(folder))["sink"].verdict == "ok"
    assert sink(NotFound("x"), Unavailable("y", "403"))["sink"].verdict == "unknown"


def test_sink_that_cannot_be_seen_is_unknown() -> None:
    assert sink(Unavailable("x", "403"), {})["sink"].verdict == "unknown"
    assert sink(SINK, Unavailable("y", "403"))["sink-writer"].verdict == "unknown"
    assert sink(SINK | {"writerIdentity": None}, {})["sink-writer"].verdict == "unknown"


def subscription(reading: Response) -> dict[str, str]:
    found = check_subscription("prestream-audit", LOOK, reading)
    return {each.name: each.verdict for each in found}


def test_subscription_that_pushes_and_keeps_dead_letters_is_ok() -> None:
    assert subscription(SUBSCRIPTION) == {"subscription": "ok", "dead-letter-policy": "ok"}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"topic": "_deleted-topic_"}, id="topic-gone"),
        pytest.param({"topic": "projects/home/topics/other"}, id="another-topic"),
        pytest.param({"detached": True}, id="detached"),
        pytest.param({"pushConfig": {}}, id="pushes-to-nobody"),
        pytest.param({"pushConfig": {"pushEndpoint": "https://x"}}, id="without-identity"),
        pytest.param({"state": "RESOURCE_ERROR"}, id="unusable"),
    ],
)
def test_subscription_that_wakes_no_function_fails(more: dict[str, Any]) -> None:
    assert subscription(SUBSCRIPTION | more)["subscription"] == "failed"


@pytest.mark.parametrize("topic", [None, "_deleted-topic_"])
def test_dead_letters_need_a_topic(topic: str | None) -> None:
    more = {"deadLetterPolicy": {"deadLetterTopic": topic}}

    assert subscription(SUBSCRIPTION | more)["dead-letter-policy"] == "failed"


def test_subscription_that_is_missing_or_not_seen() -> None:
    assert subscription(NotFound("x")) == {"subscription": "failed"}
    assert subscription(Unavailable("x", "403")) == {"subscription": "unknown"}


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
