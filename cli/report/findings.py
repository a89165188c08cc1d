"""The causes that keep images from streaming, most expensive first, with commands and evidence."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from cli.report.entries import ReadFact
from cli.report.facts import Facts
from cli.report.figures import ImageFigures
from cli.report.fix_commands import (
    command_for_bypass,
    command_for_image,
    command_for_pool,
)
from cli.report.prices import Prices
from shared.domain.fact import GOOD_OUTCOMES

Kind = Literal["mirror_distrusted", "not_streamed", "warmup_failed", "mirror_bypassed", "unknown"]

_Key = TypeVar("_Key")

_ORDER: Final[tuple[Kind, ...]] = (
    "mirror_distrusted",
    "not_streamed",
    "warmup_failed",
    "mirror_bypassed",
    "unknown",
)
PAGES: Final[dict[Kind, str]] = {
    "mirror_distrusted": "docs/operations.md#mirrors",
    "not_streamed": "docs/not-streaming.md",
    "warmup_failed": "docs/operations.md#outcomes",
    "mirror_bypassed": "docs/rewriting.md",
    "unknown": "docs/not-streaming.md#node",
}
"""The page that explains a kind of cause."""

_OUTCOMES: Final = {
    "pull_failed": "could not be pulled",
    "not_allowed": "may not be mirrored",
    "misconfigured": "cannot be warmed with this configuration",
    "postponed": "was postponed by a limit",
    "no_node": "found no node to be warmed on",
    "timed_out": "took too long to warm",
    "already_present": "was on every node, so no warmup used the cache",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A log entry that is evidence."""

    insert_id: str | None
    log: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """An image that a cause affects."""

    image: str
    times: int
    latest: float | None
    """In seconds since 1970."""
    waited_seconds: float = 0.0
    """The accelerator seconds of its pulls."""
    waited_money: float = 0.0
    """Their cost, where the price is known."""
    reason: str | None = None
    workloads: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    """The evidence of the latest occurrence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A cause that keeps images from streaming, in a cluster."""

    kind: Kind
    title: str
    cluster: str | None
    hint: str | None
    affected: tuple[Affected, ...]
    """The images, the one that waited longest first."""
    commands: tuple[str, ...] = ()
    """Commands that fix the cause, or show more about it."""

    @property
    def page(self) -> str:
        """The page that explains the cause."""
        return PAGES[self.kind]

    @property
    def times(self) -> int:
        """How often the cause occurred."""
        return sum(each.times for each in self.affected)

    @property
    def latest(self) -> float | None:
        """The time of the latest occurrence, in seconds since 1970."""
        return max((each.latest for each in self.affected if each.latest is not None), default=None)

    @property
    def waited_seconds(self) -> float:
        """The accelerator seconds of the affected pulls."""
        return sum(each.waited_seconds for each in self.affected)

    @property
    def waited_money(self) -> float:
        """The cost of the affected pulls, where the price is known."""
        return sum(each.waited_money for each in self.affected)


def find_causes(
    facts: Facts, images: Iterable[ImageFigures], prices: Prices
) -> tuple[Finding, ...]:
    """Return the causes to fix, the worst first: by kind, then by cost, then by number."""
    warmups = _last_warmups(facts)
    found = [
        *_distrusted(facts, warmups),
        *_not_streamed(facts, prices),
        *_failed(warmups),
        *_bypassed(facts),
        *_unknown(images),
    ]
    return tuple(sorted(found, key=_rank))


def prove(fact: ReadFact) -> tuple[Proof, ...]:
    """Return the evidence of a fact, with the fact itself last."""
    rest = [Proof(each.insert_id, each.log, each.text) for each in fact.fields.evidence or ()]
    return (*rest, Proof(fact.insert_id, fact.log, f"the fact {fact.fields.event}"))


def name_workloads(fact: ReadFact) -> tuple[str, ...]:
    """Return the workloads that a fact names."""
    one = fact.fields.workload
    return (one,) if one else tuple(fact.fields.workloads or ())


def short(image: str) -> str:
    """
    Return the last part of an image's name, which people use.

    >>> short("docker.io/anyscale/ray-ml:2.7.0")
    'ray-ml:2.7.0'
    >>> short("r.io/apps/trainer@sha256:ef7ebee24e79021c9dabd4934f4a196882b524b47")
    'trainer@sha256:ef7ebee2'
    """
    name = image.rpartition("/")[2]
    head, at, digest = name.partition("@")
    return f"{head}@{digest[:15]}" if at else head


def name_images(affected: tuple[Affected, ...]) -> str:
    """
    Return the subject of a title: one image, or how many.

    >>> name_images((Affected(image="docker.io/a/b:1", times=1, latest=None),))
    'b:1'
    """
    return short(affected[0].image) if len(affected) == 1 else f"{len(affected)} images"


def _rank(finding: Finding) -> tuple[object, ...]:
    return (
        _ORDER.index(finding.kind),
        -finding.waited_seconds,
        -finding.times,
        finding.affected[0].image,
        finding.cluster or "",
        finding.title,
        finding.hint or "",
    )


def _distrusted(facts: Facts, warmups: Iterable[ReadFact]) -> Iterator[Finding]:
    """Yield distrusted mirrors without a later warmup through them."""
    good = [each for each in warmups if each.fields.outcome in GOOD_OUTCOMES]
    distrusted = facts.of("mirror.distrusted")
    last = {(each.fields.cluster, each.fields.upstream): each for each in distrusted}
    for (cluster, upstream), fact in last.items():
        prefix = f"{upstream}/"
        if any(
            each.fields.cluster == cluster
            and (each.fields.image or "").startswith(prefix)
            and each.at > fact.at
            for each in good
        ):
            continue
        yield Finding(
            kind="mirror_distrusted",
            title=f"pulls through the mirror of {upstream} failed",
            cluster=cluster,
            hint=fact.fields.hint,
            affected=(_affected([fact]),),
            commands=command_for_image("doctor", fact.fields.image, cluster),
        )


def _not_streamed(facts: Facts, prices: Prices) -> Iterator[Finding]:
    """Yield the slow pulls of workloads, by cluster and remedy."""
    slow = [each for each in facts.of("pull.observed") if each.fields.streamed == "not_streamed"]

    def remedy(fact: ReadFact) -> tuple[str | None, ...]:
        fields = fact.fields
        return fields.cluster, fields.hint, command_for_pool(fields)

    for (cluster, hint, fix), group in _group(slow, remedy):
        affected = _by_image(group, prices)
        pulled = "was" if len(affected) == 1 else "were"
        yield Finding(
            kind="not_streamed",
            title=f"{name_images(affected)} {pulled} pulled without streaming",
            cluster=cluster,
            hint=hint,
            affected=affected,
            commands=(fix,) if fix else command_for_image("doctor", affected[0].image, cluster),
        )


def _failed(warmups: Iterable[ReadFact]) -> Iterator[Finding]:
    """Yield the failed warmups without a later success, by cluster, outcome and remedy."""
    every = list(warmups)
    good = {
        (each.fields.image, each.fields.cluster): each.at
        for each in every
        if each.fields.outcome in GOOD_OUTCOMES
    }

    def is_open(fact: ReadFact) -> bool:
        fields = fact.fields
        is_past = fields.target is None and good.get((fields.image, fields.cluster), 0.0) > fact.at
        return fields.outcome not in GOOD_OUTCOMES and not is_past

    def remedy(fact: ReadFact) -> tuple[str | None, ...]:
        fields = fact.fields
        return fields.cluster, fields.outcome, _without_names(fact)

    for (cluster, outcome, _), group in _group(filter(is_open, every), remedy):
        affected = _by_image(group, None)
        said = _OUTCOMES.get(outcome or "", f"ended as {outcome}")
        if len(affected) > 1:
            said = said.replace("was ", "were ").replace("has ", "have ")
        yield Finding(
            kind="warmup_failed",
            title=f"{name_images(affected)} {said}",
            cluster=cluster,
            hint=group[-1].fields.hint,
            affected=affected,
            commands=command_for_image("status", affected[0].image, cluster),
        )


def _bypassed(facts: Facts) -> Iterator[Finding]:
    """Yield the workloads that pull from an upstream past its mirror, by cluster and reason."""

    def remedy(fact: ReadFact) -> tuple[str | None, ...]:
        return fact.fields.cluster, fact.fields.reason, fact.fields.hint

    for (cluster, reason, hint), group in _group(facts.of("mirror.bypassed"), remedy):
        affected = _by_image(group, None)
        workloads = tuple(dict.fromkeys(name for each in affected for name in each.workloads))
        pulled = "is" if len(affected) == 1 else "are"
        yield Finding(
            kind="mirror_bypassed",
            title=f"{name_images(affected)} {pulled} pulled from the upstream, past the mirror",
            cluster=cluster,
            hint=hint,
            affected=affected,
            commands=command_for_bypass(reason, workloads, cluster),
        )


def _unknown(images: Iterable[ImageFigures]) -> Iterator[Finding]:
    """Yield the images whose pulls all have an unknown verdict: their nodes may not stream."""
    found: dict[str | None, list[ImageFigures]] = defaultdict(list)
    for each in images:
        if each.figures.pulls and each.figures.verdicts["unknown"] == each.figures.pulls:
            found[each.clusters[0] if len(each.clusters) == 1 else None].append(each)
    for cluster, group in found.items():
        ranked = sorted(group, key=lambda each: (-each.figures.pulls, each.image))
        affected = tuple(
            Affected(image=each.image, times=each.figures.pulls, latest=None) for each in ranked
        )
        streams = "streams" if len(affected) == 1 else "stream"
        yield Finding(
            kind="unknown",
            title=f"no evidence shows whether {name_images(affected)} {streams}",
            cluster=cluster,
            hint="Check that image streaming is on for the node pools that run them.",
            affected=affected,
            commands=command_for_image("doctor", affected[0].image, cluster),
        )


def _last_warmups(facts: Facts) -> list[ReadFact]:
    """Return the last warmup of each image, cluster and target."""
    last = {
        (each.fields.image, each.fields.cluster, each.fields.target): each
        for each in facts.of("warmup.finished")
    }
    return list(last.values())


def _group(
    facts: Iterable[ReadFact], key: Callable[[ReadFact], _Key]
) -> Iterator[tuple[_Key, list[ReadFact]]]:
    """Yield the facts of each key in the order of time."""
    groups: dict[_Key, list[ReadFact]] = defaultdict(list)
    for fact in facts:
        groups[key(fact)].append(fact)
    yield from groups.items()


def _by_image(facts: Iterable[ReadFact], prices: Prices | None) -> tuple[Affected, ...]:
    """Return each image once, the one that waited longest first."""
    found = [_affected(group, prices) for _, group in _group(facts, lambda each: each.fields.image)]
    return tuple(sorted(found, key=lambda each: (-each.waited_seconds, -each.times, each.image)))


def _affected(facts: list[ReadFact], prices: Prices | None = None) -> Affected:
    """Return an image from the facts about it, oldest first."""
    last = facts[-1]
    seconds = money = 0.0
    for fields in (each.fields for each in facts):
        if prices is not None:
            count = prices.accelerators_on(fields.node_pool, fields.accelerator)
            waited = count * (fields.pull_seconds or 0.0)
            seconds += waited
            money += prices.waiting_cost(fields.accelerator, waited) or 0.0
    return Affected(
        image=last.fields.image or "",
        times=len(facts),
        latest=last.at,
        waited_seconds=seconds,
        waited_money=money,
        reason=last.fields.reason,
        workloads=name_workloads(last),
        proofs=prove(last),
    )


def _without_names(fact: ReadFact) -> str | None:
    """Return a hint without the names of the image, so that equal remedies are one cause."""
    hint = fact.fields.hint
    for name in (fact.fields.mirror, fact.fields.image):
        if hint is not None and name:
            hint = hint.replace(name, "the image")
    return hint
