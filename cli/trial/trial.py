"""prestream trial: show with one image whether a cluster streams, without a deployment."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli.connect.clusters import ClusterOption, ContextOption, reach_cluster
from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.fact_reader import FactReader
from cli.connect.repository_removal import RepositoryRemoval
from cli.doctor.google_reader import GoogleReader
from cli.exits import ExitCode, fail, say
from cli.input.duration import parse_duration
from cli.terminal import harmless
from cli.trial.cluster_project import find_project
from cli.trial.snapshotter_log import SnapshotterLog
from cli.trial.trial_command import TrialChoices, TrialCommand
from cli.trial.trial_image import TrialImages
from cli.trial.trial_run import Services
from shared.clients.endpoint import Endpoints
from shared.clients.prewarm_api import PrewarmingClient
from shared.clients.registry import RegistryClient
from shared.domain.image_reference import InvalidReferenceError, WrittenImage
from shared.errors import EventError, ImageError
from shared.settings.keys import Settings

_EXIT_CODES = (
    "Exit codes: 0 the second pull was streamed, or nothing was done; 1 it was not, or nothing"
    " shows it; 2 options that make no sense; 3 a file cannot be written; 4 an invalid"
    " configuration; 5 a cluster or a service does not answer, or refuses; 6 the image cannot be"
    " pulled, or there is no node for a second pull; 130 interrupted."
)


def trial(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="As a workload names it.")],
    *,
    cluster: ClusterOption = None,
    kube_context: ContextOption = None,
    project: ProjectOption = None,
    platform: Annotated[
        str | None,
        typer.Option("--platform", metavar="OS/ARCH", help="linux/amd64 or linux/arm64."),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, max=50, help="How often to make the second pull.")
    ] = 1,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="60m", help="The longest time for all pulls.")
    ] = "60m",
    folder: Annotated[
        Path, typer.Option("--folder", metavar="FOLDER", help="Where to write the files.")
    ] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the mirror and the namespace of the trial.")
    ] = False,
    open_questions: Annotated[
        bool, typer.Option("--open-questions", help="Add pulls that answer open questions.")
    ] = False,
    second_image: Annotated[
        str | None,
        typer.Option(
            "--second-image", metavar="IMAGE", help="An image that nothing pulled, to prewarm."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print trial.json.")] = False,
) -> None:
    """
    Compare a cold pull of an image with pulls through a mirror, in a cluster without Prestream.

    It checks what image streaming needs, shows its plan, and asks. Each pull runs on a node that
    provably does not hold the image: from the upstream, a first time through the mirror, and a
    second time. It prints the evidence, writes trial.json and trial.html, and removes what it
    created.
    """
    written = _parse_image(image)
    choices = TrialChoices(
        repeats=repeat,
        timeout=_parse_timeout(timeout),
        keep=keep,
        confirmed=yes,
        folder=folder,
        as_json=as_json,
        platform=platform,
        asks_questions=open_questions,
        second=_parse_image(second_image) if second_image else None,
    )
    if not folder.is_dir():
        fail(ExitCode.MISUSED, f"--folder: not a folder: {str(folder)!r}")
    environ: Mapping[str, str] = context.obj
    trial_id = f"prestream-trial-{secrets.token_hex(3)}"
    settings = _read_settings(
        environ, project or find_project(environ, cluster, kube_context), trial_id
    )
    reached = reach_cluster(environ, settings, cluster, kube_context)
    for note in reached.notes:
        say(f"note: {note}")
    endpoints = Endpoints.from_environ(environ)
    repositories = RepositoryRemoval(emulator_host=endpoints.artifact_registry)
    services = Services(
        settings=settings,
        cluster=reached.cluster,
        images=TrialImages(
            settings,
            reached.cluster.name,
            RegistryClient(emulator_host=endpoints.artifact_registry),
            repositories,
        ),
        repositories=repositories,
        prewarm_api=PrewarmingClient(emulator_host=endpoints.artifact_registry),
        log=SnapshotterLog(
            FactReader(
                reached.cluster.name.project, emulator_host=endpoints.logging, patience_s=5.0
            ),
            reached.cluster.name,
        ),
        say=say,
    )
    try:
        code = TrialCommand(services, choices, GoogleReader(endpoints), environ).run(written)
    except EventError as exc:
        fail(ExitCode.UNAVAILABLE, harmless(str(exc)))
    except ImageError as exc:
        fail(ExitCode.FAILED, harmless(f"{exc}\n{exc.hint}"))
    raise typer.Exit(code)


trial.__doc__ = f"{cleandoc(trial.__doc__ or '')}\n\n{_EXIT_CODES}"


def _read_settings(environ: Mapping[str, str], project: str | None, trial_id: str) -> Settings:
    """Return the settings of a trial: its own namespace, and a mirror for every upstream."""
    with_project = {"GOOGLE_CLOUD_PROJECT": project, **environ} if project else environ
    settings = read_settings(with_project, None)
    upstreams = {
        host: replace(upstream, is_mirrored=True) for host, upstream in settings.upstreams.items()
    }
    changes: dict[str, Any] = {"namespace": trial_id, "upstreams": upstreams}
    return msgspec.structs.replace(settings, **changes)


def _parse_image(text: str) -> WrittenImage:
    try:
        return WrittenImage.parse(text)
    except InvalidReferenceError as exc:
        fail(ExitCode.MISUSED, str(exc))


def _parse_timeout(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as exc:
        fail(ExitCode.MISUSED, f"--timeout: {exc}")
