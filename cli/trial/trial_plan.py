"""Plan a trial: a pure function from the nodes and the options to the pulls, each on its node."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cli.trial.node_choice import NodeChoice
from cli.trial.trial_step import ORDER, QUESTIONS, Step, StepKind, TrialNode
from shared.domain.image_reference import DOCKER_HUB

_MORE_STREAMING = "needs one more node with image streaming that does not hold the image"
_MORE = "needs one more node that does not hold the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOptions:
    """The options that decide which pulls a trial makes."""

    upstream: str | None
    """The host of the upstream; None for an image that needs no mirror."""
    repeats: int = 1
    """How often the second pull is made."""
    asks_questions: bool = False
    has_second_image: bool = False
    is_autopilot: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A pull that the trial cannot make."""

    step: Step
    reason: str
    lacks_node: bool = False


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """The pulls of a trial, in order."""

    steps: tuple[Step, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    choice: NodeChoice = field(default_factory=NodeChoice)

    @property
    def needed(self) -> int:
        """The number of nodes that the complete trial needs."""
        missing = sum(each.lacks_node for each in self.left_out)
        return sum(each.kind != "prewarmed" for each in self.steps) + missing

    @property
    def missing(self) -> int:
        """The number of nodes to be added for the complete trial."""
        return sum(each.lacks_node for each in self.left_out)

    @property
    def machines(self) -> frozenset[str | None]:
        """The machine types that are compared."""
        return frozenset(each.node.machine for each in self.steps if each.node)

    def has(self, kind: StepKind) -> bool:
        """Whether the trial makes a pull of a kind."""
        return any(each.kind == kind for each in self.steps)


def plan_trial(options: TrialOptions, choice: NodeChoice) -> TrialPlan:
    """
    Return the pulls of a trial.

    Each pull has a node of its own, which does not hold the image. If there are too few nodes, the
    first and the second pull through the mirror come first, because without them a trial shows
    nothing. On Autopilot, the cluster chooses the nodes.
    """
    wanted, refused = _split_wanted(options)
    if options.is_autopilot:
        without_accelerator = [each for each in wanted if each.kind != "accelerator"]
        refused += [
            LeftOut(each, "Autopilot adds an accelerator node only for a pod that requests one")
            for each in wanted
            if each.kind == "accelerator"
        ]
        return TrialPlan(_sort(without_accelerator), tuple(refused), choice)
    assigned = _Assignment(choice)
    for step in wanted:
        assigned.assign(step)
    left_out = (*refused, *assigned.left_out)
    return TrialPlan(_sort(assigned.steps), left_out, choice)


def _split_wanted(options: TrialOptions) -> tuple[list[Step], list[LeftOut]]:
    """Return the pulls that make sense, the most important first, and the others."""
    refused: list[LeftOut] = []
    wanted = [Step("mirror"), Step("again")]
    if options.upstream is not None:
        wanted.append(Step("upstream"))
    else:
        reason = "the image is in Artifact Registry, so it has no upstream"
        refused.append(LeftOut(Step("upstream"), reason))
    wanted += [Step("again", number) for number in range(2, options.repeats + 1)]
    if not options.asks_questions:
        return wanted, refused
    # The accelerator node is chosen before repetitions can take it.
    wanted.insert(2, Step("accelerator"))
    if options.upstream == DOCKER_HUB:
        wanted.append(Step("in_place"))
    else:
        refused.append(LeftOut(Step("in_place"), "the image is not from Docker Hub"))
    if options.has_second_image:
        wanted.append(Step("prewarmed"))
    else:
        reason = "needs an image that the streaming cache does not hold: add --second-image IMAGE"
        refused.append(LeftOut(Step("prewarmed"), reason))
    return wanted, refused


class _Assignment:
    """Gives each pull a node that no other pull has."""

    def __init__(self, choice: NodeChoice) -> None:
        self._free = list(choice.suitable)
        self._streaming = bool(choice.streaming)
        self.steps: list[Step] = []
        self.left_out: list[LeftOut] = []

    def assign(self, step: Step) -> None:
        """Give a pull a node, or leave it out."""
        if obstacle := self._find_obstacle(step):
            self.left_out.append(LeftOut(step, obstacle))
            return
        if step.kind == "prewarmed":
            # Its node lacks another image, and is chosen when that image is known.
            self.steps.append(step)
            return
        node = next((each for each in self._free if self._serves(step, each)), None)
        if node is None:
            reason = _MORE if step.kind == "upstream" or not self._streaming else _MORE_STREAMING
            if step.kind == "accelerator":
                reason = "needs an accelerator node with image streaming, without the image"
            self.left_out.append(LeftOut(step, reason, lacks_node=True))
            return
        self._free.remove(node)
        self.steps.append(Step(step.kind, step.number, node))

    def _find_obstacle(self, step: Step) -> str | None:
        """Return why a pull would show nothing, even with a node."""
        first = next((each.node for each in self.steps if each.kind == "mirror"), None)
        if step.kind in {"again", "accelerator"} and first is None:
            return "needs the first pull through the mirror"
        if step.kind == "in_place" and not any(each.kind == "upstream" for each in self.steps):
            return "needs the cold pull from the upstream"
        if step.kind in QUESTIONS and not self._streaming:
            return "no node has image streaming on"
        if step.kind == "accelerator" and first is not None and first.accelerator:
            return "needs a node without an accelerator for the first pull"
        return None

    def _serves(self, step: Step, node: TrialNode) -> bool:
        """Whether a node suits a pull: a second pull shows streaming only on one that streams."""
        if step.kind == "accelerator" and not node.accelerator:
            return False
        return node.streams or not self._streaming or step.kind == "upstream"


def _sort(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda each: (ORDER.index(each.kind), each.number)))
