"""``make demo``: its exit status, and the facts that it leaves."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from sandbox.demo import local_run
from sandbox.demo.case import CASES, Case
from sandbox.demo.outcome import Result, caused_by
from tests.frozen import demo as frozen
from tools.archives import ROOT

TIMEOUT_S = 120.0


RESULTS = ROOT / "build" / "demo" / "results.jsonl"


@pytest.fixture(scope="module", autouse=True)
def demo(archives: Path, deployed_python: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, as make runs it; it goes on while the other test of this file runs."""
    assert archives.exists()
    assert deployed_python.exists()
    RESULTS.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.demo"],
        cwd=ROOT,
        env={"PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        if process.poll() is None:
            process.kill()


def test_demo_fails_where_an_outcome_is_not_the_expected_one(
    archives: Path, deployed_python: Path, tmp_path: Path
) -> None:
    # No such host is on the list, so nothing of it is ever pulled.
    wrong = Case("elsewhere", "registry.example.com/team/model:1", "pulled")
    right = Case("misspelt", "anyscale/ray-ml:no-such-tag", "pull_failed", None)
    build = tmp_path / "build"
    build.mkdir()
    (build / "functions").symlink_to(archives)
    (build / "deployed").symlink_to(deployed_python.parent.parent)
    said = io.StringIO()

    status = local_run.run_locally(Console(file=said), build, cases=(wrong, right))

    assert status == 1
    good, all_of_them = count_outcomes(said.getvalue())
    assert good < all_of_them
    assert "outcome is not_allowed, not pulled" in " ".join(said.getvalue().split())


def test_pod_that_was_not_rewritten_is_no_expected_outcome() -> None:
    case = next(case for case in CASES if case.is_rewritten)
    warmup = {"outcome": case.outcome, "strategy": case.strategy}

    done = Result(case, warmup, {"mirror": case.mirror}, "streamed", rewritten=case.mirror)
    as_written = replace(done, rewritten=None)

    assert done.faults == []
    assert as_written.faults == ["the second pod pulls anyscale/ray-ml:2.7.0"]


def test_demo_shows_every_outcome_as_expected(demo: subprocess.Popen[str]) -> None:
    said, complaints = demo.communicate(timeout=TIMEOUT_S)

    assert (demo.returncode, complaints) == (0, "")
    good, all_of_them = count_outcomes(said)
    assert good == all_of_them >= len(CASES)
    assert "anyscale/ray-ml:2.7.0: streamed on a second node" in said
    assert "Deployment test still names anyscale/ray-ml:2.7.0" in said
    facts = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    assert all(fact["insertId"].startswith(fact["event"]) for fact in facts)
    assert all(datetime.fromisoformat(fact["timestamp"]).tzinfo for fact in facts)
    assert len({fact["insertId"] for fact in facts}) == len(facts)
    outcomes = {
        caused_by(fact["cause"]): fact["outcome"]
        for fact in facts
        if fact["event"] == "warmup.finished"
    }
    assert outcomes.items() >= {case.name: case.outcome for case in CASES}.items()
    streamed = [fact for fact in facts if fact["event"] == "pull.observed"]
    assert {fact["mirror"] for fact in streamed} >= {case.mirror for case in CASES if case.streams}
    recorded, now = json.loads(frozen.FILE.read_text("utf-8")), frozen.summarize(facts)
    assert now["fields"] == recorded["fields"]
    assert [fact for fact in recorded["facts"] if fact not in now["facts"]] == []


def count_outcomes(said: str) -> tuple[int, int]:
    """Return how many outcomes came as expected, and how many there were, as the demo says."""
    counts = re.search(r"(\d+) of (\d+) outcomes as expected", said)
    assert counts is not None, said
    return int(counts[1]), int(counts[2])
