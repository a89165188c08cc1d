"""
A pytest plugin that skips every test that starts a process or uses a socket.

The remaining tests are fast and depend on nothing outside the interpreter.
"""

import sys
import threading

import pytest

SLOW_EVENTS = frozenset(
    {"os.fork", "os.posix_spawn", "socket.bind", "socket.connect", "subprocess.Popen"}
)
"""Audit events, https://docs.python.org/3/library/audit_events.html."""

_running: list[str] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    """Watch a test, its fixtures included."""
    _running.append(nodeid)


def pytest_runtest_logfinish() -> None:
    """Stop watching: pytest itself may use any module."""
    _running.clear()


def _skip(event: str, _arguments: object) -> None:
    # A skip in another thread would be an error of the test instead.
    if _running and event in SLOW_EVENTS and threading.current_thread() is threading.main_thread():
        pytest.skip(f"not a fast test: {event}")


sys.addaudithook(_skip)
