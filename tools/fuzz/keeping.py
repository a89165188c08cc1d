"""Choose of what fuzzing found the least that takes every way through our code."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tools.fuzz.fuzz_target import TARGETS
from tools.fuzz.seeds import CORPUS, ROOT, list_seeds

MAX_FILES = 18
"""Inputs per target in the corpus."""

MAX_BYTES = 4_096
"""Bytes per input."""

_OURS = tuple(str(ROOT / folder) for folder in ("shared", "cli"))

Steps = set[tuple[str, int, int]]
"""From which line to which, in which file."""


def choose(target: str, found: Iterable[bytes]) -> list[bytes]:
    """Return the smallest inputs that go where neither the seeds nor the corpus go."""
    run = TARGETS[target]
    kept = [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]
    seen: Steps = set()
    for data in [*list_seeds(target), *kept]:
        seen |= trace(run, data)
    chosen: list[bytes] = []
    for data in sorted(set(found), key=lambda each: (len(each), each)):
        if len(kept) + len(chosen) == MAX_FILES or len(data) > MAX_BYTES:
            break
        steps = trace(run, data)
        if steps - seen:
            seen |= steps
            chosen.append(data)
    return chosen


def trace(run: Callable[[bytes], None], data: bytes) -> Steps:
    """Run a target, and return the steps that it took through our code."""
    steps: Steps = set()
    with _tracing(steps):
        run(data)
    return steps


@contextmanager
def _tracing(steps: Steps) -> Iterator[None]:
    last: dict[int, int] = {}

    def follow(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(_OURS):
            return None
        line = frame.f_lineno
        if event == "line":
            steps.add((Path(file).name, last.get(id(frame), 0), line))
        last[id(frame)] = line
        return follow

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        yield
    finally:
        sys.settrace(before)
