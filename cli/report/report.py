"""prestream report: the effect of warming, from facts in Cloud Logging, files or standard input."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.fact_reader import FactReader
from cli.exits import EXIT_CODES, ExitCode, fail, say
from cli.report.facts import Facts
from cli.report.price_files import InvalidPricesError, read_prices
from cli.report.prices import Prices
from cli.report.reports import Report, as_json, make_report
from cli.report.sources import Reader, Reading, Scope, parse_since
from cli.report.summary import print_summary
from cli.report.tables import write_images, write_pulls
from cli.terminal import count, harmless, make_console
from shared.clients.endpoint import Endpoints

_DEFAULT_SINCE: Final = "7d"
_MOST_SAID: Final = 20
"""The maximum of malformed lines on standard error; ``--json`` names more."""

_CLUSTER = re.compile(r"[a-z0-9/_:.-]+")


def report(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...|-]",
            help="Saved facts: results.jsonl, or output of gcloud logging read --format=json;"
            " - for standard input. Without: Cloud Logging.",
        ),
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="7d",
            help="Only facts from then on: 90m, 12h, 7d, or a time. Of Cloud Logging 7d,"
            " of files everything, unless given.",
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only facts of this cluster.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page that opens offline.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the figures, a row for each image.")
    ] = None,
    pulls: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a row for each pull, with its evidence, as CSV."),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="Your prices, instead of list prices."),
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, instead of a summary.")
    ] = False,
    project: ProjectOption = None,
) -> None:
    """Show the duration of each image's cold and streamed pulls, the saving, and faults to fix."""
    now = datetime.now(UTC)
    table = _read_prices(prices)
    scope = _make_scope(since or (None if files else _DEFAULT_SINCE), cluster, now)
    made = _make_report(
        files,
        scope,
        table,
        pulls,
        lambda reader: _read_log(reader, context.obj, project, scope, now),
    )
    if csv is not None:
        _write(csv, lambda path: write_images(path, made))
    if html is not None:
        _write_page(html, made)
    if json_output:
        typer.echo(json.dumps(as_json(made), indent=2))
    else:
        print_summary(make_console(), made)


report.__doc__ = f"{report.__doc__}\n\n{EXIT_CODES}"


def _make_report(
    files: list[str] | None,
    scope: Scope,
    prices: Prices,
    pulls: Path | None,
    read_log: Callable[[Reader], None],
) -> Report:
    """Return the report; the facts, which need as much memory as the page, end with the call."""
    facts = Facts()
    reader = Reader(facts, scope)
    if files:
        reader.read_files(files)
    else:
        read_log(reader)
    _tell(reader.reading, facts.settle())
    if files and reader.reading.is_unreadable:
        fail(ExitCode.UNREADABLE, "no entry is a fact")
    if pulls is not None:
        _write(pulls, lambda path: write_pulls(path, facts))
    return make_report(facts, reader.reading, prices)


def _read_prices(path: Path | None) -> Prices:
    if path is None:
        return Prices()
    try:
        return read_prices(path)
    except InvalidPricesError as exc:
        fail(ExitCode.MISCONFIGURED, f"{path}: {exc}")
    except OSError as exc:
        fail(ExitCode.UNREADABLE, f"{path}: {exc.strerror}")


def _make_scope(since: str | None, cluster: str | None, now: datetime) -> Scope:
    if cluster is not None and not _CLUSTER.fullmatch(cluster):
        fail(ExitCode.MISUSED, f"--cluster: not the name of a cluster: {cluster!r}")
    try:
        return Scope(None if since is None else parse_since(since, now), cluster)
    except (ValueError, OverflowError):
        fail(ExitCode.MISUSED, f"--since: neither a span such as 7d nor a time: {since!r}")


def _read_log(
    reader: Reader, environ: Mapping[str, str], project: str | None, scope: Scope, now: datetime
) -> None:
    settings = read_settings(environ, project)
    facts = FactReader(
        project or settings.deployment_project,
        emulator_host=Endpoints.from_environ(environ).logging,
    )
    if scope.since is None:
        raise RuntimeError("Cloud Logging needs a start time")
    reader.read_log(facts, scope.since, now)


def _tell(reading: Reading, twice: int) -> None:
    """Print the entries that were not counted, and the reason."""
    said = []
    if twice:
        said.append(count(twice, "copy", "copies"))
    if reading.others:
        said.append(count(reading.others, "entry that is not a fact", "entries that are not facts"))
    if reading.left_out:
        said.append(
            count(
                reading.left_out,
                "fact of another time or cluster",
                "facts of other times or clusters",
            )
        )
    if said:
        say(f"read {count(reading.entries, 'entry', 'entries')}; not counted: {', '.join(said)}")
    if not reading.malformed:
        return
    say(f"{count(reading.malformed, 'malformed line')}, left out:")
    for each in sorted(reading.named)[:_MOST_SAID]:
        say(f"  {harmless(each.source)}:{each.line}: {harmless(each.reason)}")
    if (more := reading.malformed - _MOST_SAID) > 0:
        say(f"  and {more} more")


def _write_page(path: Path, made: Report) -> None:
    from cli.report.page.pages import has_charts, make_page

    page = make_page(made)
    if not has_charts():
        say("note: the page has no charts: pipx inject prestream vl-convert-python adds them")
    _write(path, lambda path: path.write_text(page, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as exc:
        fail(ExitCode.UNREADABLE, f"{path}: {exc.strerror}")
    say(f"wrote {path}")
