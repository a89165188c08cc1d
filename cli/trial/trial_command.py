"""Show the plan of a trial, ask, run it, and show its results."""

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console

from cli.doctor.google_reader import GoogleReader
from cli.exits import ExitCode, fail, say
from cli.terminal import make_console, make_side_console
from cli.trial.prerequisites import check_prerequisites
from cli.trial.simulation import is_simulated
from cli.trial.trial_files import TrialRecord, write_files
from cli.trial.trial_image import TrialImage
from cli.trial.trial_intro import Introduction, print_introduction
from cli.trial.trial_plan import TrialOptions
from cli.trial.trial_run import Services, TrialRun, TrialState
from cli.trial.trial_table import print_answers, print_results, print_summary
from shared.domain.image_reference import WrittenImage
from shared.errors import EventError, ImageError

_INTERRUPTED = 130
"""The exit code of a shell for a program that Ctrl-C ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialChoices:
    """The options of the command."""

    repeats: int
    timeout: timedelta
    keep: bool
    confirmed: bool
    folder: Path
    as_json: bool
    platform: str | None
    asks_questions: bool
    second: WrittenImage | None


class TrialCommand:
    """Shows the plan, runs the trial, and shows the results."""

    def __init__(
        self,
        services: Services,
        choices: TrialChoices,
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
        state.second = choices.second
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
            say("interrupted")
        except (EventError, ImageError) as exc:
            state.problem, state.is_refused = str(exc), isinstance(exc, EventError)
            say(f"error: {exc}")
            is_clean = not running.clean_up.removals
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
        if self._choices.asks_questions:
            print_answers(self._console, record.answers)
        if record.log_problem:
            say(f"note: the log of the snapshotter could not be read: {record.log_problem}")
        self._console.print(f"Written: {', '.join(map(str, paths))}", soft_wrap=True)

    def _make_options(self, image: TrialImage) -> TrialOptions:
        return TrialOptions(
            upstream=image.upstream,
            repeats=self._choices.repeats,
            asks_questions=self._choices.asks_questions,
            has_second_image=self._choices.second is not None,
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
    if record.state.is_refused or not is_clean:
        return ExitCode.UNAVAILABLE
    if summary.interval is None:
        return ExitCode.FAILED
    return ExitCode.DONE if summary.conclusion == "streamed" else ExitCode.DIFFERENT


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
