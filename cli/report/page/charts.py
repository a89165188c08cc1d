"""
The pictures of the page, as Vega-Lite specifications: https://vega.github.io/vega-lite/docs/.

They describe the content. The page's style determines the colours, light or dark, and the width.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cli.report.figures import VERDICTS, DayFigures, ImageFigures, Spread
from cli.report.findings import short
from cli.report.reports import Point, Report, by_weight
from cli.report.wording import VERDICT_WORDS, show_seconds, show_spread

MOST_BARS: Final = 15
"""The maximum of images in the picture of cold and streamed pulls."""

_ROW: Final = 64
"""Pixels for each image."""

_ROOM: Final = 1.22
"""The part of the axis beyond the longest bar, for its label."""

_DRAWN: Final = (
    "cached_on_node",
    "unknown",
    "streamed",
    "likely_streamed",
    "warmup",
    "not_streamed",
)
_CROWDED: Final = 400
"""The number of points from which they are drawn small."""

_TENFOLDS: Final = (0.01, 0.1, 1, 10, 100, 1_000, 10_000)
"""Seconds at which the logarithmic axis has lines."""

_AROUND: Final = 1.6
"""The factor by which the logarithmic axis exceeds the points."""

POINT_KINDS: Final = {
    "streamed": ("streamed", "circle"),
    "likely_streamed": ("likely streamed", "triangle-up"),
    "cached_on_node": ("cached on node", "square"),
    "not_streamed": ("not streamed", "diamond"),
    "unknown": ("unknown", "cross"),
    "warmup": ("warmup", "triangle-down"),
}
"""The label and shape of a point, so that colour is never the only difference."""


def compared_images(report: Report) -> list[ImageFigures]:
    """Return the images with a measured pull, the largest saving first."""
    measured = [each for each in report.images if each.figures.cold or each.figures.streamed]
    return by_weight(measured)[:MOST_BARS]


def draw_bars(images: Iterable[ImageFigures]) -> dict[str, Any]:
    """Return the picture of each image's cold and streamed pulls: medians, and a line to p90."""
    rows = [row for each in images for row in _bars(each)]
    labels = list(dict.fromkeys(row["image"] for row in rows))
    longest = max((row["p90"] for row in rows), default=1.0)
    x = {
        "field": "seconds",
        "type": "quantitative",
        "scale": {"domain": [0, longest * _ROOM], "nice": False},
        "axis": {"title": "seconds", "tickCount": 5, "orient": "bottom"},
    }
    colour = {
        "field": "kind",
        "type": "nominal",
        "scale": {"domain": ["cold", "streamed"], "range": ["$cold", "$streamed"]},
        "legend": None,
    }
    tooltip = [
        {"field": "name", "title": "image"},
        {"field": "kind", "title": "pulls"},
        {"field": "said", "title": "median"},
        {"field": "count", "title": "measured"},
    ]
    layers: list[dict[str, Any]] = [
        {
            "transform": [{"filter": "datum.isFirst"}],
            "mark": {"type": "text", "align": "left", "dy": -20, "fontWeight": 600, "limit": 330},
            "encoding": {
                "x": {"value": 0},
                "text": {"field": "label"},
                "color": {"value": "$ink"},
            },
        }
    ]
    for kind, down in (("cold", -3), ("streamed", 14)):
        layers += _bar_layers(kind, down, x, colour, tooltip)
    return {
        "width": "container",
        "height": _ROW * len(labels),
        "data": {"values": rows},
        "encoding": {
            "y": {"field": "image", "type": "nominal", "sort": labels, "axis": None},
        },
        "layer": layers,
    }


def _bar_layers(
    kind: str, down: int, x: dict[str, Any], colour: dict[str, Any], tooltip: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return a bar to the median, a line on to the 90th percentile, and the median in words."""
    only = [{"filter": f"datum.kind == '{kind}'"}]
    return [
        {
            "transform": only,
            "mark": {"type": "bar", "height": 13, "yOffset": down, "cornerRadiusEnd": 3},
            "encoding": {"x": x, "color": colour, "tooltip": tooltip},
        },
        {
            "transform": only,
            "mark": {"type": "rule", "yOffset": down, "strokeWidth": 1.5, "opacity": 0.7},
            "encoding": {"x": x, "x2": {"field": "p90"}, "color": colour},
        },
        {
            "transform": only,
            "mark": {"type": "text", "align": "left", "dx": 7, "yOffset": down, "fontSize": 12},
            "encoding": {
                "x": {**x, "field": "p90"},
                "text": {"field": "shown"},
                "color": {"value": "$ink"},
            },
        },
    ]


def _bars(each: ImageFigures) -> Iterable[dict[str, Any]]:
    is_first = True
    for kind, spread in (("cold", each.figures.cold), ("streamed", each.figures.streamed)):
        if spread is not None:
            yield {**_bar(each, kind, spread), "isFirst": is_first}
            is_first = False


def _bar(each: ImageFigures, kind: str, spread: Spread) -> dict[str, Any]:
    has_baseline = kind == "cold" or each.figures.cold is not None
    return {
        "image": each.image,
        "name": each.image,
        "label": short(each.image),
        "kind": kind,
        "seconds": round(spread.median, 3),
        "p90": round(spread.p90, 3),
        "shown": show_seconds(spread.median) + ("" if has_baseline else "  (no baseline)"),
        "said": show_spread(spread),
        "count": spread.count,
    }


def draw_points(points: Iterable[Point]) -> dict[str, Any]:
    """Return the picture of pulls over time, on a logarithmic scale."""
    rows: list[dict[str, Any]] = [
        {
            "at": round(each.at * 1000),
            # A duration of zero is not on the scale.
            "seconds": max(round(each.seconds, 3), 0.01),
            "kind": POINT_KINDS[each.verdict][0],
            "image": short(each.image),
            "took": show_seconds(each.seconds),
            "pool": each.node_pool or "unknown",
        }
        for each in sorted(points, key=_above)
    ]
    is_crowded = len(rows) > _CROWDED
    least = min((row["seconds"] for row in rows), default=1.0)
    most = max((row["seconds"] for row in rows), default=1.0)
    kinds = [key for key in POINT_KINDS if any(row["kind"] == POINT_KINDS[key][0] for row in rows)]
    names = [POINT_KINDS[key][0] for key in kinds]
    legend = {
        "title": None,
        "orient": "top",
        "columns": "$columns",
        "symbolSize": 90,
        "symbolOpacity": 1,
    }
    return {
        "width": "container",
        "height": 300,
        "data": {"values": rows},
        "mark": {
            "type": "point",
            "filled": True,
            "size": 22 if is_crowded else 50,
            "opacity": 0.5 if is_crowded else 0.8,
        },
        "encoding": {
            "x": {
                "field": "at",
                "type": "temporal",
                "scale": {"type": "utc", "padding": 10},
                "axis": {
                    "title": None,
                    "tickCount": "$ticks",
                    "labelOverlap": True,
                    "format": _time_format(rows),
                },
            },
            "y": {
                "field": "seconds",
                "type": "quantitative",
                "scale": {
                    "type": "log",
                    "nice": False,
                    "domain": [least / _AROUND, most * _AROUND],
                },
                "axis": {"title": "seconds (logarithmic)", "values": _TENFOLDS, "format": "~r"},
            },
            "color": {
                "field": "kind",
                "type": "nominal",
                "scale": {"domain": names, "range": [f"${each}" for each in kinds]},
                "legend": legend,
            },
            "shape": {
                "field": "kind",
                "type": "nominal",
                "scale": {"domain": names, "range": [POINT_KINDS[each][1] for each in kinds]},
                "legend": legend,
            },
            "tooltip": [
                {"field": "image", "title": "image"},
                {"field": "took", "title": "pull"},
                {"field": "kind", "title": "verdict"},
                {"field": "pool", "title": "node pool"},
                {"field": "at", "type": "temporal", "title": "UTC", "format": "%Y-%m-%d %H:%M:%S"},
            ],
        },
    }


def draw_days(days: Iterable[DayFigures]) -> dict[str, Any]:
    """Return the picture of the number of pulls of each day, by verdict."""
    rows = [
        {"day": each.day, "kind": VERDICT_WORDS[verdict], "pulls": each.verdicts[verdict]}
        for each in days
        for verdict in VERDICTS
        if each.verdicts[verdict]
    ]
    kinds = [each for each in VERDICTS if any(row["kind"] == VERDICT_WORDS[each] for row in rows)]
    scale = {
        "domain": [VERDICT_WORDS[each] for each in kinds],
        "range": [f"${each}" for each in kinds],
    }
    return {
        "width": "container",
        "height": 260,
        "data": {"values": rows},
        "mark": {"type": "bar"},
        "encoding": {
            "x": {"field": "day", "type": "ordinal", "axis": {"title": None, "labelOverlap": True}},
            "y": {"field": "pulls", "type": "quantitative", "axis": {"title": "pulls"}},
            "color": {
                "field": "kind",
                "type": "nominal",
                "scale": scale,
                "legend": {"title": None, "orient": "top", "columns": "$columns"},
            },
            "tooltip": [{"field": each} for each in ("day", "kind", "pulls")],
        },
    }


def _above(point: Point) -> int:
    """Sort the important points to the end, so that they are drawn over the others."""
    return _DRAWN.index(point.verdict)


def _time_format(rows: Iterable[Mapping[str, Any]]) -> str:
    times = [row["at"] for row in rows]
    days = (max(times) - min(times)) / 86_400_000 if times else 0.0
    if days < 1.5:  # noqa: PLR2004
        return "%H:%M"
    return "%d %b" if days > 8 else "%d %b, %H:%M"  # noqa: PLR2004
