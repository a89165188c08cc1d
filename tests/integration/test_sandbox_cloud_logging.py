"""The entries that the sandbox's Cloud Logging refuses, and the projects that a query searches."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.cloud_logging import CloudLogging
from sandbox.fault import Faults
from sandbox.http_service import GoogleApiError

ENTRY = {
    "logName": "projects/demo/logs/prestream",
    "resource": {"type": "global"},
    "textPayload": "x",
}


@pytest.fixture
def logging() -> Iterator[CloudLogging]:
    server = CloudLogging(Clock(), Faults())
    yield server
    server.stop()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"logName": "prestream"}, id="log-name"),
        pytest.param({"logName": "projects/demo/logs/a/b"}, id="slash-in-log-id"),
        pytest.param({"resource": None}, id="no-resource"),
        pytest.param({"resource": {"labels": {}}}, id="resource-without-type"),
        pytest.param({"jsonPayload": {}}, id="two-payloads"),
        pytest.param({"timestamp": "yesterday"}, id="timestamp"),
        pytest.param({"timestamp": "2001-01-01T00:00:00Z"}, id="past-retention"),
        pytest.param({"timestamp": "2999-01-01T00:00:00Z"}, id="far-ahead"),
        pytest.param({"textPayload": "x" * 300_000}, id="too-large"),
    ],
)
def test_invalid_entry_is_refused_and_nothing_is_written(
    logging: CloudLogging, changes: dict[str, Any]
) -> None:
    with pytest.raises(GoogleApiError):
        logging.write([ENTRY, ENTRY | changes])

    assert logging.entries == []


def test_query_searches_only_the_named_projects(logging: CloudLogging) -> None:
    logging.write([ENTRY, ENTRY | {"logName": "projects/other/logs/prestream"}])

    (found,) = logging.query("", ["projects/other"])

    assert found["logName"] == "projects/other/logs/prestream"


def test_facts_about_simulated_nodes_are_marked() -> None:
    name = "projects/demo/logs/prestream"
    server = CloudLogging(Clock(), Faults(), simulated_log=name)
    fact = {"logName": name, "resource": {"type": "global"}, "jsonPayload": {"event": "e"}}
    server.write([fact, fact | {"logName": "projects/demo/logs/events"}])
    server.stop()

    marked, other = (entry["jsonPayload"] for entry in server.entries)
    assert marked == {"simulated": True, "event": "e"}
    assert other == {"event": "e"}
