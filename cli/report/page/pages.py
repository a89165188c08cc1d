"""Put the page together: the template, its style, its script, and the library for the pictures."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from cli.report.figures import VERDICTS, Spread, spread_of
from cli.report.findings import short
from cli.report.page.charts import compared_images, draw_bars, draw_points
from cli.report.reports import MOST_POINTS, Point, Report, Sample, by_weight, remark, show_time
from cli.report.wording import (
    NONE,
    VERDICT_WORDS,
    caveats,
    headline,
    money_sentence,
    show_money,
    show_period,
    show_saving,
    show_scale,
    show_seconds,
    times_as_fast,
)
from cli.terminal import show_bytes

_FOLDER: Final = Path(__file__).parent

VERDICT_MEANINGS: Final = {
    "streamed": "The node's snapshotter says so.",
    "likely_streamed": "Too fast for its size, on a streaming node that lacked the image."
    " Never counted as a saving.",
    "cached_on_node": "The node held the image already.",
    "not_streamed": "A layer could not be downloaded for streaming, or the pull was slow.",
    "unknown": "Nothing decides it. That a node says nothing proves nothing.",
}


def make_page(report: Report) -> str:
    """Return the page, the same for the same report."""
    charts = _draw_charts(report) if has_charts() else {}
    page = _environment().get_template("page.html")
    return page.render(
        report=report,
        total=report.total,
        factor=times_as_fast(report),
        headline=headline(report),
        money=money_sentence(report),
        caveats=caveats(report),
        compared=report.compared,
        images=by_weight(report.images),
        verdicts=[(each, report.total.verdicts[each]) for each in VERDICTS],
        samples=_by_image(report.samples),
        days=list(_days(report.points)),
        most_points=MOST_POINTS,
        has_bars="bars" in charts,
        has_points="points" in charts,
        charts=_as_script(charts),
        style=_read("page.css"),
        script=_read("page.js"),
        library=_library() if charts else "",
    )


def has_charts() -> bool:
    """Whether the library of the charts is installed; without it, the page has tables only."""
    return find_spec("vl_convert") is not None


def _draw_charts(report: Report) -> dict[str, Any]:
    charts = {"points": draw_points(report.points)} if report.points else {}
    if images := compared_images(report):
        charts["bars"] = draw_bars(images)
    return charts


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,  # names come from logs, so any user can choose them
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        short=short,
        seconds=show_seconds,
        saving=show_saving,
        money=show_money,
        bytes=show_bytes,
        time=_show_moment,
        remark=remark,
        median=_median,
        cluster=_show_cluster,
        verdict=lambda verdict: VERDICT_WORDS.get(verdict, NONE),
        meaning=VERDICT_MEANINGS.__getitem__,
        scale=show_scale,
        period=show_period,
    )
    return environment


def _read(name: str) -> Markup:
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704  # a file of ours


@cache
def _library() -> Markup:
    """Return Vega, Vega-Lite and Vega-Embed as one script that is safe inside a page."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(script.replace("</script", "<\\/script").replace("<!--", "<\\!--"))  # noqa: S704


def _as_script(value: Any) -> Markup:
    """Return JSON that cannot end the element that contains it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _by_image(samples: Iterable[Sample]) -> list[tuple[str, list[Sample]]]:
    ordered = sorted(samples, key=lambda each: (each.image, -each.at, each.is_warmup))
    groups = groupby(ordered, key=lambda each: each.image)
    return [(image, list(group)) for image, group in groups]


def _days(points: Iterable[Point]) -> Iterator[dict[str, Any]]:
    """Sum up the points of each day, for readers who cannot see the picture."""
    for day, group in groupby(points, key=lambda each: show_time(each.at)[:10]):
        every = [each for each in group if each.verdict != "warmup"]
        yield {
            "day": day,
            "pulls": len(every),
            "streamed": spread_of(each.seconds for each in every if each.verdict == "streamed"),
            "cold": spread_of(each.seconds for each in every if each.verdict == "not_streamed"),
        }


def _show_moment(at: float) -> str:
    return show_time(at)[:19].replace("T", " ")


def _median(spread: Spread | None) -> float | str:
    """Return the sort key of a cell; an empty cell is last."""
    return "" if spread is None else round(spread.median, 3)


def _show_cluster(cluster: str | None) -> str:
    """Return a cluster's own name, with its location."""
    parts = (cluster or "").split("/")
    return f"{parts[5]} ({parts[3]})" if len(parts) == 6 else cluster or NONE  # noqa: PLR2004
