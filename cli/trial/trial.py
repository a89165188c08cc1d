"""prestream trial: show with one image whether a cluster streams, without a deployment."""

import json
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from inspect import cleandoc
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from cli.connect.clusters import ClusterOption, ContextOption, reach_cluster
from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.fact_reader import FactReader
from cli.connect.repository_removal import RepositoryRemoval
from cli.doctor.google_reader import GoogleReader
from cli.exits import ExitCode, fail, say
from cli.input.duration import parse_duration
from cli.terminal import harmless, make_console, make_side_console
from cli.trial.cluster_project import find_project
from cli.trial.prerequisites import check_prerequisites
from cli.trial.simulation import is_simulated
from cli.trial.snapshotter_log import SnapshotterLog
from cli.trial.trial_files import TrialRecord, write_files
from cli.trial.trial_image import TrialImage, TrialImages
from cli.trial.trial_intro import Introduction, print_introduction
from cli.trial.trial_plan import TrialOptions
from cli.trial.trial_run import Services, TrialRun, TrialState
from cli.trial.trial_table import print_results, print_summary
from shared.clients.endpoint import Endpoints
from shared.clients.registry import RegistryClient
from shared.domain.image_reference import InvalidReferenceError, WrittenImage
from shared.errors import EventError, ImageError
from shared.settings.keys import Settings

_INTERRUPTED = 130
"""The exit code of a shell for a program that Ctrl-C ended."""

_EXIT_CODES = (
    "Exit codes: 0 the second pull was streamed, or nothing was done; 1 it was not, or nothing"
    " shows it; 2 options that make no sense; 3 a file cannot be written; 4 an invalid"
    " configuration; 5 a cluster or a service does not answer, or refuses; 6 the image cannot be"
    " pulled, or there is no node for a second pull; 130 interrupted."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """The options of the command."""

    repeats: int
    timeout: timedelta
    keep: bool
    confirmed: bool
    folder: Path
    as_json: bool
    platform: str | None


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
    as_json: Annotated[bool, typer.Option("--json", help="Print trial.json.")] = False,
) -> None:
    """
    Compare a cold pull of an image with pulls through a mirror, in a cluster without Prestream.

    It checks what image streaming needs, shows its plan, and asks. Each pull runs on a node that
    provably does not hold the image: from the upstream, a first time through the mirror, and a
    second time. It prints the evidence, writes trial.json, and removes what it created.
    """
    written = _parse_image(image)
    choices = _Choices(
        repeats=repeat,
        timeout=_parse_timeout(timeout),
        keep=keep,
        confirmed=yes,
        folder=folder,
        as_json=as_json,
        platform=platform,
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
        log=SnapshotterLog(
            FactReader(
                reached.cluster.name.project, emulator_host=endpoints.logging, patience_s=5.0
            ),
            reached.cluster.name,
        ),
        say=say,
    )
    try:
        code = _Command(services, choices, GoogleReader(endpoints), environ).run(written)
    except EventError as exc:
        fail(ExitCode.UNAVAILABLE, harmless(str(exc)))
    except ImageError as exc:
        fail(ExitCode.FAILED, harmless(f"{exc}\n{exc.hint}"))
    raise typer.Exit(code)


trial.__doc__ = f"{cleandoc(trial.__doc__ or '')}\n\n{_EXIT_CODES}"


class _Command:
    """Shows the plan, runs the trial, and shows the results."""

    def __init__(
        self,
        services: Services,
        choices: _Choices,
        inspector: GoogleReader,
        environ: Mapping[str, str],
    ) -> None:
        self._services = services
        self._choices = choices
        self._inspector = inspector
        self._environ = environ
        self._console: Console = make_side_console() if choices.as_json else make_console()

    def run(self, written: WrittenImage) -> int:
        """Run the trial, and return the exit code."""
        services, choices = self._services, self._choices
        nodes = list(services.cluster.list_nodes())
        simulated = is_simulated(self._environ, nodes)
        if simulated:
            services = replace(services, poll_s=0.1, settle_s=0.5)
        running = TrialRun(services, choices.timeout.total_seconds())
        state = running.prepare(written, self._make_options, nodes, choices.platform)
        checks = check_prerequisites(services.settings, self._inspector, services.cluster, nodes)
        shown = Introduction(
            state=state,
            checks=tuple(checks),
            cluster=services.cluster.name,
            trial_id=services.settings.namespace,
            timeout=choices.timeout,
            simulated=simulated,
            keep=choices.keep,
        )
        print_introduction(self._console, shown)
        if not state.plan.has("mirror"):
            fail(ExitCode.FAILED, "no node can pull the image: see the reasons above")
        if not self._confirm():
            say("nothing was changed")
            return ExitCode.DONE
        return self._run(running, state, simulated=simulated)

    def _run(self, running: TrialRun, state: TrialState, *, simulated: bool) -> int:
        started, interrupted = datetime.now(UTC), False
        signal.signal(signal.SIGTERM, _interrupt)
        is_clean = False
        try:
            is_clean = running.run(state, keep=self._choices.keep)
        except KeyboardInterrupt:
            interrupted = True
            is_clean = not running.clean_up.removals
            say("interrupted")
        except (EventError, ImageError) as exc:
            state.problem = str(exc)
            say(f"error: {exc}")
        record = TrialRecord(
            state=state,
            cluster=str(self._services.cluster.name),
            simulated=simulated,
            started=started,
            ended=datetime.now(UTC),
            interrupted=interrupted,
            log_problem=self._services.log.problem,
        )
        self._show(record)
        if interrupted:
            return _INTERRUPTED
        return _choose_code(record, is_clean=is_clean)

    def _show(self, record: TrialRecord) -> None:
        """Write the files, and print the results."""
        try:
            paths = write_files(record, self._choices.folder)
        except OSError as exc:
            fail(ExitCode.UNREADABLE, f"cannot write the files: {exc}")
        if self._choices.as_json:
            typer.echo(json.dumps(record.as_json(), indent=2))
            return
        upstream = record.state.image.upstream
        self._console.print()
        print_results(self._console, record.state.results, upstream, simulated=record.simulated)
        print_summary(self._console, record.summary, simulated=record.simulated)
        if record.log_problem:
            say(f"note: the log of the snapshotter could not be read: {record.log_problem}")
        self._console.print(f"Written: {', '.join(map(str, paths))}", soft_wrap=True)

    def _make_options(self, image: TrialImage) -> TrialOptions:
        return TrialOptions(
            upstream=image.upstream,
            repeats=self._choices.repeats,
            is_autopilot=self._services.cluster.is_autopilot,
        )

    def _confirm(self) -> bool:
        if self._choices.confirmed:
            return True
        if not sys.stdin.isatty():
            fail(ExitCode.MISUSED, "nobody can be asked without a terminal: add --yes")
        return typer.confirm("Continue?", err=True)


def _choose_code(record: TrialRecord, *, is_clean: bool) -> int:
    summary = record.summary
    if summary.interval is None and record.state.problem is None:
        return ExitCode.FAILED
    if record.state.problem is not None or not is_clean:
        return ExitCode.UNAVAILABLE
    return ExitCode.DONE if summary.conclusion == "streamed" else ExitCode.DIFFERENT


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


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
