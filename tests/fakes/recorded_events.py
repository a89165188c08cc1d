"""Reads the messages of ``tests/events``, as Google's services send them."""

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[1] / "events"


def find_events(prefix: str) -> list[Path]:
    """Return the files whose names begin with a prefix, in order."""
    return sorted(EVENTS.glob(f"{prefix}-*.json"))


def load_events(prefix: str) -> list[Any]:
    """Return the parsed messages whose names begin with a prefix, in order."""
    return [json.loads(path.read_text("utf-8")) for path in find_events(prefix)]


def load_event(name: str) -> Any:
    """Return the message in one file, parsed."""
    return json.loads(read_event(name))


def read_event(name: str) -> str:
    """Return the text of one file, as a command reads it from the input."""
    return (EVENTS / f"{name}.json").read_text("utf-8")
