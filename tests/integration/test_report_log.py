"""prestream report from Cloud Logging: page by page, through Google's client on a local server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from cli.connect.fact_reader import PAGE_SIZE, FactReader
from cli.exits import ExitCode
from sandbox.clock import Clock
from sandbox.cloud_logging import CloudLogging
from sandbox.fault import Fault, Faults
from tests.fakes.fact_lines import CLUSTER, NOON, as_entry, pull, subject

pytestmark = pytest.mark.integration


@pytest.fixture
def logging(faults: Faults) -> Iterator[CloudLogging]:
    server = CloudLogging(Clock(), faults).start()
    yield server
    server.stop()


def write(logging: CloudLogging, count: int, *, hours_ago: float = 1.0, **more: Any) -> None:
    """Write so many pulls, a second apart, the first so long ago."""
    first = datetime.now(UTC) - timedelta(hours=hours_ago) - NOON
    logging.write(
        as_entry(
            pull(
                "streamed",
                2.0,
                after_s=first.total_seconds() + number,
                pod=f"pod-{hours_ago}-{number}",
                **more,
            )
        )
        for number in range(count)
    )


def report(logging: CloudLogging, tmp_path: Path, *arguments: str) -> Result:
    config = tmp_path / "prestream.yaml"
    config.write_text("project: demo\n", encoding="utf-8")
    environ = {"PRESTREAM_CONFIG": str(config), "CLOUD_LOGGING_EMULATOR_HOST": logging.address}
    return CliRunner().invoke(app, ["report", "--json", *arguments], obj=environ)


def pulls(ended: Result) -> int:
    assert ended.exit_code == 0, ended.output
    count: int = json.loads(ended.stdout)["total"]["pulls"]
    return count


def test_more_than_a_page_is_read_to_the_end(logging: CloudLogging, tmp_path: Path) -> None:
    write(logging, PAGE_SIZE + 5)

    assert pulls(report(logging, tmp_path)) == PAGE_SIZE + 5


def test_report_reads_a_week_by_default(logging: CloudLogging, tmp_path: Path) -> None:
    write(logging, 1, hours_ago=1)
    write(logging, 2, hours_ago=100)
    write(logging, 4, hours_ago=200)

    assert pulls(report(logging, tmp_path)) == 3
    assert pulls(report(logging, tmp_path, "--since", "2h")) == 1
    assert pulls(report(logging, tmp_path, "--since", "14d")) == 7


def test_report_of_one_cluster_filters_by_its_name(logging: CloudLogging, tmp_path: Path) -> None:
    write(logging, 1)
    write(logging, 2, hours_ago=2, about=subject(cluster=CLUSTER.replace("gpu", "not-gpu")))

    assert pulls(report(logging, tmp_path, "--cluster", "gpu")) == 1
    assert pulls(report(logging, tmp_path, "--cluster", CLUSTER)) == 1
    assert pulls(report(logging, tmp_path, "--cluster", "not-gpu")) == 2


def test_other_logs_are_not_read(logging: CloudLogging, tmp_path: Path) -> None:
    write(logging, 1)
    logging.write(
        [
            {**entry, "logName": "projects/demo/logs/other", "insertId": "o"}
            for entry in logging.entries
        ]
    )

    assert pulls(report(logging, tmp_path)) == 1


def test_limit_that_is_reached_is_waited_for(
    logging: CloudLogging, faults: Faults, tmp_path: Path
) -> None:
    write(logging, 3)
    faults.add(Fault("logging", "entries:list", status=429, times=1))

    assert pulls(report(logging, tmp_path)) == 3


def test_refusal_ends_with_what_was_refused(
    logging: CloudLogging, faults: Faults, tmp_path: Path
) -> None:
    faults.add(Fault("logging", "entries:list", status=403))

    ended = report(logging, tmp_path)

    assert ended.exit_code == ExitCode.UNAVAILABLE
    assert "cannot read log prestream of project demo" in ended.stderr


def test_entries_come_oldest_first(logging: CloudLogging) -> None:
    write(logging, 1, hours_ago=1)
    write(logging, 1, hours_ago=2)
    reader = FactReader("demo", emulator_host=logging.address)

    times = [entry["timestamp"] for entry in reader.read(datetime.now(UTC) - timedelta(days=1))]

    assert len(times) == 2
    assert times == sorted(times)
