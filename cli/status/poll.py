"""Poll until images are warm, and show the progress on a terminal."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.connect.fact_reader import FactReader
from cli.exits import ExitCode, fail, say
from cli.input.duration import show_span
from cli.status.cluster_groups import ClusterGroups
from cli.status.resolved_image import ResolvedImage, resolve_images
from cli.status.wait_condition import Baseline, WaitCondition, WaitResult, WaitTarget
from cli.status.warmup_reader import Observations, Problem, WarmupReader
from cli.terminal import harmless, is_watched, make_side_console
from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.endpoint import Endpoints
from shared.clients.prewarm_api import PrewarmingClient
from shared.clients.registry import RegistryClient
from shared.domain.image_reference import WrittenImage
from shared.errors import ConfigurationError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.ports import ClusterApi
from shared.settings.keys import Settings

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0
"""Cloud Logging allows 60 readings a minute and project."""

_GROWTH = 1.5

_PATIENCE_S = 5.0
"""The limit of one read of the facts; after a failed read, the next poll tries again."""

STYLES = {
    "warm": "green",
    "failed": "red",
    "warming": "cyan",
    "waiting": "yellow",
    "held": "yellow",
    "due": "yellow",
    "nothing seen": "dim",
}

_EXITS = {"failed": ExitCode.FAILED, "pending": ExitCode.DIFFERENT, "warm": ExitCode.DONE}


def make_warmup_reader(environ: Mapping[str, str], settings: Settings) -> WarmupReader:
    """Connect the reader of warmups to Google's services, or to local ones."""
    endpoints = Endpoints.from_environ(environ)
    return WarmupReader(
        settings,
        facts=FactReader(
            settings.deployment_project, emulator_host=endpoints.logging, patience_s=_PATIENCE_S
        ),
        prewarming=PrewarmingClient(emulator_host=endpoints.artifact_registry),
    )


def make_mirrors(environ: Mapping[str, str], settings: Settings) -> Mirrors:
    """Return the mirrors with clients that only read."""
    endpoints = Endpoints.from_environ(environ)
    repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
    return Mirrors(
        settings,
        registry=RegistryClient(emulator_host=endpoints.artifact_registry),
        repositories=lambda: repositories,
        execute=Executor(dry_run=True),
    )


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """The images, clusters and targets to poll."""

    images: tuple[WrittenImage, ...]
    places: ClusterGroups
    targets: tuple[str, ...] = ()

    @property
    def wait_targets(self) -> list[WaitTarget]:
        """Each image in each group of clusters."""
        return [
            WaitTarget(
                image=image.text,
                place=group.name,
                clusters=tuple(map(str, group.clusters)),
                targets=self.targets,
            )
            for image in self.images
            for group in self.places.groups
        ]


class Poller:
    """Polls some images; a tag is resolved once, or again after a failure."""

    def __init__(
        self,
        watched: WaitRequest,
        watching: WarmupReader,
        mirrors: Mirrors,
        *,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._watched = watched
        self._aliases = aliases or {}
        self._watching = watching
        self._mirrors = mirrors
        self._meant: dict[tuple[str, str], ResolvedImage] = {}
        self._said: set[str] = set()

    def look(self) -> tuple[Observations, list[ResolvedImage]]:
        """
        Read the warmups once.

        Raises:
            typer.Exit: A cluster or a mirror refuses our identity.
        """
        resolved = [
            self._find(image, cluster)
            for image in self._watched.images
            for cluster in self._watched.places.clusters
        ]
        seen = self._watching.look(self._watched.places.clusters, datetime.now(UTC), resolved)
        for problem in seen.problems:
            self._tell(problem)
        return seen, resolved

    def answer(self, earlier: Baseline) -> list[WaitResult]:
        """
        Read the warmups once, and return the answers.

        Raises:
            typer.Exit: A cluster or a mirror refuses our identity.
        """
        seen, resolved = self.look()
        gate = WaitCondition(self._watching.period, earlier, self._aliases)
        now = datetime.now(UTC)
        return [gate.judge(wish, resolved, seen, now) for wish in self._watched.wait_targets]

    def _find(self, image: WrittenImage, cluster: ClusterApi) -> ResolvedImage:
        key, now = (image.text, str(cluster.name)), datetime.now(UTC)
        known = self._meant.get(key)
        if known is None or (known.digest is None and (known.not_before or now) <= now):
            try:
                known = resolve_images(self._mirrors, image, cluster, now)
            except ConfigurationError as exc:
                fail(
                    ExitCode.UNAVAILABLE,
                    f"{image.text} cannot be resolved to a digest: {harmless(str(exc))};"
                    " grant roles/artifactregistry.reader, or give the image by digest",
                )
            self._meant[key] = known
        return known

    def _tell(self, problem: Problem) -> None:
        """Print each failed read once; a permanent refusal ends the command."""
        if problem.cluster is not None and isinstance(problem.error, ConfigurationError):
            fail(ExitCode.UNAVAILABLE, harmless(str(problem)))
        if problem.what not in self._said:
            self._said.add(problem.what)
            say(f"note: {harmless(str(problem))}")


def follow(
    ask: Callable[[], list[WaitResult]],
    *,
    timeout: timedelta,
    is_settled: Callable[[Sequence[WaitResult]], bool],
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[WaitResult]:
    """
    Poll until the answers are settled or the time is over, and show the progress.

    The pauses grow, because a warmup takes minutes.

    Args:
        ask: Polls once.
        timeout: The longest wait; zero polls once.
        is_settled: Whether nothing is left to wait for.
        pause: Waits for some seconds.
        clock: Seconds since some moment.
    """
    began = clock()
    wait_s = FIRST_PAUSE_S
    with _Progress() as progress:
        while True:
            answers = ask()
            progress.show(answers, timedelta(seconds=clock() - began))
            left = timeout.total_seconds() - (clock() - began)
            if is_settled(answers) or left <= 0:
                return answers
            pause(min(wait_s, left))
            wait_s = min(wait_s * _GROWTH, LONGEST_PAUSE_S)


def is_all_settled(answers: Sequence[WaitResult]) -> bool:
    """Whether each image is warm or has failed."""
    return all(each.verdict != "pending" for each in answers)


def is_decided(answers: Sequence[WaitResult]) -> bool:
    """Whether all images are warm, or one has failed, which decides for all."""
    return is_all_settled(answers) or any(each.verdict == "failed" for each in answers)


def exit_code(answers: Sequence[WaitResult]) -> ExitCode:
    """Return the exit code of the command: the worst answer decides."""
    verdicts = {each.verdict for each in answers}
    worst = next((each for each in ("failed", "pending") if each in verdicts), "warm")
    return _EXITS[worst]


def describe(answer: WaitResult) -> Text:
    """Return one line: the state of an image in a cluster or region, and a hint."""
    state = answer.state or "nothing seen"
    if answer.verdict == "failed" and state != "held":
        state = "failed"
    targets = ", ".join(sorted({each.target for each in answer.states if each.target}))
    said = [f" on {targets}" if targets else ""]
    if answer.verdict == "failed":
        said.append(f" ({answer.outcome})" if answer.outcome else "")
    if answer.verdict != "warm" and answer.reason:
        said.append(f": {answer.reason}")
    text = Text.assemble(
        (state, STYLES[state]),
        harmless(f"  {answer.wish.image} in {answer.wish.place}{''.join(said)}"),
    )
    if answer.verdict != "warm" and answer.hint:
        text.append(f"\n        {harmless(answer.hint)}")
    return text


class _Progress:
    """Shows answers as they change: in place on a terminal, else a line for each change."""

    def __init__(self) -> None:
        self._console = make_side_console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._context: AbstractContextManager[object] = nullcontext()
        self._states: dict[tuple[str, str], str] = {}

    def __enter__(self) -> "_Progress":
        if is_watched():
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._context = self._live
        self._context.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.__exit__(None, None, None)

    def show(self, answers: Sequence[WaitResult], waited: timedelta) -> None:
        if self._live is not None:
            self._live.update(_make_table(answers, waited), refresh=True)
            return
        for each in answers:
            key = (each.wish.image, each.wish.place)
            text = describe(each)
            if self._states.get(key) != text.plain:
                self._states[key] = text.plain
                self._console.print(Text(f"{show_span(waited):>6}  ").append_text(text))


def _make_table(answers: Sequence[WaitResult], waited: timedelta) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", caption_justify="left")
    for name in ("IMAGE", "PLACE", "STATE"):
        table.add_column(name, overflow="fold")
    for each in answers:
        state = each.state or "nothing seen"
        state = "failed" if each.verdict == "failed" and state != "held" else state
        place = harmless(each.wish.place.rpartition("/")[2])
        table.add_row(harmless(each.wish.image), place, Text(state, STYLES[state]))
    warm = sum(each.verdict == "warm" for each in answers)
    table.caption = f"{warm} of {len(answers)} warm after {show_span(waited)}"
    return table
