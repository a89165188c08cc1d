"""Choose the first rung of the ladder that can serve; each rung needs other nodes to be read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shared.domain.image_reference import Digest
from shared.domain.ladder import (
    PREWARM_RUNG,
    PrewarmUnavailableError,
    Rung,
    RungUnavailableError,
    Strategy,
    plan_rung,
    plan_warm_pool,
    serve_rung,
)
from shared.domain.node import Node
from shared.domain.placement import ACCELERATOR_KEY, Placement
from shared.errors import ImageError
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi
    from shared.pipeline.prewarm_artifact import PrewarmStep


@dataclass(frozen=True, slots=True)
class RungChoice:
    """The way to warm an image: a Job, or Artifact Registry without one."""

    strategy: Strategy | None = None
    prewarm: "PrewarmStep | None" = None
    passed: str | None = None
    """Why Artifact Registry does not prewarm the image, if the log line has to include it."""


@dataclass(frozen=True, slots=True)
class RungRequest:
    """An image that is wanted on a target."""

    target: Placement
    platform: str | None
    """``os/architecture``; None if the node decides."""
    digest: Digest | None
    """None if it is unknown; then no node is known to hold the image."""


def choose_rung(
    settings: Settings,
    cluster: "ClusterApi",
    request: RungRequest,
    prewarm: "Callable[[], PrewarmStep] | None",
) -> RungChoice:
    """
    Return the first rung that can serve.

    Args:
        settings: The ladder, and whether there is a warm pool.
        cluster: Lists the nodes of each rung until one can serve.
        request: The image and the target.
        prewarm: Serves the rung ``prewarm-api``, or raises a ``RungUnavailableError``; None to
            leave that rung out.

    Raises:
        ImageError: No rung can serve (``no_node``).
        TransientError: The cluster is unavailable, or Artifact Registry.
        ConfigurationError: One of them refuses our identity.
    """
    reasons: list[str] = []
    unavailable: PrewarmUnavailableError | None = None
    for name, plan in _list_rungs(settings, request, is_autopilot=cluster.is_autopilot):
        try:
            if name == PREWARM_RUNG:
                return RungChoice(prewarm=_given(prewarm)())
            strategy = _serve(cluster, plan(), request)
        except PrewarmUnavailableError as exc:
            reasons.append(f"{name}: {exc}")
            unavailable = exc
        except RungUnavailableError as exc:
            reasons.append(f"{name}: {exc}")
        else:
            is_news = unavailable is not None and unavailable.is_news
            return RungChoice(strategy, passed=str(unavailable) if is_news else None)
    hint = unavailable.hint if unavailable and unavailable.hint else _no_node_hint(request.target)
    raise ImageError("no_node", "; ".join(reasons), hint=hint)


def _list_rungs(
    settings: Settings, request: RungRequest, *, is_autopilot: bool
) -> Iterator[tuple[str, Callable[[], Rung]]]:
    """Yield the rungs in order; a warm pool serves if ``any-node`` finds no ready node."""
    target, platform = request.target, request.platform
    for name in settings.ladder:
        yield name, partial(plan_rung, name, target, platform, is_autopilot=is_autopilot)
        if name == "any-node" and settings.warm_pool and not is_autopilot:
            yield "the warm pool", partial(plan_warm_pool, platform)


def _serve(cluster: "ClusterApi", rung: Rung, request: RungRequest) -> Strategy:
    selector = ",".join(f"{key}={value}" for key, value in rung.node_selector.items())
    nodes = [Node.from_body(body) for body in cluster.list_nodes(selector)]
    return serve_rung(rung, nodes, request.digest, platform=request.platform)


def _given(prewarm: "Callable[[], PrewarmStep] | None") -> "Callable[[], PrewarmStep]":
    if prewarm is None:
        raise RungUnavailableError("Artifact Registry is not asked here")
    return prewarm


def _no_node_hint(placement: Placement) -> str:
    accelerator = dict(placement.node_selector).get(ACCELERATOR_KEY)
    pool = f"a {accelerator} node pool" if accelerator else "a node pool of the target"
    return (
        f"Turn on image streaming on a node pool of the cluster, or start a node of {pool};"
        " the rung new-gpu-node adds one."
    )
