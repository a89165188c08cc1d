"""
``python -m tools.fuzz``: fuzz every target for a while, and say what came of it.

New inputs stay in ``build/fuzz/corpus``; ``--keep`` copies the smallest set
that covers as much. A finding is written to ``build/fuzz/findings``, and the command fails.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tools.fuzz.fuzz_target import TARGETS
from tools.fuzz.keeping import choose
from tools.fuzz.seeds import CORPUS, ROOT, list_seeds

BUILD = ROOT / "build" / "fuzz"
FINDINGS = BUILD / "findings"
MAX_BYTES = 8_192
"""The largest mutated input, in bytes; the tests of poison cover larger ones."""

_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_ADDED = re.compile(r"stat::new_units_added:\s+(\d+)")
_MEMORY = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True)
class Result:
    """The result of fuzzing one target."""

    target: str
    executed: int
    covered: int
    features: int
    added: int
    memory_mb: int
    findings: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, print a table, and return the number of targets with findings."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz")
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--keep", action="store_true", help="take what is new into fuzz/corpus")
    options = parser.parse_args(arguments)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    results = []
    print(f"{'target':20}{'executions':>11}{'edges':>7}{'new':>6}{'MB':>6}{'findings':>10}")
    for target in options.targets or TARGETS:
        result = fuzz(target, options.seconds)
        results.append(result)
        print(
            f"{target:20}{result.executed:>11,}{result.covered:>7,}{result.added:>6,}"
            f"{result.memory_mb:>6,}{result.findings:>10}",
            flush=True,
        )
        if options.keep:
            keep(target)
    total = sum(each.executed for each in results)
    print(f"{'all':20}{total:>11,}")
    # A target that did not run counts as a failure.
    failed = sum(each.findings > 0 or each.executed == 0 for each in results)
    if failed:
        print(f"Findings: {FINDINGS}; what was said: {BUILD}/TARGET.log", file=sys.stderr)
    return failed


def fuzz(target: str, seconds: int) -> Result:
    """Fuzz a target in a process of its own."""
    found = BUILD / "corpus" / target
    found.mkdir(parents=True, exist_ok=True)
    seeds = _write_seeds(target)
    before = set(FINDINGS.glob(f"{target}-*"))
    output = _run(
        target,
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={FINDINGS}/{target}-",
        str(found),
        str(seeds),
        *_kept(target),
    )
    log = BUILD / f"{target}.log"
    log.write_text(output)
    last = (_COVERED.findall(output) or [("0", "0")])[-1]
    return Result(
        target,
        executed=_figure(_EXECUTED, output),
        covered=int(last[0]),
        features=int(last[1]),
        added=_figure(_ADDED, output),
        memory_mb=_figure(_MEMORY, output),
        findings=len(set(FINDINGS.glob(f"{target}-*")) - before),
    )


def keep(target: str) -> None:
    """Take into the corpus what goes where nothing in it goes yet."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    found = [path.read_bytes() for path in (BUILD / "corpus" / target).iterdir()]
    for data in choose(target, found):
        (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


def _write_seeds(target: str) -> Path:
    folder = BUILD / "seeds" / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, data in enumerate(list_seeds(target)):
        (folder / f"seed-{number:02}").write_bytes(data)
    return folder


def _kept(target: str) -> list[str]:
    folder = CORPUS / target
    return [str(folder)] if folder.exists() else []


def _run(target: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "tools.fuzz.engine", target, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
    return (done.stdout + done.stderr).decode(errors="replace")


def _figure(pattern: re.Pattern[str], output: str) -> int:
    found = pattern.search(output)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
