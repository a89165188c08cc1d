"""prestream status: what is warm, warming, waiting, due or failed now, by what was seen of it."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from inspect import cleandoc
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.connect.clusters import ContextOption
from cli.connect.configuration import ProjectOption, read_settings
from cli.exits import EXIT_CODES, ExitCode, say
from cli.input.duration import show_ago, show_since
from cli.status.following import STYLES, make_mirrors, make_watching
from cli.status.places import ClustersOption, Places, reach_places
from cli.status.standing import Meant, Problem, find_meant
from cli.status.standings import STATES, UNDER_WAY, Sighting, Standing, combine
from cli.status.wait import parse_images
from cli.terminal import count, harmless, is_watched, make_console, make_side_console, show_bytes
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.written_image import WrittenImage
from shared.errors import ConfigurationError
from shared.settings.keys import Settings

_DIGEST_COLUMNS = 19
"""Of ``sha256:`` and twelve digits, as container tools show them."""


def status(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    image: Annotated[
        str | None, typer.Argument(metavar="[IMAGE]", help="One image, in detail.")
    ] = None,
    *,
    clusters: ClustersOption = None,
    kube_context: ContextOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    project: ProjectOption = None,
) -> None:
    """
    Show what is warm, warming, waiting, due or failed now, in each cluster.

    Warm is only what was seen warm: its pull ended well less than a period ago, or Artifact
    Registry says that it holds it. What could not be read is said.
    """
    settings = read_settings(context.obj, project)
    written = parse_images([image])[0] if image is not None else None
    places = reach_places(context.obj, settings, clusters, kube_context, allow_unreached=True)
    now = datetime.now(UTC)
    watching = make_watching(context.obj, settings)
    with make_side_console().status("Looking") if is_watched() else _Nothing():
        seen = watching.look(places.clusters, now)
    standings = combine(seen.sightings, now, watching.period)
    meant: list[Meant] = []
    if written is not None:
        meant = _find_meant(context.obj, settings, written, places)
        standings = [each for each in standings if _is_of(each, written, meant)]
    unread = {each.cluster for each in seen.problems if each.cluster}
    for problem in _distinct(seen.problems):
        say(f"note: {harmless(problem)}")
    if as_json:
        typer.echo(json.dumps(_as_json(standings, seen.problems, places, meant), indent=2))
    elif written is not None:
        _print_detail(written, standings, meant, now)
    else:
        _print_tables(standings, places, unread, now)
    if unread or places.unreached:
        raise typer.Exit(ExitCode.UNAVAILABLE)


status.__doc__ = f"{cleandoc(status.__doc__ or '')}\n\n{EXIT_CODES}"


class _Nothing:
    """Shows nothing, where nobody watches."""

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


def _find_meant(
    environ: Mapping[str, str], settings: Settings, image: WrittenImage, places: Places
) -> list[Meant]:
    """Tell which version of an image is meant now, where that can be asked."""
    mirrors = make_mirrors(environ, settings)
    found = []
    for cluster in places.clusters:
        try:
            found.append(find_meant(mirrors, image, cluster.name))
        except ConfigurationError as exc:
            found.append(Meant(written=image, cluster=cluster.name, problem=str(exc)))
    return found


def _is_of(standing: Standing, image: WrittenImage, meant: Sequence[Meant]) -> bool:
    """Whether it is about an image, in whatever version."""
    for each in meant:
        if str(each.cluster) == standing.cluster and standing.mirror and each.mirror:
            return standing.mirror == each.mirror
    try:
        return parse_reference(standing.image).name == image.reference.name
    except InvalidReferenceError:
        return False


def _distinct(problems: Sequence[Problem]) -> list[str]:
    return list(dict.fromkeys(map(str, problems)))


def _as_json(
    standings: Sequence[Standing],
    problems: Sequence[Problem],
    places: Places,
    meant: Sequence[Meant],
) -> dict[str, object]:
    body: dict[str, object] = {
        "standings": [each.as_json() for each in standings],
        "unreached": list(places.unreached),
        "problems": _distinct(problems),
    }
    if meant:
        body["meant"] = [
            {"cluster": str(each.cluster), "digest": each.digest, "problem": each.problem}
            for each in meant
        ]
    return body


def _print_tables(
    standings: Sequence[Standing], places: Places, unread: Collection[str], now: datetime
) -> None:
    console = make_console()
    for number, cluster in enumerate(places.clusters):
        own = [each for each in standings if each.cluster == str(cluster.name)]
        if number:
            console.print()
        console.print(Text(harmless(str(cluster.name)), "bold"), soft_wrap=True)
        if not own:
            is_unread = str(cluster.name) in unread
            console.print("  could not be read" if is_unread else "  nothing was warmed here")
            continue
        console.print(_make_table(own, now))
        numbers = [(sum(each.state == name for each in own), name) for name in STATES]
        told = ", ".join(f"{number} {name}" for number, name in numbers if number)
        console.print(Text(f"{count(len(own), 'row')}: {told}", "dim"))


def _make_table(standings: Sequence[Standing], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("IMAGE", "DIGEST", "TARGET", "STATE", "SINCE", "NEXT DUE", "LAST OUTCOME"):
        table.add_column(name, overflow="fold", no_wrap=name not in {"IMAGE", "LAST OUTCOME"})
    for each in sorted(standings, key=lambda each: (STATES.index(each.state), each.image)):
        table.add_row(
            harmless(each.image),
            harmless((each.digest or "-")[:_DIGEST_COLUMNS]),
            harmless(each.target or "any"),
            Text(each.state, STYLES[each.state]),
            show_since(each.since, now),
            _show_due(each, now),
            _show_last(each, now),
        )
    return table


def _show_due(standing: Standing, now: datetime) -> str:
    if standing.under_way is not None and standing.state not in UNDER_WAY:
        return standing.under_way.progress
    if standing.due is None:
        return "-"
    return "now" if standing.due <= now else show_ago(standing.due, now)


def _show_last(standing: Standing, now: datetime) -> str:
    last = standing.last
    if last is None:
        return "-"
    text = last.outcome or "failed, why is not known"
    if last.progress == "bad" and last.reason:
        text += f": {last.reason}"
    return harmless(
        text
        if standing.state in {"warm", "failed", "due"}
        else f"{text}, {show_since(last.at, now)}"
    )


def _print_detail(
    image: WrittenImage, standings: Sequence[Standing], meant: Sequence[Meant], now: datetime
) -> None:
    console = make_console()
    console.print(Text(harmless(image.text), "bold"), soft_wrap=True)
    for each in meant:
        console.print()
        console.print(Text(harmless(str(each.cluster)), "bold"), soft_wrap=True)
        said = each.digest or f"not known: {each.problem}"
        console.print(Text(f"  means now   {harmless(said)}"), soft_wrap=True)
        if each.hint and each.digest is None:
            console.print(Text(f"              {harmless(each.hint)}"), soft_wrap=True)
        own = [standing for standing in standings if standing.cluster == str(each.cluster)]
        if not own:
            console.print("  nothing was warmed here")
        for standing in own:
            _print_standing(console, standing, each, now)


def _print_standing(console: Console, standing: Standing, meant: Meant, now: datetime) -> None:
    text = Text.assemble(
        "  ", (standing.state, STYLES[standing.state]), f", {show_since(standing.since, now)}"
    )
    text.append(f" on {harmless(standing.target or 'any target')}")
    console.print(text, soft_wrap=True)
    digest = standing.digest or "none: it came to no digest"
    if meant.digest and standing.digest and meant.digest != standing.digest:
        digest += " (another version than is meant now)"
    rows = [("pulled as", standing.mirror or "-"), ("digest", digest)]
    rows.append(("next due", _show_due(standing, now)))
    rows += [row for each in standing.sightings for row in _tell(each, now)]
    for name, value in rows:
        console.print(Text(f"    {name:<10}{harmless(value)}"), soft_wrap=True)


def _tell(sighting: Sighting, now: datetime) -> list[tuple[str, str]]:
    """Tell of one warmup, with the evidence of its fact."""
    what = sighting.outcome or sighting.progress
    job = f" by Job {sighting.job}" if sighting.job else ""
    rows = [("warmup", f"{what}{job}, {show_since(sighting.at, now)}")]
    fact = sighting.fact or {}
    seconds, size = fact.get("pull_seconds"), fact.get("image_bytes")
    if seconds is not None:
        streamed = f", {fact['streamed']}" if fact.get("streamed") else ""
        rows.append(
            ("pull", f"{seconds:.1f} s, {show_bytes(size)}{streamed}, on {fact.get('node')}")
        )
    for name, value in (("reason", sighting.reason), ("hint", sighting.hint)):
        if value:
            rows.append((name, value))
    if sighting.not_before is not None:
        rows.append(("not before", show_ago(sighting.not_before, now)))
    return rows
