"""
prestream wait: the gate before a rollout.

It succeeds only if every image is warm, in the version that a node would pull now.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from inspect import cleandoc
from typing import Annotated

import typer

from cli.connect.clusters import ContextOption, resolve_clusters
from cli.connect.configuration import ProjectOption, read_settings
from cli.exits import EXIT_CODES, ExitCode, fail, say
from cli.input.duration import parse_duration
from cli.status.cluster_groups import ClustersOption, reach_groups
from cli.status.poll import (
    Poller,
    WaitRequest,
    describe,
    exit_code,
    follow,
    is_decided,
    make_mirrors,
    make_warmup_reader,
)
from cli.status.wait_condition import Baseline, WaitResult
from cli.terminal import make_console
from shared.domain.image_reference import InvalidReferenceError, WrittenImage
from shared.pipeline.resolved_request import name_aliases

ImagesArgument = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Images, as workloads name them.")
]

TargetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="A target, by the name that prestream status shows; may be given several times.",
    ),
]

TimeoutOption = Annotated[
    str,
    typer.Option("--timeout", metavar="10m", help="How long to wait: 90s, 10m, 1h30m; 0s to look."),
]


def wait(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    images: ImagesArgument,
    *,
    timeout: TimeoutOption = "10m",
    clusters: ClustersOption = None,
    kube_context: ContextOption = None,
    targets: TargetsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    project: ProjectOption = None,
) -> None:
    """
    Wait until images are warm; succeed only if each was observed warm.

    It does not request warmups (prestream warm does), and ends at once if a warmup failed and no
    other is in progress. Without --target, the image must be warm on every target requested in
    the current period (at least one).
    """
    settings = read_settings(context.obj, project)
    clusters = resolve_clusters(context.obj, settings, clusters, context=kube_context)
    written, patience = parse_images(images), parse_timeout(timeout)
    if settings.dry_run:
        say("note: dry_run is on in prestream.yaml, so nothing is being warmed")
    places = reach_groups(context.obj, settings, clusters, kube_context)
    looker = Poller(
        WaitRequest(written, places, tuple(targets or ())),
        make_warmup_reader(context.obj, settings),
        make_mirrors(context.obj, settings),
        aliases=name_aliases(settings),
    )
    answers = follow(lambda: looker.answer(Baseline()), timeout=patience, is_settled=is_decided)
    print_answers(answers, as_json=as_json)
    raise typer.Exit(exit_code(answers))


wait.__doc__ = f"{cleandoc(wait.__doc__ or '')}\n\n{EXIT_CODES}"


def parse_images(images: Sequence[str]) -> tuple[WrittenImage, ...]:
    """
    Parse the images of a command, each once.

    Raises:
        typer.Exit: A text is not an image reference.
    """
    try:
        return tuple(WrittenImage.parse(each) for each in dict.fromkeys(images))
    except InvalidReferenceError as exc:
        fail(ExitCode.MISUSED, str(exc))


def parse_timeout(text: str) -> timedelta:
    """
    Parse the timeout of a command.

    Raises:
        typer.Exit: The text is not a duration.
    """
    try:
        return parse_duration(text)
    except ValueError as exc:
        fail(ExitCode.MISUSED, f"--timeout: {exc}")


def print_answers(answers: Sequence[WaitResult], *, as_json: bool) -> None:
    """Print the state of each image in each cluster or region."""
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in answers], indent=2))
        return
    console = make_console()
    for each in answers:
        console.print(describe(each), soft_wrap=True)
