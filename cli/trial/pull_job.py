"""Make one pull of a trial with a warmup Job, and read how the node got the image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from cli.trial.node_choice import make_rung
from cli.trial.pull_result import PullResult
from cli.trial.trial_image import TrialImage
from cli.trial.trial_step import Step
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.action import EndJob, ResumeJobs
from shared.domain.cluster_event import NodeEvent
from shared.domain.image_reference import ImageReference
from shared.domain.job_state import JobState
from shared.domain.ladder import RungUnavailableError, Strategy, plan_rung, serve_rung
from shared.domain.mirror import Source
from shared.domain.node import Node
from shared.domain.placement import Placement
from shared.domain.pull_failure import classify_pull_failure
from shared.domain.request import ReferenceRequest
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import JobName
from shared.domain.warmup_outcome import FinishedJob
from shared.domain.warmup_pod import node_of, pull_refusal
from shared.errors import TransientError
from shared.pipeline.choose_rung import RungChoice
from shared.pipeline.execute import ConflictError, Executor
from shared.pipeline.plan_warmup import WarmupSnapshot, plan_warmup
from shared.pipeline.read_warmup import EndedWarmup, find_pods, read_ended_warmup
from shared.pipeline.report_warmup import held_before, make_fact
from shared.pipeline.resolved_request import ResolvedRequest, Target, job_name
from shared.settings.keys import Settings

_PLACED_WITHIN_S = 120.0
"""A pod for a given node that has no node by then does not get it."""

_PLACED_BY_AUTOPILOT_S = 900.0
"""Autopilot may add a node first."""

ReadLog = Callable[[str, datetime], tuple[NodeEvent, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullContext:
    """The parts that all pulls of a trial have in common."""

    cluster: KubernetesCluster
    settings: Settings
    trial_id: str
    helper: ImageReference
    platform: str
    priority_class: str
    read_log: ReadLog
    settle_s: float
    """How long the statements of a snapshotter may take to arrive."""
    clock: Callable[[], float]
    """A clock in seconds that never goes back."""
    pause: Callable[[], None]
    """Waits between two reads."""


class PullJob:
    """One pull."""

    def __init__(self, context: PullContext, step: Step, image: TrialImage, until: float) -> None:
        self._context = context
        self._step = step
        self._image = image
        self._until = until
        self._execute = Executor()
        direct = step.kind in {"upstream", "in_place"}
        self._source: Source = image.direct if direct else image.source

    def run(self) -> PullResult:
        """
        Make the pull, and return its result.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        try:
            strategy = self._choose_strategy()
        except RungUnavailableError as exc:
            return self._fail("no_node", str(exc))
        name = self._create(strategy)
        body = self._follow(name)
        return self._read_result(body)

    def _choose_strategy(self) -> Strategy:
        """Return the scheduling of the pod: on its node alone, which is read once more."""
        context, image = self._context, self._image
        if self._step.node is None:
            rung = plan_rung("any-node", Placement(), context.platform, is_autopilot=True)
            bodies = list(context.cluster.list_nodes())
        else:
            rung = make_rung(context.platform)
            found = context.cluster.fetch_node(self._step.node.name)
            bodies = [] if found is None else [found]
        nodes = [Node.from_body(body) for body in bodies]
        strategy = serve_rung(rung, nodes, image.wanted, platform=context.platform)
        # A warmup also accepts nodes that joined later; a pull of a trial does not.
        return replace(strategy, known_nodes=(), priority_class=context.priority_class)

    def _create(self, strategy: Strategy) -> JobName:
        context, image, now = self._context, self._image, datetime.now(UTC)
        if image.manifest is None:
            raise TypeError("the digest of the image is not resolved")
        seconds = max(self._until - context.clock(), 1.0)
        settings = msgspec.structs.replace(context.settings, deadline_minutes=seconds / 60)
        written = image.written
        resolved = ResolvedRequest(
            ReferenceRequest(written.text, written.reference, force=True),
            f"{context.trial_id}-{self._step.key}",
            now,
            self._source,
            image.manifest,
        )
        target = Target("trial", Placement())
        name = job_name(settings, context.cluster.name, resolved, target)
        snapshot = WarmupSnapshot(
            target=target,
            resolved=resolved,
            name=name,
            image_bytes=image.image_bytes,
            choice=RungChoice(strategy),
            helper=context.helper,
            read_at=now,
        )
        self._execute.perform(plan_warmup(snapshot, settings).actions, context.cluster)
        self._execute.resume(context.cluster, lambda: ResumeJobs((name,), 1))
        return name

    def _follow(self, name: JobName) -> Mapping[str, Any]:
        """Return the Job when it has ended; end it if it cannot succeed."""
        context = self._context
        patience_s = _PLACED_BY_AUTOPILOT_S if self._step.node is None else _PLACED_WITHIN_S
        placed_by = min(context.clock() + patience_s, self._until)
        is_ended = False
        while True:
            body = context.cluster.fetch_job(name)
            if body is None:
                raise TransientError(f"Job {name} was deleted by somebody else")
            if FinishedJob.from_body(body) is not None:
                return body
            if not is_ended and self._is_hopeless(body, placed_by):
                is_ended = self._end(body)
            context.pause()

    def _is_hopeless(self, body: Mapping[str, Any], placed_by: float) -> bool:
        now = self._context.clock()
        if now > self._until:
            return True
        pods = find_pods(self._context.cluster, JobState.from_body(body))
        if now > placed_by and not any(node_of(pod) for pod in pods):
            return True
        refusals = [refusal for pod in pods if (refusal := pull_refusal(pod))]
        return any(classify_pull_failure(each).permanent for each in refusals)

    def _end(self, body: Mapping[str, Any]) -> bool:
        """End the Job; False if it changed in between."""
        state = JobState.from_body(body)
        try:
            action = EndJob(state.name, state.resource_version, "the trial ended the pull")
            self._execute.perform([action], self._context.cluster)
        except ConflictError:
            return False
        return True

    def _read_result(self, body: Mapping[str, Any]) -> PullResult:
        """Return the result, when the statements of the snapshotter have had time to arrive."""
        context = self._context
        due = context.clock() + context.settle_s
        while True:
            ended = self._read_end(body)
            result = self._make_result(ended)
            is_decided = result.streamed in {"streamed", "cached_on_node"}
            waits = ended.diagnosis.was_pulled and ended.node.streams is not False
            if is_decided or not waits or context.clock() > due:
                return result
            context.pause()

    def _read_end(self, body: Mapping[str, Any]) -> EndedWarmup:
        ended = read_ended_warmup(self._context.cluster, body)
        if ended is None:
            raise TypeError("the Job has not ended")
        name = ended.node.details.name
        if name is None or not ended.diagnosis.was_pulled:
            return ended
        lines = self._context.read_log(name, parse_time(ended.state.created))
        return replace(ended, node=replace(ended.node, reports=(*ended.node.reports, *lines)))

    def _make_result(self, ended: EndedWarmup) -> PullResult:
        payload = make_fact(ended).payload
        return PullResult(
            step=self._step,
            image=str(self._pulled),
            outcome=payload["outcome"],
            node=payload["node"],
            seconds=payload["pull_seconds"],
            image_bytes=payload["image_bytes"],
            streamed=payload["streamed"],
            node_held_image=held_before(ended) if ended.diagnosis.was_pulled else None,
            evidence=tuple(payload["evidence"] or ()),
            reason=payload["reason"],
            hint=payload["hint"],
        )

    def _fail(self, outcome: str, reason: str) -> PullResult:
        return PullResult(
            step=self._step,
            image=str(self._pulled),
            outcome=outcome,
            image_bytes=self._image.image_bytes,
            reason=reason,
        )

    @property
    def _pulled(self) -> ImageReference:
        manifest = self._image.manifest
        return self._source.mirror.at(manifest.digest) if manifest else self._source.mirror
