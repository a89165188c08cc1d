"""The outcome of a mutation run: counts, the kill rate, and where mutants survived."""

import ast
import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

OUTCOMES = {0: "survived", 1: "killed", 3: "killed", 5: "not covered", 33: "not covered"}
"""The meaning of an exit code of pytest; mutmut adds 33 for a mutant that no test reaches."""
TIMEOUTS = frozenset({-24, -9, 24, 36, 152})
DETECTED = frozenset({"killed", "timeout", "error"})
"""Outcomes that count as killed: a test failed, did not end, or could not run."""


@dataclass(frozen=True)
class Mutant:
    """A tested mutant; the diff is empty unless it survived."""

    name: str
    path: str
    line: int
    outcome: str
    diff: str = ""


@dataclass(frozen=True)
class Summary:
    """The figures of a run."""

    generated: int
    sampled: int
    outcomes: dict[str, int]
    kill_rate: float
    modules: dict[str, dict[str, int]]
    not_killed: list[Mutant]


def read_mutants(workspace: Path, sample: Sequence[str]) -> list[Mutant]:
    """Return the tested mutants, ordered by place."""
    wanted = set(sample)
    mutants: list[Mutant] = []
    # mutmut looks for the mutated files below the current folder.
    with contextlib.chdir(workspace):
        for meta in sorted(Path("mutants").rglob("*.py.meta")):
            path = meta.relative_to("mutants").with_suffix("")
            codes: Mapping[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
            mutants += [_read(name, path, codes[name]) for name in codes if name in wanted]
    return sorted(mutants, key=lambda each: (each.path, each.line, each.name))


def _read(name: str, path: Path, exit_code: int | None) -> Mutant:
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    outcome = classify(exit_code)
    diff: str = "" if outcome in DETECTED else get_diff_for_mutant(name, path=path)
    function, owner = orig_function_and_class_names_from_key(name)
    start = find_function(path.read_text(), function, owner)
    return Mutant(name, str(path), start + count_lines_before(diff), outcome, diff)


def classify(exit_code: int | None) -> str:
    """Return the outcome for an exit code."""
    if exit_code is None:
        return "not tested"
    return "timeout" if exit_code in TIMEOUTS else OUTCOMES.get(exit_code, "error")


def find_function(source: str, function: str, owner: str | None) -> int:
    """Return the first line of a function or of a method of `owner`, its comments included."""
    body = ast.parse(source).body
    for each in body:
        if isinstance(each, ast.ClassDef) and each.name == owner:
            body = each.body
    lines = source.splitlines()
    for each in body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == function:
            line = min([each.lineno, *(decorator.lineno for decorator in each.decorator_list)])
            while line > 1 and lines[line - 2].strip().startswith("#"):
                line -= 1
            return line
    return 1


def count_lines_before(diff: str) -> int:
    """Return the number of lines of the function before the first one that differs."""
    before = 0
    for line in diff.splitlines()[2:]:
        if line.startswith("@@"):
            before = int(line.split()[1].split(",")[0].lstrip("-")) - 1
        elif line.startswith(("-", "+")):
            break
        else:
            before += 1
    return before


def summarize(mutants: Sequence[Mutant], generated: int) -> Summary:
    """Return the figures; a mutant that no test reaches counts as not killed."""
    modules: dict[str, Counter[str]] = {}
    for each in mutants:
        modules.setdefault(each.path, Counter())[each.outcome] += 1
    killed = sum(each.outcome in DETECTED for each in mutants)
    return Summary(
        generated=generated,
        sampled=len(mutants),
        outcomes=dict(Counter(each.outcome for each in mutants)),
        kill_rate=round(killed / len(mutants), 4) if mutants else 0.0,
        modules={path: dict(counts) for path, counts in modules.items()},
        not_killed=[each for each in mutants if each.outcome not in DETECTED],
    )


def write(summary: Summary, folder: Path) -> None:
    """Write `mutation.json` and `mutation.txt`."""
    (folder / "mutation.json").write_text(json.dumps(asdict(summary), indent=1) + "\n")
    places = (
        f"{each.path}:{each.line}: {each.outcome}\n{each.diff}\n" for each in summary.not_killed
    )
    (folder / "mutation.txt").write_text("\n".join([describe(summary), "", *places]))


def describe(summary: Summary) -> str:
    """Return the figures in one line."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items()))
    return (
        f"{summary.generated} mutants, {summary.sampled} sampled: {counts}; "
        f"kill rate {summary.kill_rate:.1%}"
    )
