"""
prestream plan: show what Prestream would do, and change nothing.

A user can run it before a deployment, before a manifest is applied, or for entries of a log.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import cleandoc
from typing import Annotated

import msgspec
import typer
from rich.progress import track

from cli.connect.clusters import (
    ClusterOption,
    ContextOption,
    Reached,
    parse_cluster,
    reach_cluster,
    resolve_clusters,
)
from cli.connect.configuration import LocationOption, ProjectOption, pick_location, read_settings
from cli.connect.credentials import has_credentials
from cli.exits import EXIT_CODES, ExitCode, fail
from cli.input.log_export import STANDARD_INPUT
from cli.plan.image_plan import PlannedImage, Planner, PlanRequest
from cli.plan.plan_input import PlanInput, gather_cluster, gather_exports, gather_manifests
from cli.plan.plan_output import Plan, print_plan
from cli.terminal import is_watched, make_side_console
from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.endpoint import Endpoints
from shared.clients.prewarm_api import PrewarmingClient
from shared.clients.registry import RegistryClient
from shared.domain.cluster import ClusterName
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.prewarm_artifact import PrewarmRung
from shared.pipeline.warmup_lookup import WarmupLookup
from shared.settings.keys import Settings

_OFFLINE = "no service was asked (--offline)"
_NO_CREDENTIALS = (
    "no service was asked: credentials are missing (gcloud auth application-default login)"
)


@dataclass(frozen=True, slots=True)
class _Scene:
    """The settings, cluster and location of a plan."""

    settings: Settings
    reached: Reached | None
    """The cluster, if it is read."""
    location: str | None
    """The location of the cluster, or else of the mirrors."""


def plan(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    *,
    manifests: Annotated[
        list[str] | None,
        typer.Option("-f", "--filename", metavar="FILE|-", help="Manifests, as for kubectl apply."),
    ] = None,
    exports: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="FILE|-", help="Saved log entries, builds and messages."),
    ] = None,
    cluster: ClusterOption = None,
    kube_context: ContextOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no service and no cluster.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    project: ProjectOption = None,
    location: LocationOption = None,
) -> None:
    """
    Show what Prestream would do, and change nothing.

    It reads a cluster (kubectl's, unless --context or --cluster names another), or manifests (-f),
    or saved log entries (--from). For files, a named cluster determines where images would be
    warmed. Values that cannot be read are shown as unknown.
    """
    _check(manifests, exports, offline=offline)
    settings = read_settings(context.obj, project)
    if location:
        located = pick_location(settings, location)
        settings = msgspec.structs.replace(settings, location=located)
    named = [cluster] if cluster else []
    cluster = next(iter(resolve_clusters(context.obj, settings, named, offline=offline)), None)
    reads_cluster = not (manifests or exports)
    reached = None
    if not offline and (reads_cluster or cluster or kube_context):
        reached = reach_cluster(context.obj, settings, cluster, kube_context)
    scene = _Scene(settings, reached, _find_location(settings, reached, cluster))
    if manifests:
        where = scene.location or pick_location(settings, None)
        material = gather_manifests(manifests, settings, reached, where)
    elif exports:
        material = gather_exports(exports, settings, reached)
    elif reached is not None:
        material = gather_cluster(reached, settings)
    else:
        fail(ExitCode.MISUSED, "--offline does not read a cluster: name files with -f or --from")
    planned = _plan(material, scene, context.obj, offline=_OFFLINE if offline else None)
    if as_json:
        typer.echo(json.dumps(planned.as_json(), indent=2))
    else:
        print_plan(planned)
    if planned.material.rejected:
        raise typer.Exit(ExitCode.UNREADABLE)


plan.__doc__ = f"{cleandoc(plan.__doc__ or '')}\n\n{EXIT_CODES}"


def _check(manifests: list[str] | None, exports: list[str] | None, *, offline: bool) -> None:
    if manifests and exports:
        fail(ExitCode.MISUSED, "-f and --from exclude each other")
    if offline and not (manifests or exports):
        fail(ExitCode.MISUSED, "--offline does not read a cluster: name files with -f or --from")
    if (manifests or exports or []).count(STANDARD_INPUT) > 1:
        fail(ExitCode.MISUSED, "standard input can be read once only")


def _find_location(settings: Settings, reached: Reached | None, cluster: str | None) -> str | None:
    """Return the location of the cluster, or else of all mirrors; None if neither is known."""
    if reached is not None:
        return reached.cluster.name.location
    if cluster is not None:
        return parse_cluster(cluster).location
    return None if settings.location in {"region", "multi-region"} else settings.location


def _plan(
    material: PlanInput, scene: _Scene, environ: Mapping[str, str], *, offline: str | None
) -> Plan:
    endpoints = Endpoints.from_environ(environ)
    if offline is None and endpoints.artifact_registry is None and not has_credentials():
        offline = _NO_CREDENTIALS
    repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
    settings = scene.settings
    prewarm_api = PrewarmingClient(emulator_host=endpoints.artifact_registry)
    execute = Executor(prewarm_api=prewarm_api, dry_run=True)
    mirrors = Mirrors(
        settings,
        registry=RegistryClient(emulator_host=endpoints.artifact_registry),
        repositories=lambda: repositories,
        execute=execute,
    )
    prewarm = PrewarmRung(prewarm_api, execute, settings.prewarm_days)
    planning = Planner(
        settings,
        lookup=WarmupLookup(settings, mirrors, prewarm, reads_for_creation=False),
        offline=offline,
        now=datetime.now(UTC),
    )
    images = list(_plan_images(material.requests, planning, scene))
    locations = dict.fromkeys(_locate(each.cluster, scene) for each in images if each.is_warmed)
    problems = [planning.check_helper(each) for each in locations]
    notes = (*material.notes, *(each for each in problems if each is not None))
    return Plan(material, scene.settings, tuple(images), planning.mirrors, offline, notes)


def _plan_images(
    requests: Iterable[PlanRequest], planning: Planner, scene: _Scene
) -> Iterable[PlannedImage]:
    groups: dict[tuple[str, str | None], list[PlanRequest]] = {}
    for requested in requests:
        groups.setdefault((requested.request.image, requested.request.cluster), []).append(
            requested
        )
    reached = scene.reached
    for (_, name), group in track(
        groups.items(),
        "Asking the mirrors",
        console=make_side_console(),
        transient=True,
        disable=not is_watched(),
    ):
        is_reached = reached is not None and name in {None, str(reached.cluster.name)}
        cluster = reached.cluster if reached is not None and is_reached else None
        yield planning.plan(group, cluster, _locate(name, scene))


def _locate(cluster: str | None, scene: _Scene) -> str | None:
    return ClusterName.parse(cluster).location if cluster else scene.location
