"""
prestream replay: run saved entries through the detectors again.

It shows why an image was warmed or not, and recovers the entries that the functions missed
because of a fault that is now fixed.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Annotated, Any

import typer
from rich.progress import track
from rich.text import Text

from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.service_error import explain
from cli.exits import EXIT_CODES, ExitCode, fail
from cli.input.log_export import STANDARD_INPUT, label_of, read_files
from cli.input.saved_events import Replayed, Replayer
from cli.terminal import count, harmless, is_watched, join_some, make_console, make_side_console
from shared.clients.endpoint import Endpoints
from shared.clients.publisher import REFERENCES_TOPIC, ReferencePublisher
from shared.domain.request import ReferenceRequest
from shared.errors import EventError
from shared.settings.keys import Settings

_BATCH = 500
"""References per publish call; a late failure keeps the earlier batches."""

_SLOW = 4
"""Batches that take longer than a second."""

_LINE_COLUMNS = 7
_FUNCTION_COLUMNS = 20
_DISPOSITION_COLUMNS = 11

_STYLES = {"handled": "green", "ignored": "dim", "rejected": "red", "undecided": "yellow"}


@dataclass(slots=True)
class _Tally:
    """The results of all entries."""

    dispositions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """The reasons of ignored entries."""
    rejected: list[tuple[str, int, str]] = field(default_factory=list)
    """File, line and reason."""
    requests: dict[Any, ReferenceRequest] = field(default_factory=dict)
    """The requests to publish, each image once per cluster and placement."""
    published: int = 0

    def add(self, name: str, replayed: Replayed) -> None:
        self.dispositions[replayed.disposition] += 1
        if replayed.disposition == "ignored":
            # The part after the colon is specific to one entry.
            self.reasons[replayed.reason.partition(": ")[0]] += 1
        if replayed.disposition == "rejected":
            self.rejected.append((name, replayed.line, replayed.reason))
        for each in replayed.requests:
            key = (each.reference, each.cluster, each.placement, each.platform, each.force)
            self.requests.setdefault(key, each)

    def as_json(self) -> dict[str, Any]:
        rejected = [
            {"file": name, "line": line, "reason": reason} for name, line, reason in self.rejected
        ]
        return {
            "entries": self.dispositions.total(),
            **{name: self.dispositions[name] for name in _STYLES},
            "ignored_by_reason": dict(self.reasons.most_common()),
            "rejected_entries": rejected,
            "references": len(self.requests),
            "published": self.published,
        }


def replay(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...|-",
            help="JSON saved by gcloud: log entries, builds, messages; - for standard input.",
        ),
    ],
    *,
    publish: Annotated[
        bool, typer.Option("--publish", help="Publish the references, after asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --publish: do not ask.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each entry, and a summary.")
    ] = False,
    project: ProjectOption = None,
) -> None:
    """
    Run saved log entries, builds, pushes and messages through the detectors again.

    It prints what the functions would log and publish, and changes nothing unless --publish is
    given. It names each broken entry with its line, and continues.
    """
    if publish and STANDARD_INPUT in files and not yes:
        fail(ExitCode.MISUSED, "--publish cannot ask while it reads standard input: add --yes")
    settings = read_settings(context.obj, project)
    tally, replayer = _Tally(), Replayer(settings)
    show = _print_json if as_json else _Lines(files)
    # On a terminal, the lines themselves show the progress.
    for name, found in read_files(files, is_shown=not sys.stdout.isatty()):
        replayed = replayer.replay(found)
        tally.add(name, replayed)
        show(name, replayed)
    if publish and tally.requests and (yes or _asks(settings, len(tally.requests))):
        _publish(tally, settings, context.obj)
    if as_json:
        typer.echo(json.dumps({"summary": tally.as_json()}))
    else:
        _print_summary(tally, is_dry=not publish)
    if tally.rejected:
        raise typer.Exit(ExitCode.UNREADABLE)


replay.__doc__ = f"{cleandoc(replay.__doc__ or '')}\n\n{EXIT_CODES}"


class _Lines:
    """Prints a line for each entry."""

    def __init__(self, files: list[str]) -> None:
        self._console = make_console()
        self._width = max(len(label_of(each)) for each in files) + _LINE_COLUMNS

    def __call__(self, name: str, replayed: Replayed) -> None:
        style = _STYLES[replayed.disposition]
        text = Text.assemble(
            (f"{harmless(name)}:{replayed.line}".ljust(self._width), "dim"),
            ("  " + (replayed.function or "-").ljust(_FUNCTION_COLUMNS)),
            (replayed.disposition.ljust(_DISPOSITION_COLUMNS), style),
            harmless(_describe(replayed)),
        )
        self._console.print(text, soft_wrap=True)


def _describe(replayed: Replayed) -> str:
    """Return one line: the action, or the reason against it."""
    details = replayed.details
    if replayed.disposition != "handled":
        return replayed.reason
    if not replayed.requests:
        return f"would write {details.get('fact') or 'a fact'} of {details.get('image')}"
    told = [f"would publish {join_some(each.image for each in replayed.requests)}"]
    for name, what in (("excluded", "excluded"), ("invalid_images", "invalid")):
        if details.get(name):
            told.append(f"{count(details[name], 'image')} {what}")
    return "; ".join(told)


def _print_json(name: str, replayed: Replayed) -> None:
    typer.echo(json.dumps({"file": name, **replayed.as_json()}, default=str))


def _print_summary(tally: _Tally, *, is_dry: bool) -> None:
    console = make_console()
    numbers = tally.dispositions
    told = ", ".join(f"{numbers[each]} {each}" for each in _STYLES if numbers[each])
    total = count(numbers.total(), "entry", "entries")
    console.print(Text(f"\n{total}" + (f": {told}" if told else ""), "bold"))
    for reason, number in tally.reasons.most_common():
        console.print(Text(f"{number:>8} ignored: {harmless(reason)}"), soft_wrap=True)
    for name in dict.fromkeys(name for name, _, _ in tally.rejected):
        lines = [str(line) for each, line, _ in tally.rejected if each == name]
        text = f"rejected in {harmless(name)}: line{'s' * (len(lines) > 1)} {', '.join(lines)}"
        console.print(Text(f"{len(lines):>8} {text}", "red"), soft_wrap=True)
    references = count(len(tally.requests), "reference")
    if is_dry:
        said = f"{references} would be published (--publish does)" if tally.requests else ""
    else:
        said = f"{tally.published} of {references} published"
    console.print(Text(said or "Nothing would be published."), soft_wrap=True)


def _asks(settings: Settings, number: int) -> bool:
    topic = f"projects/{settings.deployment_project}/topics/{REFERENCES_TOPIC}"
    return typer.confirm(f"Publish {count(number, 'reference')} to {topic}?", err=True)


def _publish(tally: _Tally, settings: Settings, environ: Mapping[str, str]) -> None:
    """
    Publish the requests of the entries.

    Raises:
        typer.Exit: Pub/Sub does not take it; says how much it took.
    """
    publisher = ReferencePublisher(
        settings.deployment_project, emulator_host=Endpoints.from_environ(environ).pubsub
    )
    requests = list(tally.requests.values())
    starts = range(0, len(requests), _BATCH)
    for start in track(
        starts,
        "Publishing",
        console=make_side_console(),
        transient=True,
        disable=len(starts) < _SLOW or not is_watched(),
    ):
        batch = requests[start : start + _BATCH]
        try:
            publisher.publish(batch)
        except EventError as exc:
            done = f"{tally.published} of {count(len(requests), 'reference')} published"
            fail(ExitCode.UNAVAILABLE, f"{done}: {explain(exc)}")
        tally.published += len(batch)
