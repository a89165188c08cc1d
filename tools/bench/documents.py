"""The parts of pages that are generated, from figures that are kept beside them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sandbox.local_cloud import ROOT

DOCUMENT: Final = ROOT / "docs" / "performance.md"
DATA: Final = ROOT / "docs" / "bench.json"
PICTURE: Final = ROOT / "docs" / "bench.svg"

_BETWEEN: Final = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
_MILLION = 1e6


def write_document(path: Path, generated: str) -> None:
    """
    Replace the generated part of a page.

    Raises:
        ValueError: The page has no place for it.
    """
    text, count = _BETWEEN.subn(lambda _: generated, path.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{path} has not exactly one place for figures")
    path.write_text(text, encoding="utf-8")


def read_generated(path: Path) -> str:
    """Return the generated part of a page."""
    found = _BETWEEN.search(path.read_text("utf-8"))
    return "" if found is None else found[0]


def render(content: Mapping[str, Any]) -> str:
    """Return the figures of a run, as Markdown."""
    parts = (
        _render_run(content),
        _render_functions(content["scenarios"]),
        _render_calls(content["calls"]),
        _render_ways(content),
        _render_targets(content["targets"]),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def _render_run(content: Mapping[str, Any]) -> Iterator[str]:
    machine = content["machine"]
    yield (
        f"Measured {content['measured_at'][:10]} with Python {machine['python']} on"
        f" {machine['cpus']} processors, {content['runs']} rounds; the machine's load was"
        f" {machine['load'][0]:g} at the end."
    )


def _render_functions(scenarios: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from make_table(
        ("function", "delivery", "cold start", "ratio", "memory", "ratio", "a second", "ratio"),
        (
            (
                f"`{each['function']}`",
                each["kind"],
                f"{each['cold_start_s']['median']:.2f} s",
                _ratio(each["to_floor"]["cold_start"]),
                f"{each['pss_bytes']['median'] / _MILLION:.0f} MB",
                _ratio(each["to_floor"]["pss"]),
                f"{each['rate']['median']:,.0f}",
                _ratio(each["to_floor"]["rate"]),
            )
            for each in scenarios
        ),
    )


def _render_calls(calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "Calls of one delivery:"
    yield ""
    yield from make_table(
        ("delivery", "the first of an instance", "the next", "until the Job is made"),
        (
            (
                each["delivery"],
                _calls(each["cold"]),
                _calls(each["warm"]),
                "{}, then {}".format(*each["to_job"]) if "to_job" in each else "",
            )
            for each in calls
        ),
    )


def _render_ways(content: Mapping[str, Any]) -> Iterator[str]:
    way, crowd = content["end_to_end"], content["crowd"]
    yield (
        f"From a write to its Job: {way['seconds']['median'] * 1000:.0f} ms, the floor"
        f" {way['floor_s']['median'] * 1000:.0f} ms, ratio {_ratio(way['ratio'])}."
    )
    yield ""
    yield (
        f"{crowd['events']:,} events of {crowd['images']} images to one instance:"
        f" {crowd['manifest_requests']:,} manifest requests and {crowd['job_posts']} Job posts,"
        f" {crowd['calls']:,} calls in all, in {crowd['seconds']:.0f} s."
    )


def _render_targets(targets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    missed = [each for each in targets if not each["is_met"]]
    yield f"{len(targets) - len(missed)} of {len(targets)} targets are met. Missed targets:"
    yield ""
    if not missed:
        yield "Nothing."
        return
    yield from make_table(
        ("against", "what", "measured", "limit"),
        (
            (
                each["group"],
                each["subject"],
                f"{each['measured']:.2f}",
                f"{'≥' if each['is_least'] else '≤'} {each['limit']:g}",
            )
            for each in missed
        ),
    )


def make_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    for row in (headings, ["---"] * len(headings), *rows):
        yield f"| {' | '.join(row)} |"


def _ratio(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.1f}\N{EN DASH}{spread['high']:.1f})"


def _calls(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {service}" for service, number in counted.items()) or "none"
