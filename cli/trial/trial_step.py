"""The pulls of a trial: their kinds, their order, and the nodes that they run on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from shared.domain.node import Node
from shared.domain.placement import ACCELERATOR_KEY

StepKind = Literal["upstream", "in_place", "mirror", "again", "accelerator", "prewarmed"]

ORDER: Final[tuple[StepKind, ...]] = (
    "upstream",
    "in_place",
    "mirror",
    "again",
    "accelerator",
    "prewarmed",
)
"""The order of the pulls: the upstream comes before the mirror fills the streaming cache."""

QUESTIONS: Final[frozenset[StepKind]] = frozenset({"in_place", "accelerator", "prewarmed"})
"""The pulls that answer open questions."""

KEYS: Final[Mapping[StepKind, str]] = {
    "upstream": "a",
    "mirror": "b",
    "again": "c",
    "in_place": "d",
    "accelerator": "e",
    "prewarmed": "f",
}

_POOL_KEY: Final = "cloud.google.com/gke-nodepool"
_MACHINE_KEY: Final = "node.kubernetes.io/instance-type"


@dataclass(frozen=True, slots=True)
class TrialNode:
    """The properties of a node that a reader needs to compare pulls."""

    name: str
    machine: str | None = None
    pool: str | None = None
    accelerator: str | None = None
    streams: bool = False

    @classmethod
    def of(cls, node: Node) -> "TrialNode":
        """Return the properties of a node."""
        labels = node.labels
        return cls(
            node.name,
            machine=labels.get(_MACHINE_KEY),
            pool=labels.get(_POOL_KEY),
            accelerator=labels.get(ACCELERATOR_KEY),
            streams=node.streams,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One pull."""

    kind: StepKind
    number: int = 1
    """From 1 on, for a kind that is repeated."""
    node: TrialNode | None = None
    """None on Autopilot, which chooses the node."""

    @property
    def key(self) -> str:
        """
        The name of the pull in tables.

        >>> Step("again").key, Step("again", 2).key
        ('c', 'c2')
        """
        return KEYS[self.kind] + (str(self.number) if self.number > 1 else "")


def describe(kind: StepKind, upstream: str | None) -> str:
    """
    Return the purpose of a pull.

    Args:
        kind: The kind of the pull.
        upstream: The host of the upstream; None for an image that needs no mirror.

    >>> describe("upstream", "docker.io"), describe("again", None)
    ('cold, from docker.io', 'second pull')
    """
    through = "through the mirror" if upstream else "pull"
    return {
        "upstream": f"cold, from {upstream}",
        "in_place": f"second, from {upstream}",
        "mirror": f"first {through}",
        "again": f"second {through}",
        "accelerator": "on an accelerator node",
        "prewarmed": "after the prewarm API",
    }[kind]
