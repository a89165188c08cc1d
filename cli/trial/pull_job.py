"""Make one pull of a trial with a warmup Job, and read how the node got the image."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from cli.trial.follow_job import follow_job
from cli.trial.node_choice import make_rung
from cli.trial.pull_context import PullContext
from cli.trial.pull_result import PullResult
from cli.trial.trial_image import TrialImage
from cli.trial.trial_step import Step
from shared.domain.action import ResumeJobs
from shared.domain.image_reference import ImageReference
from shared.domain.ladder import RungUnavailableError, Strategy, plan_rung, serve_rung
from shared.domain.mirror import Source
from shared.domain.node import Node
from shared.domain.placement import Placement
from shared.domain.request import ReferenceRequest
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import JobName
from shared.pipeline.choose_rung import RungChoice
from shared.pipeline.execute import Executor
from shared.pipeline.plan_warmup import WarmupSnapshot, plan_warmup
from shared.pipeline.read_warmup import EndedWarmup, read_ended_warmup
from shared.pipeline.report_warmup import held_before, make_fact
from shared.pipeline.resolved_request import ResolvedRequest, Target, job_name


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
        body = follow_job(self._context, name, self._until, may_add_node=self._step.node is None)
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
