"""The picture of the curves: each figure against its size, both on scales of tenfolds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from tools.bench.pictures import wrap

_WIDTH: Final = 1040
_LEFT, _TOP = 210, 84
_PANEL, _HIGH, _GAP, _BETWEEN = 220, 104, 50, 48
_FIGURES: Final = (("calls", "calls"), ("seconds", "seconds"), ("bytes", "memory"))
_MILLION, _THOUSAND = 1e6, 1e3
_ROOM: Final = 0.2
"""How far above its own power a curve may grow before it is said to bend."""


def draw_growth(content: Mapping[str, Any]) -> str:
    """Return the picture of all curves, as SVG."""
    curves = content["curves"]
    parts = [
        _text(20, 28, "What grows with what", name="title"),
        _text(
            20,
            50,
            "Scales of tenfolds. The number in a corner is the power of the size between the last"
            " two points: 1 is in proportion, 0 not at all.",
            name="soft",
        ),
    ]
    for column, (_, heading) in enumerate(_FIGURES):
        parts.append(_text(_LEFT + column * (_PANEL + _GAP), _TOP - 8, heading, name="title"))
    for row, curve in enumerate(curves):
        top = _TOP + row * (_HIGH + _BETWEEN)
        parts.append(_text(20, top + 26, curve["title"], name="title"))
        parts.append(_text(20, top + 46, f"by {curve['size']}", name="soft"))
        parts.append(_text(20, top + 66, f"of {curve['per']}", name="soft"))
        for column, (field, _) in enumerate(_FIGURES):
            parts += _draw_panel(_LEFT + column * (_PANEL + _GAP), top, curve, field)
    return wrap(_WIDTH, _TOP + len(curves) * (_HIGH + _BETWEEN) + 4, parts)


def _draw_panel(left: int, top: int, curve: Mapping[str, Any], field: str) -> Iterator[str]:
    points = [(each["size"], each[field]) for each in curve["points"]]
    across = _scale([size for size, _ in points], left + 14, left + _PANEL - 14)
    up = _scale([value for _, value in points], top + _HIGH - 14, top + 20)
    power = curve["exponents"][field]
    is_bent = power > curve["straight"] + _ROOM
    name = "missed" if is_bent else "bar"
    bottom = top + _HIGH
    yield (
        f'<path class="axis" fill="none" d="M{left} {top} V{bottom} H{left + _PANEL}"/>'
        f'<polyline fill="none" style="stroke: var(--{name})" stroke-width="2" points="'
        + " ".join(f"{across(size):.1f},{up(value):.1f}" for size, value in points)
        + '"/>'
    )
    for size, value in points:
        x, y = across(size), up(value)
        yield f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        yield _text(x, bottom + 16, f"{size:,}", "middle", "soft")
    for size, value in (points[0], points[-1]):
        anchor = "start" if size == points[0][0] else "end"
        yield _text(across(size), up(value) - 9, _show(field, value), anchor)
    said = f"power {round(power, 1) + 0.0:.1f}" + (": bends" if is_bent else "")
    yield _text(left + _PANEL, bottom - 6, said, "end", "soft")


class _Scale:
    """Where a value lies, each tenfold as wide; what hardly changes lies in the middle."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        logs = [math.log10(max(value, 1e-6)) for value in values]
        room = max(0.0, 1.0 - (max(logs) - min(logs))) / 2
        self._low, self._high = min(logs) - room, max(logs) + room
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        share = (math.log10(max(value, 1e-6)) - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)


def _scale(values: Sequence[float], begin: float, end: float) -> _Scale:
    return _Scale(values, begin, end)


def _show(field: str, value: float) -> str:
    if field == "bytes":
        return f"{value / _MILLION:.0f} MB"
    if field == "seconds":
        return f"{value:.1f} s" if value >= 1 else f"{value * _THOUSAND:.0f} ms"
    return f"{value:,.0f}"


def _text(x: float, y: float, content: str, anchor: str = "start", name: str = "") -> str:
    style = f' class="{name}"' if name else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(content)}</text>'
