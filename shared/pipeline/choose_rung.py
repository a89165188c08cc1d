"""Climb the ladder: the first rung that can serve is taken."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

from shared.domain.image_reference import Digest
from shared.domain.ladder import (
    PREWARM_RUNG,
    Node,
    Rung,
    RungUnavailableError,
    Strategy,
    plan_rung,
    plan_warm_pool,
    serve_rung,
)
from shared.domain.placement import ACCELERATOR_KEY, Placement
from shared.errors import ImageError
from shared.pipeline.plan_prewarm import PrewarmUnavailableError
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import WarmedCluster

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ladder:
    """The ladder of a deployment, in one cluster."""

    settings: Settings
    cluster: "WarmedCluster"

    def climb(
        self,
        target: Placement,
        platform: str | None,
        digest: Digest | None,
        prewarm: Callable[[], _T],
    ) -> tuple[Strategy | _T, str | None]:
        """
        Return how the first rung serves that can; and why not prewarming, if that is news.

        Args:
            target: Where the image shall be warm.
            platform: ``os/architecture`` that is asked for; None where that is left open.
            digest: The image's; None where it is not known, and no node is said to hold it.
            prewarm: Serves the rung that needs no node, or raises a ``RungUnavailableError``.

        Raises:
            ImageError: None can serve (``no_node``).
            TransientError: The cluster is unavailable, or what ``prewarm`` asks.
            ConfigurationError: One of them refuses our identity.
        """
        reasons: list[str] = []
        passed: PrewarmUnavailableError | None = None
        for name, plan in self._plans(target, platform):
            try:
                if name == PREWARM_RUNG:
                    return prewarm(), None
                strategy = self._serve(plan(), digest, platform)
            except RungUnavailableError as exc:
                reasons.append(f"{name}: {exc}")
                passed = exc if isinstance(exc, PrewarmUnavailableError) else passed
            else:
                return strategy, str(passed) if passed and passed.is_news else None
        hint = passed.hint if passed and passed.hint else _no_node_hint(target)
        raise ImageError("no_node", "; ".join(reasons), hint=hint)

    def _plans(
        self, target: Placement, platform: str | None
    ) -> Iterator[tuple[str, Callable[[], Rung]]]:
        """Yield the rungs in order; a warm pool serves where any-node finds no ready node."""
        is_autopilot = self.cluster.is_autopilot
        for name in self.settings.ladder:
            yield name, partial(plan_rung, name, target, platform, is_autopilot=is_autopilot)
            if name == "any-node" and self.settings.warm_pool and not is_autopilot:
                yield "the warm pool", partial(plan_warm_pool, platform)

    def _serve(self, rung: Rung, digest: Digest | None, platform: str | None) -> Strategy:
        selector = ",".join(f"{key}={value}" for key, value in rung.node_selector.items())
        nodes = [Node.from_body(body) for body in self.cluster.list_nodes(selector)]
        return serve_rung(rung, nodes, digest, platform=platform)


def refuse_to_prewarm() -> NoReturn:
    """
    Stand in for prewarming where nothing may be asked for.

    Raises:
        RungUnavailableError: Always.
    """
    raise RungUnavailableError("Artifact Registry is not asked here")


def _no_node_hint(placement: Placement) -> str:
    accelerator = dict(placement.node_selector).get(ACCELERATOR_KEY)
    pool = f"a {accelerator} node pool" if accelerator else "a node pool of the target"
    return (
        f"Turn on image streaming on a node pool of the cluster, or start a node of {pool};"
        " the rung new-gpu-node adds one."
    )
