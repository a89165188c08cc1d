"""A message of 10 MB with any content costs a bounded multiple of its size."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.node_reports import log_entry, pod_event, snapshotter_line
from tests.fakes.recorded_events import load_event
from tests.strategies.envelopes import envelope

ROOT = Path(__file__).parents[2]
SIZE = 10_000_000
"""Bytes: the most that Pub/Sub takes in a message."""

MOST = 12
"""
Times its size that a message may cost, beside the body itself.

It was ten at the most, and seven where our code reads nothing: the framework and the libraries
around it make copies, some a third larger for base64. An instance has 512 MB, fifty times the size.
"""


def of_text() -> bytes:
    return b'{"image": "%s"}' % (b"x" * SIZE)


def of_lists() -> bytes:
    return b'{"resource": {"type": "a"}, "protoPayload": {"request": [[]%s]}}' % (
        b",[]" * (SIZE // 3)
    )


def of_objects() -> bytes:
    return b'{"logName": "a/events", "jsonPayload": {"a": [{}%s]}}' % (b",{}" * (SIZE // 3))


def of_depth() -> bytes:
    return b'{"cluster": ' * (SIZE // 12)


def of_a_line() -> bytes:
    return json.dumps(snapshotter_line("a" * SIZE)).encode()


def of_a_failed_pull() -> bytes:
    text = 'Failed to pull image "a:1": ' + "parent snapshot " * (SIZE // 16)
    return json.dumps(log_entry(pod_event("Failed", text, namespace="ml"))).encode()


def of_a_workload() -> bytes:
    """Return a sound entry, as large as it can be by what nobody reads."""
    entry = load_event("audit-deployment-create")
    entry["protoPayload"]["response"]["metadata"]["annotations"] = {"a": "x" * SIZE}
    return json.dumps(entry).encode()


@pytest.mark.parametrize(
    ("name", "make", "disposition"),
    [
        pytest.param("image_reference", of_text, "rejected", id="text"),
        pytest.param("audit_log", of_lists, "rejected", id="lists"),
        pytest.param("pull_event", of_objects, "rejected", id="objects"),
        pytest.param("scheduled_sweep", of_depth, "rejected", id="depth"),
        pytest.param("pull_event", of_a_line, "ignored", id="line"),
        pytest.param("pull_event", of_a_failed_pull, "ignored", id="failed-pull"),
        pytest.param("audit_log", of_a_workload, "handled", id="workload"),
    ],
)
def test_largest_message_costs_a_bounded_multiple_of_itself(
    tmp_path: Path, name: str, make: Callable[[], bytes], disposition: str
) -> None:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(envelope(make())))

    costs = deliver(name, path)

    assert (costs["status"], costs["line"]["disposition"]) == (200, disposition)
    assert costs["bytes"] < MOST * SIZE


def deliver(name: str, path: Path) -> dict[str, Any]:
    """Deliver a body to a fresh instance, and return what it cost."""
    command = [sys.executable, "-m", "tests.contract.delivery_costs", name, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, timeout=120)  # noqa: S603  # our own
    costs: dict[str, Any] = json.loads(done.stdout)
    return costs
