"""Facts in Cloud Logging, through Google's own client on a local server."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import google.cloud.logging_v2
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import logging as cloud_logging

from sandbox.clock import Clock
from sandbox.cloud_logging import CloudLogging
from sandbox.fault import Fault, Faults
from shared.clients import fact_log as module
from shared.clients.deadline import TIMEOUT
from shared.clients.fact_log import FactLog
from shared.domain.fact import Fact, Subject, WarmupFinished
from shared.domain.request import Cause
from shared.errors import ConfigurationError, InvalidEventError, TransientError

pytestmark = pytest.mark.integration

LOG_NAME = "projects/demo/logs/prestream"


@dataclass(frozen=True)
class Server:
    logging: CloudLogging
    faults: Faults

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All that was written, copies too."""
        return self.logging.entries

    def fact_log(self) -> FactLog:
        return FactLog("demo", emulator_host=self.logging.address)


@pytest.fixture
def server() -> Iterator[Server]:
    faults = Faults()
    logging = CloudLogging(Clock(), faults).start()
    yield Server(logging, faults)
    logging.stop()


@pytest.fixture
def fact() -> Fact:
    return WarmupFinished(
        subject=Subject(
            image="anyscale/ray-ml:2.7.0",
            mirror="us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml:2.7.0",
            cluster="projects/demo/locations/us-central1/clusters/gpu",
            cause=Cause("audit_log", "id-1", None),
        ),
        outcome="timed_out",
        at=datetime.now(UTC) - timedelta(minutes=5),
        job="warm-1",
        job_uid="uid-1",
        total_seconds=3600.5,
        image_bytes=9_700_000_000,
        reason='the reason, with "quotes", a line\nbreak and µ',
    ).as_fact()


def test_entry_is_as_documented(server: Server, fact: Fact) -> None:
    server.fact_log().write(fact)

    (entry,) = server.entries
    assert entry["logName"] == LOG_NAME
    assert entry["jsonPayload"] == fact.payload
    assert entry["insertId"] == fact.insert_id
    assert datetime.fromisoformat(entry["timestamp"]) == fact.timestamp
    assert entry["severity"] == "WARNING"
    assert entry["resource"]["type"] == "global"


def test_seconds_stay_floats_bytes_integers_and_the_unknown_null(
    server: Server, fact: Fact
) -> None:
    server.fact_log().write(fact)

    payload = server.entries[0]["jsonPayload"]
    assert isinstance(payload["total_seconds"], float)
    assert isinstance(payload["image_bytes"], int)
    assert payload["pull_seconds"] is None
    assert payload["evidence"] == []


def test_fact_is_stored_when_writing_returns(server: Server, fact: Fact) -> None:
    log = server.fact_log()

    stored = []
    for number in range(3):
        log.write(replace(fact, insert_id=f"id-{number}"))
        stored.append(len(server.entries))

    assert stored == [1, 2, 3]


def test_readers_see_one_of_two_copies(server: Server, fact: Fact) -> None:
    server.fact_log().write(fact)
    server.fact_log().write(fact)
    reader = cloud_logging.Client(
        project="demo",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://{server.logging.address}"},
        _use_grpc=False,
    )

    read = list(reader.list_entries(filter_=f'logName="{LOG_NAME}"'))

    assert len(server.entries) == 2
    assert [entry.insert_id for entry in read] == [fact.insert_id]
    assert read[0].payload == fact.payload


def test_library_adds_no_entry_about_itself(
    server: Server, fact: Fact, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a process that has not written anything yet.
    monkeypatch.setattr(google.cloud.logging_v2, "_instrumentation_emitted", False)

    server.fact_log().write(fact)

    assert [entry["jsonPayload"]["event"] for entry in server.entries] == ["warmup.finished"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_temporary_failure_is_a_transient_error(server: Server, fact: Fact, status: int) -> None:
    server.faults.add(Fault("logging", "entries:write", status=status, times=1))
    log = server.fact_log()

    with pytest.raises(TransientError, match="log prestream of project demo"):
        log.write(fact)
    assert server.entries == []

    log.write(fact)
    assert len(server.entries) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_lasting_failure_is_a_configuration_error(server: Server, fact: Fact, status: int) -> None:
    server.faults.add(Fault("logging", "entries:write", status=status))

    with pytest.raises(ConfigurationError, match="log prestream of project demo"):
        server.fact_log().write(fact)


@pytest.mark.parametrize("by", [timedelta(days=2), timedelta(days=-40)], ids=["ahead", "behind"])
def test_event_of_another_time_is_poison_and_no_reason_to_wake_anybody(
    server: Server, fact: Fact, by: timedelta
) -> None:
    with pytest.raises(InvalidEventError, match="outside of the allowed range"):
        server.fact_log().write(replace(fact, timestamp=fact.timestamp + by))

    assert server.entries == []


def test_answer_that_is_lost_is_a_transient_error_and_costs_no_second_fact(
    server: Server, fact: Fact
) -> None:
    server.faults.add(Fault("logging", "entries:write", status=0, applied=True, times=1))
    log = server.fact_log()

    with pytest.raises(TransientError):
        log.write(fact)
    log.write(fact)

    assert len(server.entries) == 2
    assert len(server.logging.query()) == 1


def test_wait_ends_within_seconds() -> None:
    assert vars(module)["TIMEOUT"] is TIMEOUT
    assert sum(TIMEOUT) <= 15


def test_threads_may_share_a_log(server: Server, fact: Fact) -> None:
    log = server.fact_log()
    facts = [replace(fact, insert_id=f"id-{number}") for number in range(8)]
    threads = [threading.Thread(target=log.write, args=(each,)) for each in facts]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert {entry["insertId"] for entry in server.entries} == {each.insert_id for each in facts}
