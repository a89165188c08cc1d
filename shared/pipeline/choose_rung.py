"""Choose the first rung of the ladder that can serve; each rung needs other nodes to be read."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from shared.domain.cluster import ClusterName, is_near
from shared.domain.ladder import (
    PREWARM_RUNG,
    AllNodesHoldError,
    NoRoomError,
    PrewarmUnavailableError,
    Rung,
    RungUnavailableError,
    Strategy,
    WantedImage,
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


_ALL_HOLD_HINT = (
    "Do nothing while the nodes keep the image. To fill the streaming cache for new nodes, add the"
    " rung new-gpu-node or prewarm-api to `ladder`, or set `warm_pool`, in prestream.yaml."
)


_NO_ROOM_HINT = (
    "Give a node pool boot disks that are larger than the image, compressed and unpacked, or let"
    " prewarm-api serve it, which needs no node."
)


@dataclass(frozen=True, slots=True)
class RungChoice:
    """The way to warm an image: a Job, or Artifact Registry without one."""

    strategy: Strategy | None = None
    prewarm: "PrewarmStep | None" = None
    passed: str | None = None
    """Why Artifact Registry does not prewarm the image, if the log line has to include it."""


@dataclass(frozen=True, slots=True)
class RungRequest:
    """An image that is wanted on a target of a cluster."""

    target: Placement
    platform: str | None
    """``os/architecture``; None if the node decides."""
    image: WantedImage
    location: str | None = None
    """Where the image is in Artifact Registry; None if unknown."""

    def is_near(self, cluster: ClusterName) -> bool:
        """Whether the nodes of a cluster can stream the image from its location."""
        return self.location is None or is_near(self.location, cluster.location)


def choose_rung(
    settings: Settings,
    cluster: "ClusterApi",
    request: RungRequest,
    prewarm: "Callable[[], PrewarmStep] | None",
    list_nodes: Callable[[str], Sequence[Node]] | None = None,
) -> RungChoice:
    """
    Return the first rung that can serve.

    Args:
        settings: The ladder, and whether there is a warm pool.
        cluster: The cluster.
        request: The image and the target.
        prewarm: Serves the rung ``prewarm-api``, or raises a ``RungUnavailableError``; None to
            leave that rung out.
        list_nodes: Returns the nodes that match a label selector, for each rung until one can
            serve; None to read them from the cluster.

    Raises:
        ImageError: The image is where the nodes cannot stream it from (``misconfigured``), every
            node holds it (``already_present``), or no rung can serve (``no_node``).
        TransientError: The cluster is unavailable, or Artifact Registry.
        ConfigurationError: One of them refuses our identity.
    """
    read = list_nodes or partial(read_nodes, cluster)
    reasons: list[str] = []
    unavailable: PrewarmUnavailableError | None = None
    causes: set[type[RungUnavailableError]] = set()
    for name, plan in _list_rungs(settings, request, cluster):
        try:
            if name == PREWARM_RUNG:
                return RungChoice(prewarm=_given(prewarm)())
            strategy = _serve(read, plan(), request)
        except PrewarmUnavailableError as exc:
            reasons.append(f"{name}: {exc}")
            unavailable = exc
        except RungUnavailableError as exc:
            causes.add(type(exc))
            reasons.append(f"{name}: {exc}")
        else:
            is_news = unavailable is not None and unavailable.is_news
            return RungChoice(strategy, passed=str(unavailable) if is_news else None)
    raise _make_error(cluster.name, request, reasons, unavailable, causes)


def _list_rungs(
    settings: Settings, request: RungRequest, cluster: "ClusterApi"
) -> Iterator[tuple[str, Callable[[], Rung]]]:
    """
    Yield the rungs in order; a warm pool serves if ``any-node`` finds no ready node.

    Without nodes that can stream the image, only Artifact Registry can serve it.
    """
    target, platform, is_autopilot = request.target, request.platform, cluster.is_autopilot
    streams = request.is_near(cluster.name)
    for name in settings.ladder:
        if not streams and name != PREWARM_RUNG:
            continue
        yield name, partial(plan_rung, name, target, platform, is_autopilot=is_autopilot)
        if name == "any-node" and settings.warm_pool and not is_autopilot:
            yield "the warm pool", partial(plan_warm_pool, platform)


def read_nodes(cluster: "ClusterApi", selector: str) -> list[Node]:
    """
    Return the nodes that match a label selector.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    return [Node.from_body(body) for body in cluster.list_nodes(selector)]


def _serve(read: Callable[[str], Sequence[Node]], rung: Rung, request: RungRequest) -> Strategy:
    selector = ",".join(f"{key}={value}" for key, value in rung.node_selector.items())
    return serve_rung(rung, read(selector), request.image, platform=request.platform)


def _given(prewarm: "Callable[[], PrewarmStep] | None") -> "Callable[[], PrewarmStep]":
    if prewarm is None:
        raise RungUnavailableError("Artifact Registry is not asked here")
    return prewarm


def _make_error(
    cluster: ClusterName,
    request: RungRequest,
    reasons: Sequence[str],
    unavailable: PrewarmUnavailableError | None,
    causes: Collection[type[RungUnavailableError]],
) -> ImageError:
    """Return the error for an image that no rung serves."""
    hint = unavailable.hint if unavailable else None
    if not request.is_near(cluster):
        reason = (
            f"wrong_region: the image is in {request.location}, but nodes of {cluster.name} stream"
            f" only from {cluster.region} or the multi-region that contains it"
        )
        near = f"Push the image to a repository in {cluster.region}, or add prewarm-api to `ladder`"
        return ImageError(
            "misconfigured",
            "; ".join([reason, *reasons]),
            hint=hint or f"{near} in prestream.yaml.",
        )
    if AllNodesHoldError in causes:
        return ImageError("already_present", "; ".join(reasons), hint=hint or _ALL_HOLD_HINT)
    if NoRoomError in causes:
        hint = hint or _NO_ROOM_HINT
    return ImageError("no_node", "; ".join(reasons), hint=hint or _no_node_hint(request.target))


def _no_node_hint(placement: Placement) -> str:
    accelerator = dict(placement.node_selector).get(ACCELERATOR_KEY)
    pool = f"a {accelerator} node pool" if accelerator else "a node pool of the target"
    return (
        f"Turn on image streaming on a node pool of the cluster, or start a node of {pool};"
        " the rung new-gpu-node adds one."
    )
