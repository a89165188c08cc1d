"""The picture of a run: each delivery against the blank function, the naive one, and its limit."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

WIDTH: Final = 1040
_LEFT, _TOP, _ROW = 250, 96, 30
_PANEL, _GAP = 220, 42
_PANELS: Final = (
    ("cold_start", "cold start", "cold start"),
    ("pss", "memory", "memory"),
    ("rate", "rate", "deliveries a second"),
)
"""Each ratio's key, what targets call it, and its heading."""

_BASES: Final = ("blank", "naive")

STYLE: Final = """
  svg { font: 13px system-ui, sans-serif; --ink: #1f2328; --soft: #656d76; --line: #d0d7de;
    --bar: #2f6fdb; --missed: #c4560a; --page: #ffffff; --second: #1a7f5a; --third: #8a4fc7; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --bar: #6ea8ff; --missed: #f0883e;
      --page: #0d1117; --second: #4cc38a; --third: #c297ff; }
  }
  text { fill: var(--ink); } .soft { fill: var(--soft); } .title { font-weight: 600; }
  .page { fill: var(--page); } .bar { fill: var(--bar); } .missed { fill: var(--missed); }
  .axis { stroke: var(--line); } .limit { stroke: var(--ink); stroke-width: 2; }
  .naive { fill: var(--page); stroke: var(--soft); stroke-width: 2; }
"""
"""Legible on a light page and on a dark one, whichever the reader has."""


def draw_bench(content: Mapping[str, Any]) -> str:
    """Return the picture of a run, as SVG."""
    rows = [each for each in content["scenarios"] if each["function"] not in _BASES]
    naive = {each["kind"]: each for each in content["scenarios"] if each["function"] == "naive"}
    limits = {each["subject"]: each for each in content["targets"] if each["group"] == "to blank"}
    height = _TOP + _ROW * len(rows) + 40
    parts = [
        *_heading(content),
        *(
            _text(_LEFT - 14, _y(number) + 5, f"{each['function']}: {each['kind']}", "end")
            for number, each in enumerate(rows)
        ),
    ]
    for number, (key, subject, heading) in enumerate(_PANELS):
        left = _LEFT + number * (_PANEL + _GAP)
        parts += _draw_panel(left, heading, _values(rows, naive, limits, key, subject))
    return wrap(WIDTH, height, parts)


def wrap(width: int, height: int, parts: list[str]) -> str:
    """Return a whole SVG file."""
    content = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img">\n<style>{STYLE}</style>\n'
        f'<rect class="page" width="{width}" height="{height}"/>\n{content}\n</svg>\n'
    )


def _heading(content: Mapping[str, Any]) -> Iterator[str]:
    yield _text(20, 28, "As many times what a function costs that does nothing", name="title")
    yield _text(
        20,
        50,
        f"Medians of {content['runs']} interleaved rounds. For the rate more is better.",
        name="soft",
    )
    x = 560
    for name, title in (("bar", "keeps to its limit, or has none"), ("missed", "misses it")):
        yield f'<rect class="{name}" x="{x}" y="18" width="14" height="12" rx="2"/>'
        yield _text(x + 20, 28, title)
        x += 240
    yield '<line class="limit" x1="567" x2="567" y1="40" y2="54"/>'
    yield _text(580, 51, "limit")
    yield '<circle class="naive" cx="807" cy="47" r="5"/>'
    yield _text(820, 51, "a naive function")


def _values(
    rows: list[Mapping[str, Any]],
    naive: Mapping[str, Mapping[str, Any]],
    limits: Mapping[str, Mapping[str, Any]],
    key: str,
    subject: str,
) -> list[tuple[float, float, float | None, bool]]:
    """Return of each row its ratio, the naive function's, its limit, and whether it is missed."""
    values: list[tuple[float, float, float | None, bool]] = []
    for each in rows:
        limit = limits.get(f"{each['function']}: {each['kind']}, {subject}")
        values.append(
            (
                each["to_floor"][key]["median"],
                naive[each["kind"]]["to_floor"][key]["median"],
                None if limit is None else limit["limit"],
                limit is not None and not limit["is_met"],
            )
        )
    return values


def _draw_panel(
    left: int, heading: str, values: list[tuple[float, float, float | None, bool]]
) -> Iterator[str]:
    most = max(max(one, other, limit or 0.0) for one, other, limit, _ in values)
    unit = (_PANEL - 58) / most
    bottom = _y(len(values)) - _ROW / 2
    yield _text(left, _TOP - 14, heading, name="title")
    yield f'<line class="axis" x1="{left}" x2="{left}" y1="{_TOP}" y2="{bottom:.0f}"/>'
    one = left + unit
    yield f'<line class="axis" x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP}" y2="{bottom:.0f}"/>'
    yield _text(one, bottom + 18, "1", "middle", "soft")
    for number, (ratio, other, limit, is_missed) in enumerate(values):
        y = _y(number)
        name = "missed" if is_missed else "bar"
        yield (
            f'<rect class="{name}" x="{left}" y="{y - 7:.0f}" width="{ratio * unit:.1f}"'
            ' height="14" rx="2"/>'
        )
        yield f'<circle class="naive" cx="{left + other * unit:.1f}" cy="{y:.0f}" r="5"/>'
        if limit is not None:
            x = left + limit * unit
            yield (
                f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 11:.0f}"'
                f' y2="{y + 11:.0f}"/>'
            )
        yield _text(left + _PANEL + 8, y + 5, f"{ratio:.2f}", "end")


def _y(number: int) -> float:
    return _TOP + _ROW * (number + 0.5)


def _text(x: float, y: float, content: str, anchor: str = "start", name: str = "") -> str:
    style = f' class="{name}"' if name else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(content)}</text>'
