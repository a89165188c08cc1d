"""Run a trial: create its objects, make its pulls one after the other, and remove the objects."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.trial.clean_up import CleanUp
from cli.trial.node_choice import choose_nodes, choose_platform, make_rung
from cli.trial.prewarm_pull import PrewarmPull
from cli.trial.pull_context import PullContext
from cli.trial.pull_job import PullJob
from cli.trial.pull_result import PullResult
from cli.trial.snapshotter_log import SnapshotterLog
from cli.trial.trial_image import RemovableRepositories, TrialImage, TrialImages
from cli.trial.trial_plan import TrialOptions, TrialPlan, plan_trial
from cli.trial.trial_setup import TrialSetup
from cli.trial.trial_step import describe
from shared.clients.kubernetes_api import KubernetesCluster
from shared.clients.prewarm_api import PrewarmingClient
from shared.domain.image_reference import WrittenImage
from shared.domain.node import Node
from shared.settings.keys import Settings

_SETTLE_S = 20.0
"""How long Cloud Logging may take to show a line of a snapshotter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of a trial."""

    settings: Settings
    """Its namespace is that of the trial."""
    cluster: KubernetesCluster
    images: TrialImages
    repositories: RemovableRepositories
    log: SnapshotterLog
    prewarm_api: PrewarmingClient
    say: Callable[[str], None]
    poll_s: float = 1.0
    settle_s: float = _SETTLE_S


@dataclass(slots=True)
class TrialState:
    """The results of a trial so far; an interrupted trial reports them too."""

    image: TrialImage
    options: TrialOptions
    plan: TrialPlan
    platform: str
    results: list[PullResult] = field(default_factory=list)
    second: WrittenImage | None = None
    """The image that is prewarmed; None without the open questions."""
    created_mirror: bool = False
    problem: str | None = None
    """Why the trial ended early."""
    is_refused: bool = False
    """Whether it ended early because a service did not answer, or refused."""


class TrialRun:
    """
    One trial.

    Args:
        services: The services.
        timeout_s: The longest time for all pulls.
    """

    def __init__(self, services: Services, timeout_s: float) -> None:
        self._services = services
        self._timeout_s = timeout_s
        self._id = services.settings.namespace
        self.clean_up = CleanUp(services.say)
        self._setup = TrialSetup(
            self._id, services.cluster, services.repositories, self.clean_up, services.poll_s
        )

    def prepare(
        self,
        written: WrittenImage,
        options: Callable[[TrialImage], TrialOptions],
        nodes: Sequence[dict[str, Any]],
        platform: str | None,
    ) -> TrialState:
        """
        Read the image, and plan the trial; nothing is changed.

        Raises:
            ImageError: The image, its mirror or its upstream is at fault.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        known = [Node.from_body(body) for body in nodes]
        chosen = choose_platform(known, platform)
        image = self._services.images.read(written, chosen)
        choice = choose_nodes(known, image.wanted, make_rung(chosen))
        given = options(image)
        return TrialState(image, given, plan_trial(given, choice), chosen)

    def run(self, state: TrialState, *, keep: bool) -> bool:
        """
        Create the objects, make the pulls, and remove the objects; return whether none is left.

        The results are in the state, also after an interruption.

        Raises:
            EventError: A service is unavailable, or refuses our identity.
            ImageError: The mirror or the image is at fault.
            KeyboardInterrupt: The trial was interrupted; its objects are removed.
        """
        until = time.monotonic() + self._timeout_s
        is_clean = False
        try:
            self._set_up(state, until)
            self._pull(state, until)
        finally:
            if keep:
                self.clean_up.list_rest("kept; this removes it:")
                is_clean = True
            else:
                is_clean = self.clean_up.run()
        return is_clean

    def _set_up(self, state: TrialState, until: float) -> None:
        """Create the objects of the cluster and the mirror, and plan again with the digest."""
        self._setup.create_objects()
        state.image = self._create_mirror(state, state.image, until)
        nodes = [Node.from_body(body) for body in self._services.cluster.list_nodes()]
        choice = choose_nodes(nodes, state.image.wanted, make_rung(state.platform))
        before = {each.step.key for each in state.plan.left_out}
        state.plan = plan_trial(state.options, choice)
        for each in state.plan.left_out:
            if each.step.key not in before:
                self._services.say(f"{each.step.key}  left out: {each.reason}")

    def _create_mirror(self, state: TrialState, image: TrialImage, until: float) -> TrialImage:
        """Create the mirror of an image unless it exists, and return the image with its digest."""
        repository = image.source.repository
        if repository is not None and image.lacks_mirror:
            self._setup.announce_mirror(repository.name)
            state.created_mirror = True
            self._services.say(f"creating mirror {repository.name}")
        if image.manifest is not None and not image.lacks_mirror:
            return image
        return self._services.images.create(image, state.platform, lambda: self._setup.wait(until))

    def _pull(self, state: TrialState, until: float) -> None:
        services = self._services
        context = PullContext(
            cluster=services.cluster,
            settings=services.settings,
            trial_id=self._id,
            helper=services.images.find_helper(state.image),
            platform=state.platform,
            priority_class=self._id,
            read_log=services.log.read,
            settle_s=services.settle_s,
            clock=time.monotonic,
            pause=self._setup.pause,
        )
        for step in state.plan.steps:
            if time.monotonic() > until:
                state.problem = "the time of --timeout is over"
                return
            where = step.node.name if step.node else "a node without the image"
            services.say(f"{step.key}  {describe(step.kind, state.image.upstream)}, on {where}")
            if step.kind == "prewarmed":
                result = self._pull_prewarmed(state, context, until)
            else:
                result = PullJob(context, step, state.image, until).run()
            state.results.append(result)
            seconds = "-" if result.seconds is None else f"{result.seconds:.1f} s"
            services.say(f"{step.key}  {result.verdict}, {seconds}")

    def _pull_prewarmed(self, state: TrialState, context: PullContext, until: float) -> PullResult:
        if state.second is None:
            raise TypeError("the plan has a pull of a second image, which is missing")
        services = self._services
        image = services.images.read(state.second, state.platform)
        image = self._create_mirror(state, image, until)
        return PrewarmPull(services.prewarm_api, context, self.clean_up.add).run(image, until)
