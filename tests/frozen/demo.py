"""The facts of the demo, without what varies from run to run: times, nodes, names of pods."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "demo.json"

VARYING_EVENT = "stream.observed"
"""Which nodes report an image depends on where its pods happened to run."""

_KEPT = ("event", "image", "mirror", "outcome", "strategy", "target", "image_bytes", "upstream")


def read(path: Path) -> dict[str, Any]:
    """Return what every run of the demo writes, from its ``results.jsonl``."""
    return summarize(map(json.loads, path.read_text("utf-8").splitlines()))


def summarize(facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the field names of each event, and each kind of fact once."""
    fields: dict[str, list[str]] = {}
    kinds = set()
    for fact in facts:
        fields[fact["event"]] = sorted(fact)
        if fact["event"] != VARYING_EVENT:
            kinds.add(json.dumps({key: fact[key] for key in _KEPT if key in fact}))
    facts_once = [json.loads(each) for each in sorted(kinds)]
    return {"fields": dict(sorted(fields.items())), "facts": facts_once}
