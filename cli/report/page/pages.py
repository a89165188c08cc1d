"""Put the page together: the template, its style, its script, and the library for the pictures."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from cli.report.figures import VERDICTS
from cli.report.findings import Finding, short
from cli.report.fix_commands import parse_workload
from cli.report.page.charts import compared_images, draw_bars, draw_days, draw_points
from cli.report.page.image_rows import make_row, sort_key
from cli.report.reports import Report, Sample, by_weight, remark, show_time
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
    show_to_fix,
    simulation_notice,
    times_as_fast,
)
from cli.terminal import show_bytes

MOST_FINDINGS: Final = 10
"""Causes that the page shows before a click on *Show all*."""
MOST_AFFECTED: Final = 20
"""Images that the page shows for a cause."""
MOST_ROWS: Final = 50
"""Images in the table before a click on *Show all*, a search or a filter."""
MOST_EVIDENCED: Final = 50
"""Images whose pulls the page shows with their evidence."""

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
    charts = _draw(report) if has_charts() else {}
    ranked = by_weight(report.images)
    clusters = sorted({name for each in ranked for name in each.clusters})
    namespaces = sorted({name for each in ranked for name in each.namespaces})
    rows = [make_row(each, report, clusters, namespaces) for each in ranked]
    evidenced = {each.image for each in ranked[:MOST_EVIDENCED]}
    page = _environment().get_template("page.html")
    return page.render(
        report=report,
        total=report.total,
        notice=simulation_notice(report),
        mark=" (simulated)" if report.simulated else "",
        factor=times_as_fast(report),
        headline=headline(report),
        to_fix=show_to_fix(report),
        money=money_sentence(report),
        caveats=caveats(report),
        contents=_contents(report, charts),
        clusters=clusters,
        namespaces=namespaces,
        rows=rows,
        more_rows=_as_script([each.as_json() for each in rows[MOST_ROWS:]]),
        verdicts=[(each, report.total.verdicts[each]) for each in VERDICTS],
        samples=_by_image(each for each in report.samples if each.image in evidenced),
        most_findings=MOST_FINDINGS,
        most_affected=MOST_AFFECTED,
        most_rows=MOST_ROWS,
        most_evidenced=MOST_EVIDENCED,
        has_bars="bars" in charts,
        has_points="points" in charts,
        has_days="days" in charts,
        charts=_as_script(charts),
        style=_read("page.css"),
        script=_read("page.js"),
        library=_library() if charts else "",
    )


def has_charts() -> bool:
    """Whether the library of the charts is installed; without it, the page has tables only."""
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        return False
    return True


def _draw(report: Report) -> dict[str, Any]:
    charts: dict[str, Any] = {}
    if report.points:
        charts["points"] = draw_points(report.points)
    elif report.days:
        charts["days"] = draw_days(report.days)
    if images := compared_images(report):
        charts["bars"] = draw_bars(images)
    return charts


def _contents(report: Report, charts: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the sections of the page: anchor and title."""
    sections = (
        ("fix", "What to fix first", bool(report.findings)),
        ("compare", "Cold against streamed", "bars" in charts),
        ("over-time", "Over time", bool(report.days)),
        ("verdicts", "Verdicts", report.total.pulls > 0),
        ("images", "Images", bool(report.images)),
        ("places", "Clusters and node pools", bool(report.places)),
        ("evidence", "Evidence", bool(report.samples)),
        ("method", "Method", True),
    )
    yield from ((anchor, title) for anchor, title, is_shown in sections if is_shown)


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
        median=sort_key,
        numbers=_numbers,
        namespaces=_namespaces,
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


def _numbers(names: Iterable[str | None], known: Sequence[str]) -> str:
    """Return the places of names in a list, for the filters of the page."""
    return " ".join(str(known.index(name)) for name in names if name in known)


def _namespaces(finding: Finding) -> list[str]:
    parsed = (parse_workload(name) for each in finding.affected for name in each.workloads)
    return sorted({each.namespace for each in parsed if each is not None})


def _as_script(value: Any) -> Markup:
    """Return JSON that cannot end the element that contains it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _by_image(samples: Iterable[Sample]) -> list[tuple[str, list[Sample]]]:
    ordered = sorted(samples, key=lambda each: (each.image, -each.at, each.is_warmup))
    groups = groupby(ordered, key=lambda each: each.image)
    return [(image, list(group)) for image, group in groups]


def _show_moment(at: float) -> str:
    return show_time(at)[:19].replace("T", " ")


def _show_cluster(cluster: str | None) -> str:
    """Return a cluster's own name, with its location."""
    parts = (cluster or "").split("/")
    return f"{parts[5]} ({parts[3]})" if len(parts) == 6 else cluster or NONE  # noqa: PLR2004
