"""docs/commands.md and the commands: each option is documented, and each documented one exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.app import COMMANDS, load_command
from cli.exits import ExitCode

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = (ROOT / "docs" / "commands.md").read_text("utf-8")
INTRODUCTION, *_ = TEXT.split("\n## ", 1)
SECTIONS: dict[str, str] = dict(
    re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
)
EVERYWHERE = {"--json", "--output", "--cluster", "--context", "--project"}
"""Options that the introduction describes for all commands that have them."""

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_COMMAND = re.compile(r"(?:^|[|`$&] ?|\s)(?:\./|kubectl )?prestream ([a-z][^|`;&#>\n]*)")


def options_of(command: Any) -> set[str]:
    names = {name for param in command.params for name in param.opts}
    return {name for name in names if name.startswith("-")} | {"--help"}


OPTIONS = {name: options_of(load_command(name)) for name in COMMANDS}


def read_examples() -> Iterator[tuple[str, list[str]]]:
    """Yield the page and the words of each command line in code."""
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        for line in [*"\n".join(blocks).replace("\\\n", " ").splitlines(), *spans]:
            for found in _COMMAND.findall(line.partition(" #")[0]):
                try:
                    yield page.name, shlex.split(found)
                except ValueError:
                    yield page.name, found.split()


EXAMPLES = [(page, words) for page, words in read_examples() if words[0] in COMMANDS]


def test_pages_show_every_command() -> None:
    assert set(SECTIONS) == set(COMMANDS)
    assert set(re.findall(r"^\| \[`([a-z]+)`\]", INTRODUCTION, re.MULTILINE)) == set(COMMANDS)
    assert {words[0] for _, words in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    shown = set(_OPTION.findall(SECTIONS[name]))
    shown |= set(_OPTION.findall(INTRODUCTION)) & EVERYWHERE
    known = {each for each in OPTIONS[name] if each.startswith("--")} - {"--help"}

    assert known - shown == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_in_a_table_exists(name: str) -> None:
    rows = re.findall(r"^\| (`-[^|]*)\|", SECTIONS[name], re.MULTILINE)

    assert {option for row in rows for option in _OPTION.findall(row)} - OPTIONS[name] == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_in_an_example_exists(name: str) -> None:
    used = {
        (page, word.partition("=")[0])
        for page, words in EXAMPLES
        for word in words
        if words[0] == name and re.match(r"--?[a-z]", word)
    }

    assert {(page, option) for page, option in used if option not in OPTIONS[name]} == set()


def test_every_exit_code_is_documented() -> None:
    shown = {int(each) for each in re.findall(r"^\| (\d+) \|", INTRODUCTION, re.MULTILINE)}

    # 130 is that of a shell for a program that Ctrl-C ended.
    assert shown - {130} == {int(each) for each in ExitCode}
