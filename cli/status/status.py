"""prestream status: the state of each image, from the warmups that were observed."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from inspect import cleandoc
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.connect.clusters import ContextOption, resolve_clusters
from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.hub_pulls import HubPulls
from cli.exits import EXIT_CODES, ExitCode, say
from cli.input.duration import show_ago, show_since
from cli.status.cluster_groups import ClusterGroups, ClustersOption, reach_groups
from cli.status.image_counts import count_images, show_counts
from cli.status.poll import STYLES, make_mirrors, make_warmup_reader
from cli.status.resolved_image import ResolvedImage, resolve_images
from cli.status.wait import parse_images
from cli.status.warmup_reader import Problem, WarmupReader
from cli.status.warmup_state import Observation, WarmupState, combine
from cli.terminal import harmless, is_watched, make_console, make_side_console, show_bytes
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import InvalidReferenceError, WrittenImage, parse_reference
from shared.domain.image_state import STATES, UNDER_WAY
from shared.errors import ConfigurationError, EventError
from shared.settings.keys import Settings

_NARROW = 120
"""Columns of a terminal below which a table would break the names of images apart."""

_STATE_COLUMNS = 9

_DIGEST_COLUMNS = 19
"""The length of ``sha256:`` and twelve digits, as container tools show them."""


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
    Show what is warm, warming, waiting, held, due or failed now, in each cluster.

    An image is warm if a node that did not hold it pulled it within a period, or if Artifact
    Registry reports that it holds it. It is held if the last warmup found it on its node, so that
    the regional cache was not used. Anything that cannot be read is listed.
    """
    settings = read_settings(context.obj, project)
    clusters = resolve_clusters(context.obj, settings, clusters, context=kube_context)
    written = parse_images([image])[0] if image is not None else None
    places = reach_groups(context.obj, settings, clusters, kube_context, allow_unreached=True)
    now = datetime.now(UTC)
    watching = make_warmup_reader(context.obj, settings)
    with make_side_console().status("Looking") if is_watched() else _Nothing():
        seen = watching.look(places.clusters, now)
        hub_pulls = _count_hub_pulls(watching, now) if written is None else ()
    states = combine(seen.observations, now, watching.period)
    resolved: list[ResolvedImage] = []
    if written is not None:
        resolved = _resolve_images(context.obj, settings, written, places)
        states = [each for each in states if _is_of(each, written, resolved)]
    unread = {each.cluster for each in seen.problems if each.cluster}
    for problem in _distinct(seen.problems):
        say(f"note: {harmless(problem)}")
    if as_json:
        body = _as_json(states, seen.problems, places, resolved)
        body["hub_pulls"] = [each.as_json() for each in hub_pulls]
        typer.echo(json.dumps(body, indent=2))
    elif written is not None:
        _print_detail(written, states, resolved, now)
    else:
        _print_tables(states, places, unread, now)
        for each in hub_pulls:
            typer.echo(f"\n{each}")
    if unread or places.unreached:
        raise typer.Exit(ExitCode.UNAVAILABLE)


status.__doc__ = f"{cleandoc(status.__doc__ or '')}\n\n{EXIT_CODES}"


def _count_hub_pulls(reader: WarmupReader, now: datetime) -> tuple[HubPulls, ...]:
    """Return the pulls from Docker Hub; none if the log cannot be read, which is noted already."""
    try:
        return reader.count_hub_pulls(now)
    except EventError:
        return ()


class _Nothing:
    """Shows nothing, without a terminal."""

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


def _resolve_images(
    environ: Mapping[str, str], settings: Settings, image: WrittenImage, places: ClusterGroups
) -> list[ResolvedImage]:
    """Return the current version of an image, if its mirror can be read."""
    mirrors = make_mirrors(environ, settings)
    found = []
    for cluster in places.clusters:
        try:
            found.append(resolve_images(mirrors, image, cluster, datetime.now(UTC)))
        except ConfigurationError as exc:
            found.append(ResolvedImage(written=image, cluster=cluster.name, problem=str(exc)))
    return found


def _is_of(warmup: WarmupState, image: WrittenImage, resolved: Sequence[ResolvedImage]) -> bool:
    """Whether a warmup is of any version of an image."""
    for each in resolved:
        if str(each.cluster) == warmup.cluster and warmup.mirror and each.mirror:
            return warmup.mirror == each.mirror
    try:
        return parse_reference(warmup.image).name == image.reference.name
    except InvalidReferenceError:
        return False


def _distinct(problems: Sequence[Problem]) -> list[str]:
    return list(dict.fromkeys(map(str, problems)))


def _as_json(
    states: Sequence[WarmupState],
    problems: Sequence[Problem],
    places: ClusterGroups,
    resolved: Sequence[ResolvedImage],
) -> dict[str, object]:
    body: dict[str, object] = {
        "standings": [each.as_json() for each in states],
        "coverage": {
            str(each.name): count_images(_select(states, each.name)) for each in places.clusters
        },
        "unreached": list(places.unreached),
        "problems": _distinct(problems),
    }
    if resolved:
        body["meant"] = [
            {"cluster": str(each.cluster), "digest": each.digest, "problem": each.problem}
            for each in resolved
        ]
    return body


def _print_tables(
    states: Sequence[WarmupState], places: ClusterGroups, unread: Collection[str], now: datetime
) -> None:
    console = make_console()
    for number, cluster in enumerate(places.clusters):
        own = _select(states, cluster.name)
        if number:
            console.print()
        console.print(Text(harmless(str(cluster.name)), "bold"), soft_wrap=True)
        if not own:
            is_unread = str(cluster.name) in unread
            console.print("  could not be read" if is_unread else "  nothing was warmed here")
            continue
        if console.width < _NARROW:
            _print_lines(console, own, now)
        else:
            console.print(_make_table(own, now))
        console.print(Text(show_counts(count_images(own)), "dim"))


def _select(states: Sequence[WarmupState], cluster: ClusterName) -> list[WarmupState]:
    return [each for each in states if each.cluster == str(cluster)]


def _make_table(states: Sequence[WarmupState], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("IMAGE", "DIGEST", "TARGET", "STATE", "SINCE", "NEXT DUE", "LAST OUTCOME"):
        table.add_column(name, overflow="fold", no_wrap=name not in {"IMAGE", "LAST OUTCOME"})
    for each in sorted(states, key=_rank):
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


def _print_lines(console: Console, states: Sequence[WarmupState], now: datetime) -> None:
    """Print each image on lines of its own, where a table has no room for its name."""
    for each in sorted(states, key=_rank):
        state = (each.state.ljust(_STATE_COLUMNS), STYLES[each.state])
        console.print(Text.assemble(state, harmless(each.image)), soft_wrap=True)
        due = _show_due(each, now)
        facts = [harmless(each.target or "any target"), show_since(each.since, now)]
        facts += [f"next due {due}"] if due != "-" else []
        console.print(Padding(Text(", ".join(facts), "dim"), (0, 0, 0, _STATE_COLUMNS)))
        if (last := _show_last(each, now)) != "-":
            console.print(Padding(Text(harmless(last)), (0, 0, 0, _STATE_COLUMNS)))


def _rank(warmup: WarmupState) -> tuple[int, str]:
    return STATES.index(warmup.state), warmup.image


def _show_due(warmup: WarmupState, now: datetime) -> str:
    if warmup.under_way is not None and warmup.state not in UNDER_WAY:
        return warmup.under_way.progress
    postponed = warmup.last.not_before if warmup.state == "failed" and warmup.last else None
    due = warmup.due or postponed
    if due is None:
        return "-"
    return "now" if due <= now else show_ago(due, now)


def _show_last(warmup: WarmupState, now: datetime) -> str:
    last = warmup.last
    if last is None:
        return "-"
    text = last.outcome or "failed, why is not known"
    if last.progress == "bad" and last.reason:
        text += f": {last.reason}"
    return harmless(
        text
        if warmup.state in {"warm", "held", "failed", "due"}
        else f"{text}, {show_since(last.at, now)}"
    )


def _print_detail(
    image: WrittenImage,
    states: Sequence[WarmupState],
    resolved: Sequence[ResolvedImage],
    now: datetime,
) -> None:
    console = make_console()
    console.print(Text(harmless(image.text), "bold"), soft_wrap=True)
    for each in resolved:
        console.print()
        console.print(Text(harmless(str(each.cluster)), "bold"), soft_wrap=True)
        said = each.digest or f"not known: {each.problem}"
        console.print(Text(f"  means now   {harmless(said)}"), soft_wrap=True)
        if each.hint and each.digest is None:
            console.print(Text(f"              {harmless(each.hint)}"), soft_wrap=True)
        own = [warmup for warmup in states if warmup.cluster == str(each.cluster)]
        if not own:
            console.print("  nothing was warmed here")
        for warmup in own:
            _print_state(console, warmup, each, now)


def _print_state(
    console: Console, warmup: WarmupState, resolved: ResolvedImage, now: datetime
) -> None:
    text = Text.assemble(
        "  ", (warmup.state, STYLES[warmup.state]), f", {show_since(warmup.since, now)}"
    )
    text.append(f" on {harmless(warmup.target or 'any target')}")
    console.print(text, soft_wrap=True)
    digest = warmup.digest or "none: it came to no digest"
    if resolved.digest and warmup.digest and resolved.digest != warmup.digest:
        digest += " (another version than is meant now)"
    rows = [("pulled as", warmup.mirror or "-"), ("digest", digest)]
    rows.append(("next due", _show_due(warmup, now)))
    rows += [row for each in warmup.observations for row in _tell(each, now)]
    for name, value in rows:
        console.print(Text(f"    {name:<12}{harmless(value)}"), soft_wrap=True)


def _tell(observation: Observation, now: datetime) -> list[tuple[str, str]]:
    """Print one warmup, with the evidence of its fact."""
    what = observation.outcome or observation.progress
    job = f" by Job {observation.job}" if observation.job else ""
    rows = [("warmup", f"{what}{job}, {show_since(observation.at, now)}")]
    fact = observation.fact or {}
    seconds, size = fact.get("pull_seconds"), fact.get("image_bytes")
    if seconds is not None:
        streamed = f", {fact['streamed']}" if fact.get("streamed") else ""
        rows.append(
            ("pull", f"{seconds:.1f} s, {show_bytes(size)}{streamed}, on {fact.get('node')}")
        )
    for name, value in (("reason", observation.reason), ("hint", observation.hint)):
        if value:
            rows.append((name, value))
    if observation.not_before is not None:
        rows.append(("not before", show_ago(observation.not_before, now)))
    return rows
