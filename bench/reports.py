"""The figures for a person, and for a file."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.table import Table

from bench.figures import Figures, Spread
from bench.report_rate import ReportRate
from bench.scenarios import Scenario

_MILLION = 1e6


def make_table(scenarios: Sequence[Scenario], figures: Mapping[str, Figures], runs: int) -> Table:
    """Return a table of all scenarios: medians, and in brackets the least and the most."""
    rounds = "1 round" if runs == 1 else f"{runs} rounds"
    table = Table(
        title=f"Cold start and memory of the functions, {rounds}",
        caption="ratio: to the blank function in the same round, median (lowest to highest)."
        " Seconds and megabytes depend on the machine; compare the ratios.",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("function", no_wrap=True)
    table.add_column("delivery")
    for heading in ("cold start", "ratio", "memory", "ratio"):
        table.add_column(heading, justify="right")
    for scenario in scenarios:
        each = figures[scenario.name]
        table.add_row(
            scenario.function,
            scenario.delivery,
            f"{each.cold_start_s.median:.2f} s",
            _ratio(each.cold_start_ratio),
            f"{each.pss_bytes.median / _MILLION:.0f} MB",
            _ratio(each.pss_ratio),
        )
    return table


def write_report(
    path: Path,
    scenarios: Sequence[Scenario],
    figures: Mapping[str, Figures],
    runs: int,
    rate: ReportRate,
) -> None:
    """Write everything down as JSON: seconds, bytes, ratios, and what machine it was."""
    report = {
        "measured_at": datetime.now(UTC).isoformat(),
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
        },
        "runs": runs,
        "floor": scenarios[0].name,
        "scenarios": [
            {
                "function": scenario.function,
                "delivery": scenario.delivery,
                **figures[scenario.name].as_json(),
            }
            for scenario in scenarios
        ],
        "report": rate.as_json(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.1f}\N{EN DASH}{spread.high:.1f})"
