"""Mutation testing takes the same sample each time, and reports where mutants survive."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutation.results import (
    Mutant,
    classify,
    count_lines_before,
    describe,
    find_function,
    summarize,
    write,
)
from tools.mutation.workspace import CODE_READING_TESTS, PACKAGES, TESTS, choose_sample

ROOT = Path(__file__).parents[2]
NAMES = [f"mutant-{number}" for number in range(100)]
SURVIVOR = Mutant("b", "shared/domain/fact.py", 12, "survived", "-a\n+b")
MUTANTS = [
    Mutant("a", "shared/domain/fact.py", 3, "killed"),
    SURVIVOR,
    Mutant("c", "shared/pipeline/warm.py", 7, "timeout"),
    Mutant("d", "shared/pipeline/warm.py", 9, "not covered", "-c\n+d"),
]
SOURCE = '''\
"""A module."""

# Explains the function.
@cache
def read():
    return 1

class Reader:
    def read(self):
        return 2
'''
SLOW_TESTS = """
import socket, subprocess, sys

def test_process(): subprocess.run([sys.executable, "-c", ""])
def test_socket(): socket.socket().bind(("127.0.0.1", 0))
def test_fast(): pass
"""


def test_mutated_packages_exist() -> None:
    assert all(list((ROOT / package).glob("*.py")) for package in PACKAGES)


@pytest.mark.parametrize("name", CODE_READING_TESTS)
def test_excluded_tests_exist(name: str) -> None:
    sources = (path.read_text() for folder in TESTS for path in (ROOT / folder).rglob("*.py"))

    assert any(f"def {name}(" in source for source in sources)


def test_sample_is_the_same_for_the_same_seed() -> None:
    assert choose_sample(NAMES, 10, seed=11) == choose_sample(NAMES, 10, seed=11)
    assert choose_sample(NAMES, 10, seed=11) != choose_sample(NAMES, 10, seed=12)


def test_sample_has_no_mutant_twice() -> None:
    assert sorted(choose_sample(NAMES, 1000, seed=11)) == sorted(NAMES)


@pytest.mark.parametrize(
    ("exit_code", "outcome"),
    [
        (0, "survived"),
        (1, "killed"),
        (33, "not covered"),
        (-24, "timeout"),
        (255, "error"),
        (None, "not tested"),
    ],
)
def test_exit_code_has_an_outcome(exit_code: int | None, outcome: str) -> None:
    assert classify(exit_code) == outcome


@pytest.mark.parametrize(("owner", "line"), [(None, 3), ("Reader", 9)])
def test_function_starts_with_its_comment_and_decorator(owner: str | None, line: int) -> None:
    assert find_function(SOURCE, "read", owner) == line


def test_line_of_a_mutant_is_the_first_that_differs() -> None:
    assert count_lines_before("--- a\n+++ a\n@@ -3,3 +3,3 @@\n x\n-y\n+z\n") == 3


def test_kill_rate_counts_uncovered_mutants_as_not_killed() -> None:
    summary = summarize(MUTANTS, generated=50)

    assert summary.kill_rate == 0.5
    assert [each.name for each in summary.not_killed] == ["b", "d"]
    assert summary.modules["shared/domain/fact.py"] == {"killed": 1, "survived": 1}
    assert describe(summary) == (
        "50 mutants, 4 sampled: 1 killed, 1 not covered, 1 survived, 1 timeout; kill rate 50.0%"
    )


def test_results_name_the_place_and_the_change(tmp_path: Path) -> None:
    write(summarize([SURVIVOR], generated=1), tmp_path)

    assert "shared/domain/fact.py:12: survived\n-a\n+b\n" in (tmp_path / "mutation.txt").read_text()
    assert json.loads((tmp_path / "mutation.json").read_text())["kill_rate"] == 0.0


def test_processes_and_sockets_make_a_test_slow(tmp_path: Path) -> None:
    (tmp_path / "test_slow.py").write_text(SLOW_TESTS)
    plugins = ("-p", "tools.mutation.fast_tests", "-p", "no:cacheprovider")
    command = (sys.executable, "-m", "pytest", "-q", *plugins, f"--rootdir={tmp_path}")

    done = subprocess.run(  # noqa: S603
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "1 passed, 2 skipped" in done.stdout
