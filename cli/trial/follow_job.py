"""Follow the Job of a pull until it ends, and end it if it cannot succeed."""

from collections.abc import Mapping
from typing import Any, Final

from cli.trial.pull_context import PullContext
from shared.domain.action import EndJob
from shared.domain.job_state import JobState
from shared.domain.pull_failure import classify_pull_failure
from shared.domain.warmup_job import JobName
from shared.domain.warmup_outcome import FinishedJob
from shared.domain.warmup_pod import node_of, pull_refusal
from shared.errors import TransientError
from shared.pipeline.execute import ConflictError, Executor
from shared.pipeline.read_warmup import find_pods

_PLACED_WITHIN_S: Final = 120.0
"""A pod for a given node that has no node by then does not get it."""

_PLACED_WITH_NEW_NODE_S: Final = 900.0
"""Autopilot may add a node first."""


def follow_job(
    context: PullContext, name: JobName, until: float, *, may_add_node: bool
) -> Mapping[str, Any]:
    """
    Return a Job when it has ended.

    Raises:
        TransientError: The cluster is unavailable, or somebody else deleted the Job.
        ConfigurationError: The cluster refuses our identity.
    """
    patience_s = _PLACED_WITH_NEW_NODE_S if may_add_node else _PLACED_WITHIN_S
    placed_by = min(context.clock() + patience_s, until)
    is_ended = False
    while True:
        body = context.cluster.fetch_job(name)
        if body is None:
            raise TransientError(f"Job {name} was deleted by somebody else")
        if FinishedJob.from_body(body) is not None:
            return body
        if not is_ended and _is_hopeless(context, body, until, placed_by):
            is_ended = _end(context, body)
        context.pause()


def _is_hopeless(
    context: PullContext, body: Mapping[str, Any], until: float, placed_by: float
) -> bool:
    """Whether the time is over, the pod gets no node, or no later attempt can succeed."""
    now = context.clock()
    if now > until:
        return True
    pods = find_pods(context.cluster, JobState.from_body(body))
    if now > placed_by and not any(node_of(pod) for pod in pods):
        return True
    refusals = [refusal for pod in pods if (refusal := pull_refusal(pod))]
    return any(classify_pull_failure(each).permanent for each in refusals)


def _end(context: PullContext, body: Mapping[str, Any]) -> bool:
    """End the Job; False if it changed in between."""
    state = JobState.from_body(body)
    action = EndJob(state.name, state.resource_version, "the trial ended the pull")
    try:
        Executor().perform([action], context.cluster)
    except ConflictError:
        return False
    return True
