"""The facts of a run, in a file."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def write_facts(facts: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write ``results.jsonl``: a line for each fact, its payload with insert id and timestamp."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for entry in facts:
            line = {
                **entry["jsonPayload"],
                "insertId": entry["insertId"],
                "timestamp": entry["timestamp"],
            }
            file.write(json.dumps(line) + "\n")
    return path
