"""
The behaviour that no change may alter by accident, as data: ``tests/frozen``.

After a change that is meant to alter it, run ``python -m tests.frozen.record``.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.frozen import command_lines, deliveries, demo, names

pytestmark = pytest.mark.integration

FILES = (deliveries.FILE, names.FILE, command_lines.FILE, demo.FILE)
INTERNAL = re.compile(r"\b(?:shared|cli|sandbox|functions)(?:\.[a-z_]+)+\b")


def load(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


@pytest.fixture(scope="module")
def delivered(archives: Path, deployed_python: Path) -> Any:
    return deliveries.record(archives, deployed_python)


@pytest.fixture(scope="module")
def commands() -> Any:
    return command_lines.record()


@pytest.mark.parametrize("group", deliveries.GROUPS)
def test_function_answers_and_calls_as_recorded(delivered: Any, group: str) -> None:
    assert list_changes(load(deliveries.FILE)[group], delivered[group]) == []


def test_every_recorded_message_is_delivered() -> None:
    assert load(deliveries.FILE).keys() == set(deliveries.GROUPS)


def test_warmups_and_facts_are_named_as_recorded() -> None:
    recorded = load(names.FILE)

    assert len(recorded) == names.COUNT
    assert names.record() == recorded


@pytest.mark.parametrize("command", command_lines.COMMANDS)
def test_command_line_ends_as_recorded(commands: Any, command: str) -> None:
    assert commands[command] == load(command_lines.FILE)[command]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_records_name_no_internal_module(file: Path) -> None:
    assert INTERNAL.search(file.read_text("utf-8")) is None


def list_changes(recorded: Any, now: Any) -> list[str]:
    """Return a text for each message whose result is another one."""
    return [
        f"{name}\n  was {json.dumps(recorded.get(name))}\n  is  {json.dumps(now.get(name))}"
        for name in sorted({*recorded, *now})
        if recorded.get(name) != now.get(name)
    ]
