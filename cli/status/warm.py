"""
prestream warm: request warmups of images, and follow them.

It publishes the messages that the detectors publish; the functions do the rest.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.connect.clusters import ContextOption, parse_cluster, resolve_clusters
from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.service_error import explain
from cli.exits import EXIT_CODES, ExitCode, fail, say
from cli.status.cluster_groups import ClusterGroups, ClustersOption, reach_groups
from cli.status.poll import (
    Poller,
    WaitRequest,
    exit_code,
    follow,
    is_all_settled,
    make_mirrors,
    make_warmup_reader,
)
from cli.status.wait import (
    ImagesArgument,
    TargetsOption,
    TimeoutOption,
    parse_images,
    parse_timeout,
    print_answers,
)
from cli.status.wait_condition import Baseline, WaitResult
from cli.terminal import harmless, make_console
from shared.clients.endpoint import Endpoints
from shared.clients.publisher import ReferencePublisher
from shared.domain.ladder import find_targets
from shared.domain.node import Node
from shared.domain.placement import ACCELERATOR_KEY, Placement
from shared.domain.request import ReferenceRequest
from shared.errors import EventError
from shared.pipeline.resolved_request import name_aliases
from shared.settings.keys import Settings

_PLATFORMS = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True, slots=True)
class _Published:
    """A published message."""

    request: ReferenceRequest
    message_id: str

    def as_json(self) -> dict[str, Any]:
        return {"message_id": self.message_id, **self.request.as_json()}


def warm(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    images: ImagesArgument,
    *,
    clusters: ClustersOption = None,
    kube_context: ContextOption = None,
    targets: TargetsOption = None,
    platform: Annotated[
        str | None,
        typer.Option("--platform", metavar="OS/ARCH", help="linux/amd64 or linux/arm64."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Warm images again that are warm already.")
    ] = False,
    waits: Annotated[
        bool, typer.Option("--wait", help="Wait until each image was observed warm, or failed.")
    ] = False,
    timeout: TimeoutOption = "30m",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    project: ProjectOption = None,
) -> None:
    """
    Request warmups of images, in the watched clusters or those that the options name.

    With --wait, the command succeeds only after each image was observed warm. Images that are warm
    already are skipped unless --force is given. The allow-list of upstreams always applies.
    """
    if platform is not None and platform not in _PLATFORMS:
        fail(ExitCode.MISUSED, f"--platform: neither {' nor '.join(_PLATFORMS)}: {platform!r}")
    settings = read_settings(context.obj, project)
    clusters = resolve_clusters(context.obj, settings, clusters, context=kube_context)
    written, patience = parse_images(images), parse_timeout(timeout)
    if settings.dry_run:
        say("note: dry_run is on in prestream.yaml, so the functions will change nothing")
    places = None
    if waits or kube_context or (targets and settings.targets == "auto"):
        places = reach_groups(context.obj, settings, clusters, kube_context)
    where = _find_where(settings, places, clusters, kube_context, targets or [])
    requests = [
        ReferenceRequest(
            image=image.text,
            reference=image.reference,
            cluster=cluster,
            placement=placement,
            platform=platform,
            force=force,
        )
        for image in written
        for cluster, placement in where
    ]
    if places is None or not waits:
        _finish(_publish(requests, settings, context.obj), as_json=as_json)
        return
    looker = Poller(
        WaitRequest(written, places, tuple(targets or ())),
        make_warmup_reader(context.obj, settings),
        make_mirrors(context.obj, settings),
        aliases=name_aliases(settings),
    )
    earlier = Baseline.of(looker.look()[0], force=force)
    published = _publish(requests, settings, context.obj)
    if not as_json:
        _print(published)
    answers = follow(lambda: looker.answer(earlier), timeout=patience, is_settled=is_all_settled)
    _finish(published, answers, as_json=as_json)


warm.__doc__ = f"{cleandoc(warm.__doc__ or '')}\n\n{EXIT_CODES}"


def _find_where(
    settings: Settings,
    places: ClusterGroups | None,
    clusters: Sequence[str] | None,
    kube_context: str | None,
    targets: Sequence[str],
) -> list[tuple[str | None, Placement | None]]:
    """
    Return the clusters and placements to publish for; None leaves them to the functions.

    Raises:
        typer.Exit: The target does not exist.
    """
    names: list[str | None] = [str(parse_cluster(each)) for each in clusters or ()]
    if places is not None and kube_context is not None:
        names = [each.name for each in places.groups]
    if not targets:
        return [(name, None) for name in names or [None]]
    if settings.targets != "auto":
        known = settings.targets
        if unknown := [each for each in targets if each not in known]:
            fail(ExitCode.MISUSED, _no_target(unknown[0], known))
        return [(name, known[each]) for name in names or [None] for each in targets]
    if places is None:
        raise RuntimeError("targets are found among the nodes of clusters")
    return _find_on_nodes(places, targets)


def _find_on_nodes(
    places: ClusterGroups, targets: Sequence[str]
) -> list[tuple[str | None, Placement | None]]:
    """Return for each target one cluster of each group whose nodes have it."""
    found: list[tuple[str | None, Placement | None]] = []
    known: dict[str, dict[str, Placement]] = {}
    for cluster in places.clusters:
        try:
            nodes = [Node.from_body(body) for body in cluster.list_nodes(ACCELERATOR_KEY)]
        except EventError as exc:
            fail(ExitCode.UNAVAILABLE, explain(exc))
        known[str(cluster.name)] = {str(each.name): each for each in find_targets(nodes)}
    for target in targets:
        for group in places.groups:
            having = [str(each) for each in group.clusters if target in known[str(each)]]
            if having:
                found.append((having[0], known[having[0]][target]))
        if not any(target in each for each in known.values()):
            fail(
                ExitCode.MISUSED,
                _no_target(target, [name for each in known.values() for name in each]),
            )
    return found


def _no_target(target: str, known: Iterable[str]) -> str:
    return f"--target: target {target!r} does not exist; known: {', '.join(sorted(set(known)))}"


def _publish(
    requests: Sequence[ReferenceRequest], settings: Settings, environ: Mapping[str, str]
) -> list[_Published]:
    """
    Publish the requests.

    Raises:
        typer.Exit: Pub/Sub does not take them.
    """
    publisher = ReferencePublisher(
        settings.deployment_project, emulator_host=Endpoints.from_environ(environ).pubsub
    )
    try:
        ids = publisher.send(requests)
    except EventError as exc:
        fail(ExitCode.UNAVAILABLE, explain(exc))
    return [_Published(each, number) for each, number in zip(requests, ids, strict=True)]


def _print(published: Sequence[_Published]) -> None:
    console = make_console()
    for each in published:
        request = each.request
        where = request.cluster or "the watched clusters"
        target = f", target {request.placement.name}" if request.placement else ""
        text = f"asked for {request.image} in {where}{target} (message {each.message_id})"
        console.print(Text(harmless(text)), soft_wrap=True)


def _finish(
    published: Sequence[_Published], answers: Sequence[WaitResult] | None = None, *, as_json: bool
) -> None:
    """
    Print the published requests, unless that was done, and their answers.

    Raises:
        typer.Exit: Not all came out well.
    """
    if as_json:
        body: dict[str, Any] = {"published": [each.as_json() for each in published]}
        if answers is not None:
            body["answers"] = [each.as_json() for each in answers]
        typer.echo(json.dumps(body, indent=2))
    elif answers is None:
        _print(published)
    else:
        print_answers(answers, as_json=False)
    if answers is not None:
        raise typer.Exit(exit_code(answers))
