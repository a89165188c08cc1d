"""The calls that a fault hits, and its effect on them, over real sockets."""

import http.client
import json
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from sandbox.clock import Clock, SkewedClock
from sandbox.cloud_logging import CloudLogging
from sandbox.fault import Damage, Fault, Faults, Pattern, at_rate, every, first, within
from sandbox.gke.log_router import LogRouter, Sink
from sandbox.kubernetes.access import ADMIN_TOKEN
from sandbox.kubernetes.server import KubernetesServer

TIMEOUT_S = 10.0
LIST = b'{"resourceNames": ["projects/demo"]}'
JSON = "application/json"


@dataclass
class Answer:
    """The result of a call; without a status if no complete answer came."""

    status: int | None
    content: bytes = b""
    media_type: str = ""
    date: datetime | None = None
    part: bytes | None = None


class Logs:
    """Cloud Logging with faults, and a client that returns all that it receives."""

    def __init__(self) -> None:
        self.clock = SkewedClock(Clock())
        self.faults = Faults()
        self.server = CloudLogging(self.clock, self.faults).start()

    def call(self, path: str = "list", body: bytes = LIST) -> Answer:
        connection = http.client.HTTPConnection(self.server.address, timeout=TIMEOUT_S)
        try:
            connection.request("POST", f"/v2/entries:{path}", body)
            response = connection.getresponse()
            content = response.read()
        except http.client.IncompleteRead as exc:
            return Answer(None, part=exc.partial)
        except (OSError, http.client.HTTPException):
            return Answer(None)
        finally:
            connection.close()
        date = parsedate_to_datetime(response.headers["Date"])
        return Answer(response.status, content, response.headers["Content-Type"], date)

    def write(self) -> Answer:
        entry = {"logName": "projects/demo/logs/l", "textPayload": "x", "resource": {"type": "a"}}
        return self.call("write", json.dumps({"entries": [entry]}).encode())


@pytest.fixture
def logs() -> Iterator[Logs]:
    logs = Logs()
    logs.write()
    yield logs
    logs.server.stop()


def test_answer_without_a_fault_is_whole(logs: Logs) -> None:
    answer = logs.call()

    assert (answer.status, answer.media_type) == (200, JSON)
    assert len(json.loads(answer.content)["entries"]) == 1


@pytest.mark.parametrize("damage", ["cut", "truncated", "mistyped", "emptied"])
def test_damaged_answer_comes_after_the_call_took_effect(logs: Logs, damage: Damage) -> None:
    logs.faults.add(Fault("logging", "write", damage=damage, times=1))

    logs.write()

    assert len(logs.server.entries) == 2
    assert logs.write().status == 200


def test_cut_answer_ends_in_the_middle_of_its_body(logs: Logs) -> None:
    whole = logs.call().content
    logs.faults.add(Fault("logging", damage="cut"))

    answer = logs.call()

    assert (answer.status, answer.part) == (None, whole[: len(whole) // 2])


def test_truncated_answer_looks_whole(logs: Logs) -> None:
    whole = logs.call().content
    logs.faults.add(Fault("logging", damage="truncated"))

    answer = logs.call()

    assert (answer.status, answer.content) == (200, whole[: len(whole) // 2])


def test_mistyped_answer_has_another_media_type(logs: Logs) -> None:
    whole = logs.call().content
    logs.faults.add(Fault("logging", damage="mistyped"))

    answer = logs.call()

    assert (answer.content, answer.media_type) == (whole, "text/html; charset=utf-8")


def test_emptied_answer_has_no_body(logs: Logs) -> None:
    logs.faults.add(Fault("logging", damage="emptied"))

    answer = logs.call()

    assert (answer.status, answer.content) == (200, b"")


@pytest.mark.parametrize("status", [200, 502])
def test_proxy_answers_with_a_page(logs: Logs, status: int) -> None:
    logs.faults.add(Fault("logging", "write", status, content=b"<html>"))

    answer = logs.write()

    assert (answer.status, answer.content, answer.media_type) == (status, b"<html>", "text/html")
    assert len(logs.server.entries) == 1


def test_connection_serves_on_after_a_refusal(logs: Logs) -> None:
    logs.faults.add(Fault("logging", status=429, headers={"Retry-After": "7"}, times=1))
    connection = http.client.HTTPConnection(logs.server.address, timeout=TIMEOUT_S)

    connection.request("POST", "/v2/entries:list", LIST)
    refused = connection.getresponse()
    refused.read()
    connection.request("POST", "/v2/entries:list", LIST)
    served = connection.getresponse()
    served.read()
    connection.close()

    assert (refused.status, refused.headers["Retry-After"], served.status) == (429, "7", 200)


# Which calls are hit.


def hit(pattern: Pattern, calls: list[str]) -> list[bool]:
    """Return which of these calls a fault of a pattern hits."""
    faults = Faults()
    faults.add(Fault("logging", "GET", when=pattern))
    return [faults.hit("logging", call) is not None for call in calls]


def test_rate_hits_the_same_share_of_calls_each_time() -> None:
    calls = [f"GET /{n}" for n in range(1000)]

    once = hit(at_rate(0.1, seed=7), calls)

    assert once == hit(at_rate(0.1, seed=7), calls)
    assert once != hit(at_rate(0.1, seed=8), calls)
    assert 70 < sum(once) < 130


def test_rate_does_not_depend_on_other_calls() -> None:
    calls = [f"GET /{n}" for n in range(200)]
    mixed = [each for call in calls for each in (call, f"{call}/other")]

    alone = dict(zip(calls, hit(at_rate(0.2, seed=7), calls), strict=True))
    among = dict(zip(mixed, hit(at_rate(0.2, seed=7), mixed), strict=True))

    assert alone == {call: among[call] for call in calls}


def test_rate_draws_anew_for_a_repeated_call() -> None:
    drawn = hit(at_rate(0.5, seed=7), ["GET /"] * 100)

    assert 30 < sum(drawn) < 70


def test_fault_counts_only_the_calls_that_it_could_hit() -> None:
    calls = ["GET /", "POST /", "GET /", "GET /", "GET /"]

    assert hit(every(2), calls) == [False, False, True, False, True]


def test_first_calls_of_each_text_are_hit() -> None:
    assert hit(first(1), ["GET /a", "GET /b", "GET /a"]) == [True, True, False]


def test_window_follows_the_clock_of_the_sandbox() -> None:
    clock = Clock()
    faults = Faults()
    begin, end = timedelta(hours=1), timedelta(hours=2)
    fault = faults.add(Fault("logging", when=within(clock, begin, end)))
    seen = []

    for _ in range(3):
        seen.append(faults.hit("logging", "GET /") is fault)
        clock.advance(timedelta(hours=1, minutes=1))

    assert seen == [False, True, False]
    assert fault.hits == 1


# Clocks.


def test_service_with_a_wrong_clock_stamps_and_dates_by_it(logs: Logs) -> None:
    logs.clock.skew = timedelta(hours=-3)

    answer = logs.write()

    assert answer.date is not None
    stamp = datetime.fromisoformat(logs.server.entries[-1]["timestamp"])
    for told in (answer.date, stamp):
        assert timedelta(hours=2) < datetime.now(UTC) - told < timedelta(hours=4)


def test_wait_by_a_wrong_clock_lasts_as_long() -> None:
    right = Clock()
    wrong = SkewedClock(right)
    wrong.skew = timedelta(hours=5)
    due = wrong.now() + timedelta(hours=1)
    wrong.advance(timedelta(hours=1))

    assert wrong.wait_until(due)
    assert wrong.now() - right.now() > timedelta(hours=4)


# The API server.


@pytest.fixture
def kubernetes() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    yield server
    server.stop()


def read(server: KubernetesServer, path: str) -> int:
    connection = http.client.HTTPConnection(server.address, timeout=TIMEOUT_S)
    connection.request("GET", path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_restart_of_the_api_server_keeps_its_data_and_forgets_its_history() -> None:
    clock = Clock()
    server = KubernetesServer(clock, Faults()).start()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}}
    version = server.api.create("namespaces", body, user="admin")["metadata"]["resourceVersion"]
    server.api.create("namespaces", {**body, "metadata": {"name": "more"}}, user="admin")

    server.restart(timedelta(hours=1))
    down = read(server, "/api/v1/namespaces/kept")
    clock.advance(timedelta(hours=1))
    back = read(server, "/api/v1/namespaces/kept")
    url = f"http://{server.address}/api/v1/namespaces?watch=1&resourceVersion={version}"
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    event = requests.get(url, headers=headers, timeout=TIMEOUT_S).json()
    server.stop()

    assert (down, back) == (503, 200)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_restart_of_the_api_server_breaks_off_watches(kubernetes: KubernetesServer) -> None:
    connection = http.client.HTTPConnection(kubernetes.address, timeout=TIMEOUT_S)
    connection.request(
        "GET", "/api/v1/namespaces?watch=1", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
    )
    response = connection.getresponse()
    seen = response.readline()

    kubernetes.restart(timedelta())
    try:
        rest = response.read()
    except (http.client.HTTPException, OSError) as exc:
        rest = getattr(exc, "partial", b"")
    connection.close()

    assert b"ADDED" in seen
    assert b"BOOKMARK" not in rest


# Events on their way.


class Routed:
    """A router whose entries are taken by a queue."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.published: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

        def publish(_topic: str, data: bytes, _attributes: dict[str, str]) -> None:
            self.published.put(json.loads(data))

        sinks = [Sink("all", "", "all")]
        self.router = LogRouter("demo", "us", "gpu", self.clock, publish, sinks).start()

    def next(self) -> dict[str, Any]:
        return self.published.get(timeout=TIMEOUT_S)


@pytest.fixture
def routed() -> Iterator[Routed]:
    routed = Routed()
    yield routed
    routed.router.stop()


def event(insert_id: str, uid: str, reason: str) -> dict[str, Any]:
    payload = {"involvedObject": {"uid": uid}, "reason": reason, "message": insert_id}
    return {"insertId": insert_id, "timestamp": f"t-{insert_id}", "jsonPayload": payload}


def test_held_entry_is_overtaken(routed: Routed) -> None:
    routed.router.hold_s = 3600.0
    routed.router.delay = lambda entry: entry["insertId"] == "a"
    for name in "abc":
        routed.router.route(event(name, name, "Pulled"))
    before = [routed.next()["insertId"] for _ in range(2)]
    assert not routed.router.flush(0)

    routed.clock.advance(timedelta(hours=1))

    assert [*before, routed.next()["insertId"]] == ["b", "c", "a"]
    assert routed.router.flush(TIMEOUT_S)


def test_similar_events_become_a_series(routed: Routed) -> None:
    routed.router.hold_s = 3600.0
    routed.router.fold = lambda entry: entry["jsonPayload"]["reason"] == "BackOff"
    for name, reason in [("a", "BackOff"), ("b", "BackOff"), ("c", "Pulled"), ("d", "BackOff")]:
        routed.router.route(event(name, "pod", reason))
    before = routed.next()

    routed.clock.advance(timedelta(hours=1))
    folded = routed.next()

    assert (before["insertId"], folded["insertId"]) == ("c", "d")
    assert folded["jsonPayload"]["series"] == {"count": 3, "lastObservedTime": "t-d"}
    assert routed.router.flush(TIMEOUT_S)
    assert routed.published.empty()
