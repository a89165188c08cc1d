"""
``python -m tools.bench.budgets --write``: take what is counted today as the ceiling of tests.

``tests/integration/test_delivery_budgets.py`` holds every delivery to it.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sandbox.demo.case import make_deployment
from sandbox.local_cloud import ROOT
from tools.bench.measuring import FailedDeliveryError
from tools.bench.probing import Counted, count_blank, count_delivery, group_modules
from tools.bench.scenarios import (
    BLANK,
    KNOWN,
    L4,
    NAIVE,
    Scenario,
    list_further_scenarios,
    list_scenarios,
)
from tools.bench.stages import Stage

BUDGETS: Final = ROOT / "tests" / "integration" / "delivery_budgets.json"

_NEW: Final = re.compile(r"bench/app-\d+/")


def list_counted(now: datetime) -> list[Scenario]:
    """Return every kind of delivery of every function of ours."""
    return [
        each
        for each in (*list_scenarios(now), *list_further_scenarios())
        if each.function not in {BLANK, NAIVE}
    ]


def prepare(stage: Stage) -> None:
    """Let a workload use the known image, so that a sweep has something to ask."""
    stage.prepare("image_reference")
    api = stage.cloud.kubernetes.api
    body = make_deployment("known", KNOWN, node_selector=L4, replicas=0)
    api.create("deployments.apps", body, "ml", user="bench@example.com")


def make_budget(counted: Counted) -> dict[str, Any]:
    """Return what is kept of a count."""
    return {
        "modules_at_start": group_modules(counted.started),
        "modules_of_first_delivery": group_modules(counted.imported),
        "modules_of_next_delivery": group_modules(counted.imported_next),
        "calls_of_first_delivery": sorted(_kinds(counted.cold)),
        "calls_of_next_delivery": sorted(_kinds(counted.warm)),
        "python": counted.python,
        "python_calls_of_next_delivery": counted.python_calls,
    }


def _kinds(calls: tuple[Any, ...]) -> list[str]:
    """Return the kinds of calls, with new images under one name."""
    return [_NEW.sub("bench/NEW/", each.kind) for each in calls]


def run(arguments: list[str] | None = None) -> int:
    """Count every kind of delivery, and write or show the budgets; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.budgets", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {BUDGETS.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    try:
        with Stage() as stage:
            prepare(stage)
            blank = count_blank(stage)
            budgets = {
                each.name: make_budget(count_delivery(stage, each, blank))
                for each in list_counted(datetime.now(UTC))
            }
    except FailedDeliveryError as exc:
        sys.stderr.write(f"not counted: {exc}\n")
        return 1
    text = _write_lines(budgets)
    if options.write:
        Path(BUDGETS).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def _write_lines(budgets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the budgets as JSON, each figure on a line of its own."""
    blocks = []
    for name, budget in budgets.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in budget.items()]
        blocks.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    sys.exit(run())
