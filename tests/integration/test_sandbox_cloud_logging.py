"""The sandbox's Cloud Logging, through Google's client and over plain HTTP."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import logging as cloud_logging

from sandbox.clock import Clock, format_time
from sandbox.cloud_logging import CloudLogging
from sandbox.fault import Fault, Faults

LOG = "projects/demo/logs/prestream"
RESOURCE = {"type": "global", "labels": {"project_id": "demo"}}


@dataclass(frozen=True)
class Sandbox:
    clock: Clock
    faults: Faults
    logging: CloudLogging
    http: requests.Session

    def post(self, method: str, body: Mapping[str, Any]) -> requests.Response:
        url = f"http://{self.logging.address}/v2/entries:{method}"
        return self.http.post(url, json=body, timeout=10)

    def write(self, *entries: Mapping[str, Any], **request: Any) -> requests.Response:
        body = {"logName": LOG, "resource": RESOURCE, "entries": entries, **request}
        return self.post("write", body)

    def read(self, **request: Any) -> dict[str, Any]:
        answer = self.post("list", {"resourceNames": ["projects/demo"], **request})
        answer.raise_for_status()
        listed: dict[str, Any] = answer.json()
        return listed

    def texts(self, **request: Any) -> list[str]:
        return [entry["textPayload"] for entry in self.read(**request)["entries"]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    clock, faults = Clock(), Faults()
    logging = CloudLogging(clock, faults).start()
    with requests.Session() as http:
        yield Sandbox(clock, faults, logging, http)
    logging.stop()


def error_of(answer: requests.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["status"]


def test_google_s_client_writes_an_entry_and_finds_it_again(sandbox: Sandbox) -> None:
    client = cloud_logging.Client(
        project="demo",
        credentials=AnonymousCredentials(),
        _use_grpc=False,
        client_options={"api_endpoint": f"http://{sandbox.logging.address}"},
    )
    now = sandbox.clock.now()

    client.logger("prestream").log_struct(
        {"event": "warmup.finished"}, severity="INFO", insert_id="fact-1", timestamp=now
    )
    (entry,) = client.list_entries(
        filter_='log_id("prestream") AND jsonPayload.event="warmup.finished"'
    )

    assert entry.payload == {"event": "warmup.finished"}
    assert (entry.insert_id, entry.severity, entry.timestamp) == ("fact-1", "INFO", now)
    assert entry.log_name == LOG
    client.close()


def test_what_an_entry_lacks_comes_from_the_request_or_the_clock(sandbox: Sandbox) -> None:
    sandbox.clock.advance(timedelta(days=400))

    sandbox.write({"textPayload": "x", "labels": {"a": "own"}}, labels={"a": "top", "b": "top"})

    (entry,) = sandbox.logging.entries
    assert entry["logName"] == LOG
    assert entry["resource"] == RESOURCE
    assert entry["labels"] == {"a": "own", "b": "top"}
    assert entry["severity"] == "DEFAULT"
    assert entry["insertId"]
    assert entry["timestamp"] == entry["receiveTimestamp"]
    assert entry["timestamp"][:10] == format_time(sandbox.clock.now())[:10]


ENTRY = {"textPayload": "x"}


@pytest.mark.parametrize(
    ("entry", "request_fields"),
    [
        pytest.param(ENTRY, {"logName": "prestream"}, id="log-name"),
        pytest.param(ENTRY, {"logName": "projects/demo/logs/a/b"}, id="slash-in-log-id"),
        pytest.param(ENTRY, {"resource": None}, id="no-resource"),
        pytest.param(ENTRY, {"resource": {"labels": {}}}, id="resource-without-type"),
        pytest.param({}, {}, id="no-payload"),
        pytest.param({**ENTRY, "jsonPayload": {}}, {}, id="two-payloads"),
        pytest.param({**ENTRY, "severity": "LOUD"}, {}, id="severity"),
        pytest.param({**ENTRY, "timestamp": "yesterday"}, {}, id="timestamp"),
        pytest.param({**ENTRY, "timestamp": "2024-13-01T00:00:00Z"}, {}, id="month-13"),
        pytest.param({**ENTRY, "timestamp": "2001-01-01T00:00:00Z"}, {}, id="past-retention"),
        pytest.param({**ENTRY, "timestamp": "2999-01-01T00:00:00Z"}, {}, id="far-ahead"),
        pytest.param({"textPayload": "x" * 300_000}, {}, id="too-large"),
        pytest.param(ENTRY, {"entries": ["x"]}, id="no-object"),
    ],
)
def test_an_invalid_entry_is_refused_and_nothing_is_written(
    sandbox: Sandbox, entry: dict[str, Any], request_fields: dict[str, Any]
) -> None:
    answer = sandbox.write(ENTRY, entry, **request_fields)

    assert error_of(answer) == (400, "INVALID_ARGUMENT")
    assert sandbox.logging.entries == []


def test_with_partial_success_the_valid_entries_are_written(sandbox: Sandbox) -> None:
    answer = sandbox.write(ENTRY, {}, partialSuccess=True)

    assert error_of(answer) == (400, "INVALID_ARGUMENT")
    assert list(answer.json()["error"]["details"][0]["logEntryErrors"]) == ["1"]
    assert sandbox.texts() == ["x"]


def test_a_dry_run_checks_and_writes_nothing(sandbox: Sandbox) -> None:
    good = sandbox.write(ENTRY, dryRun=True)
    bad = sandbox.write({}, dryRun=True)

    assert good.status_code == 200
    assert bad.status_code == 400
    assert sandbox.logging.entries == []


def test_copies_of_an_entry_are_returned_once(sandbox: Sandbox) -> None:
    moment = format_time(sandbox.clock.now())
    copy = {"insertId": "one", "timestamp": moment}
    sandbox.write({"textPayload": "first", **copy}, {"textPayload": "second", **copy})
    sandbox.write({"textPayload": "other id", "timestamp": moment, "insertId": "two"})
    sandbox.write({"textPayload": "other log", **copy}, logName=f"{LOG}-2")

    assert len(sandbox.logging.entries) == 4
    assert sorted(sandbox.texts()) == ["first", "other id", "other log"]


def test_the_same_moment_in_another_zone_is_the_same_timestamp(sandbox: Sandbox) -> None:
    moment = sandbox.clock.now().replace(microsecond=500_000)
    plain = moment.strftime("%Y-%m-%dT%H:%M:%S.5Z")
    shifted = (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.500000000+02:00")

    sandbox.write({**ENTRY, "insertId": "one", "timestamp": plain})
    sandbox.write({**ENTRY, "insertId": "one", "timestamp": shifted})

    assert sandbox.texts() == ["x"]


def test_entries_come_in_the_order_of_their_time(sandbox: Sandbox) -> None:
    now = sandbox.clock.now()
    for name, minutes in (("b", 2), ("a", 3), ("c", 1)):
        moment = format_time(now - timedelta(minutes=minutes))
        sandbox.write({"textPayload": name, "timestamp": moment})

    assert sandbox.texts() == ["a", "b", "c"]
    assert sandbox.texts(orderBy="timestamp desc") == ["c", "b", "a"]


def test_entries_come_in_pages(sandbox: Sandbox) -> None:
    sandbox.write(*({"textPayload": str(n), "insertId": str(n)} for n in range(5)))

    texts, token, pages = [], "", 0
    while pages == 0 or token:
        page = sandbox.read(pageSize=2, pageToken=token)
        texts += [entry["textPayload"] for entry in page["entries"]]
        token, pages = page.get("nextPageToken", ""), pages + 1

    assert sorted(texts) == ["0", "1", "2", "3", "4"]
    assert pages == 3


def test_only_the_named_projects_are_searched(sandbox: Sandbox) -> None:
    sandbox.write(ENTRY)
    sandbox.write({"textPayload": "elsewhere"}, logName="projects/other/logs/prestream")

    assert sandbox.texts() == ["x"]
    assert sandbox.texts(resourceNames=["projects/other"]) == ["elsewhere"]


@pytest.mark.parametrize(
    "request_fields",
    [
        pytest.param({"resourceNames": []}, id="no-resource"),
        pytest.param({"resourceNames": ["demo"]}, id="no-resource-name"),
        pytest.param({"filter": "severity=(ERROR"}, id="filter"),
        pytest.param({"orderBy": "severity"}, id="order"),
        pytest.param({"pageSize": -1}, id="size"),
        pytest.param({"pageToken": "x"}, id="token"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(
    sandbox: Sandbox, request_fields: dict[str, Any]
) -> None:
    answer = sandbox.post("list", {"resourceNames": ["projects/demo"], **request_fields})

    assert error_of(answer) == (400, "INVALID_ARGUMENT")


def test_entries_can_be_written_in_process_too(sandbox: Sandbox) -> None:
    sandbox.logging.write([{"logName": LOG, "resource": RESOURCE, "textPayload": "in process"}])

    assert sandbox.texts(filter='textPayload="in process"') == ["in process"]
    assert sandbox.read(filter='textPayload="something else"')["entries"] == []


def test_a_fault_loses_the_entry_and_a_lost_answer_does_not(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("logging", call="entries:write", status=503, times=1))
    failed = sandbox.write({"textPayload": "lost"})
    sandbox.faults.add(Fault("logging", call="entries:write", status=0, applied=True, times=1))
    with pytest.raises(requests.ConnectionError):
        sandbox.write({"textPayload": "kept"})

    assert error_of(failed) == (503, "UNAVAILABLE")
    assert sandbox.texts() == ["kept"]


def test_an_entry_can_be_waited_for(sandbox: Sandbox) -> None:
    sandbox.write({"textPayload": "before"})
    late = threading.Timer(0.05, sandbox.write, args=[{"textPayload": "later"}])
    late.start()

    before = sandbox.logging.wait_for(lambda entry: entry["textPayload"] == "before", 10)
    later = sandbox.logging.wait_for(lambda entry: entry["textPayload"] == "later", 10)
    never = sandbox.logging.wait_for(lambda entry: entry["textPayload"] == "never", 0.01)
    late.join()

    assert before is not None
    assert later is not None
    assert never is None
