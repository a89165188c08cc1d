"""The figures for a person, and for a file."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from tools.bench.calls import count_services
from tools.bench.crowds import Crowd
from tools.bench.end_to_end import EndToEnd
from tools.bench.figures import Figures, Spread
from tools.bench.report_rate import ReportRate
from tools.bench.scenarios import Scenario
from tools.bench.stages import CallsOfADelivery
from tools.bench.targets import Target, to_job

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that one run measured."""

    runs: int
    scenarios: Sequence[Scenario]
    figures: Mapping[str, Figures]
    calls: Sequence[tuple[str, CallsOfADelivery]]
    """Each under its title."""
    crowd: Crowd
    end_to_end: EndToEnd
    report: ReportRate
    targets: Sequence[Target]

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down, with what machine it was."""
        return {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {
                "python": platform.python_version(),
                "system": platform.platform(),
                "cpus": os.cpu_count(),
                "load": [round(each, 2) for each in os.getloadavg()],
            },
            "runs": self.runs,
            "floor": self.scenarios[0].name,
            "scenarios": [
                {
                    "function": scenario.function,
                    "kind": scenario.kind,
                    **self.figures[scenario.name].as_json(),
                }
                for scenario in self.scenarios
            ],
            "calls": [
                {
                    "delivery": title,
                    "cold": count_services(list(each.cold)),
                    "warm": count_services(list(each.warm)),
                    **({"to_job": [to_job(each.cold), to_job(each.warm)]} if _is_new(each) else {}),
                }
                for title, each in self.calls
            ],
            "crowd": self.crowd.as_json(),
            "end_to_end": self.end_to_end.as_json(),
            "report": self.report.as_json(),
            "targets": [each.as_json() for each in self.targets],
        }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file that a person can read as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def make_table(scenarios: Sequence[Scenario], figures: Mapping[str, Figures], runs: int) -> Table:
    """Return a table of all scenarios: medians, and in brackets the least and the most."""
    rounds = "1 round" if runs == 1 else f"{runs} rounds"
    table = _table(
        f"Cold start, memory and rate of the functions, {rounds}",
        "ratio: to the blank function in the same round, median (lowest to highest); the rate's is"
        " better above 1. Seconds, megabytes and rates depend on the machine; compare the ratios.",
    )
    table.add_column("function", no_wrap=True)
    table.add_column("delivery", no_wrap=True)
    for heading in ("cold start", "ratio", "of CPU", "memory", "ratio", "a second", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scenario in scenarios:
        each = figures[scenario.name]
        table.add_row(
            scenario.function,
            scenario.kind,
            f"{each.cold_start_s.median:.2f} s",
            show_ratio(each.to_floor.cold_start),
            f"{each.to_floor.cold_cpu.median:.2f}",
            f"{each.pss_bytes.median / _MILLION:.0f} MB",
            show_ratio(each.to_floor.pss),
            f"{each.rate.median:.0f}",
            show_ratio(each.to_floor.rate),
        )
    return table


def make_calls_table(calls: Iterable[tuple[str, CallsOfADelivery]]) -> Table:
    """Return a table of the calls that each kind of delivery costs."""
    table = _table("Calls of one delivery", "as the services count them; to the Job: until it is")
    table.add_column("delivery")
    for heading in ("first of an instance", "the next", "to the Job"):
        table.add_column(heading)
    for title, each in calls:
        reach = f"{to_job(each.cold)}, then {to_job(each.warm)}" if _is_new(each) else ""
        table.add_row(title, _show_calls(each.cold), _show_calls(each.warm), reach)
    return table


def make_target_table(targets: Iterable[Target]) -> Table:
    """Return a table of the targets, each with its limit and whether it is met."""
    table = _table("Targets", None)
    table.add_column("against")
    table.add_column("what")
    for heading in ("measured", "limit", ""):
        table.add_column(heading, justify="right")
    for each in targets:
        bound = "≥" if each.is_least else "≤"
        table.add_row(
            each.group,
            each.subject,
            f"{each.measured:.2f}",
            f"{bound} {each.limit:g}",
            "met" if each.is_met else "[bold red]MISSED[/bold red]",
        )
    return table


def show_ratio(spread: Spread) -> str:
    """Return a ratio with its spread."""
    return f"{spread.median:.2f} ({spread.low:.1f}\N{EN DASH}{spread.high:.1f})"


def _table(title: str, caption: str | None) -> Table:
    return Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _is_new(each: CallsOfADelivery) -> bool:
    return each.scenario.is_new


def _show_calls(calls: Sequence[Any]) -> str:
    counted = count_services(list(calls))
    return ", ".join(f"{number} {service}" for service, number in counted.items()) or "none"
