"""
Record today's behaviour as the behaviour that tests hold every change to.

``python -m tests.frozen.record`` writes all tables again, after a change that is meant to alter
them; ``python -m tests.frozen.record deliveries names`` writes only those. Read the diff before it
is committed: each line is one delivery, one name or one command line. The deliveries need the
archives (``build/functions``) and the environment of the functions (``build/deployed``), the demo
needs the facts of a run (``make demo``).
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.frozen import command_lines, deliveries, demo, names

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
RESULTS = BUILD / "demo" / "results.jsonl"

TABLES: Mapping[str, tuple[Path, Callable[[], Any]]] = {
    "deliveries": (
        deliveries.FILE,
        lambda: deliveries.record(BUILD / "functions", BUILD / "deployed" / "bin" / "python"),
    ),
    "names": (names.FILE, names.record),
    "command_lines": (command_lines.FILE, command_lines.record),
    "demo": (demo.FILE, lambda: demo.read(RESULTS)),
}


def main() -> None:
    """Write the tables that the arguments name, or all."""
    parser = argparse.ArgumentParser(description="Record today's behaviour.")
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES))
    for name in parser.parse_args().tables or TABLES:
        file, record = TABLES[name]
        file.write_text(write(record()) + "\n", encoding="utf-8")
        sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes\n")


def write(value: Any, depth: int = 2) -> str:
    """Return JSON with a line for each element, down to a depth."""
    if depth and isinstance(value, dict):
        members = (f"{json.dumps(key)}: {write(each, depth - 1)}" for key, each in value.items())
        return "{\n" + ",\n".join(members) + "\n}"
    if depth and isinstance(value, list):
        return "[\n" + ",\n".join(write(each, 0) for each in value) + "\n]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
