"""The causes that keep images from streaming, most expensive first, with their evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from cli.report.fact_store import FactStore, StoredFact
from cli.report.figures import ImageFigures
from cli.report.prices import Prices
from shared.domain.fact import GOOD_OUTCOMES

Kind = Literal["mirror_distrusted", "not_streamed", "warmup_failed", "mirror_bypassed", "unknown"]

_ORDER: Final[tuple[Kind, ...]] = (
    "mirror_distrusted",
    "not_streamed",
    "warmup_failed",
    "mirror_bypassed",
    "unknown",
)

_OUTCOMES: Final = {
    "pull_failed": "could not be pulled",
    "not_allowed": "may not be mirrored",
    "misconfigured": "has a misconfigured mirror",
    "postponed": "was postponed by a limit of its upstream",
    "no_node": "found no node to be warmed on",
    "timed_out": "took too long to warm",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """A log entry that is evidence."""

    insert_id: str | None
    log: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A cause that keeps an image from streaming."""

    kind: Kind
    title: str
    image: str | None
    cluster: str | None
    times: int
    latest: float
    """In seconds since 1970."""
    waited_seconds: float | None = None
    """The accelerator seconds of the affected pulls."""
    reason: str | None = None
    hint: str | None = None
    workloads: tuple[str, ...] = ()
    proofs: tuple[Proof, ...] = ()
    """The evidence of the latest occurrence."""


def find_causes(
    store: FactStore, images: Iterable[ImageFigures], prices: Prices
) -> tuple[Finding, ...]:
    """Return the causes to fix, the worst first: by kind, then by cost, then by number."""
    warmups = list(_last_warmups(store))
    found = [
        *_distrusted(store, warmups),
        *_not_streamed(store, prices),
        *_failed(warmups),
        *_bypassed(store),
        *_unknown(images),
    ]
    return tuple(sorted(found, key=_rank))


def _rank(finding: Finding) -> tuple[object, ...]:
    return (
        _ORDER.index(finding.kind),
        -(finding.waited_seconds or 0.0),
        -finding.times,
        finding.image or "",
        finding.cluster or "",
        finding.title,
        finding.hint or "",
    )


def prove(stored: StoredFact) -> tuple[Proof, ...]:
    """Return the evidence of a fact, with the fact itself last."""
    detail = stored.detail
    rests = [Proof(each.insert_id, each.log, each.text) for each in detail.evidence or ()]
    itself = f"the fact {stored.event}"
    return (*rests, Proof(detail.insert_id, detail.log, itself))


def _not_streamed(store: FactStore, prices: Prices) -> Iterator[Finding]:
    """Group the slow pulls of workloads by image, cluster and remedy."""
    facts = store.stored(
        "pull.observed",
        "AND streamed = 'not_streamed'"
        " ORDER BY name, cluster, json_extract(detail, '$.hint'), at, key",
    )
    for (image, cluster, hint), group in groupby(
        facts, key=lambda stored: (stored.image, stored.cluster, stored.detail.hint)
    ):
        times, waited, last = 0, 0.0, None
        for stored in group:
            times += 1
            count = prices.accelerators_on(stored.node_pool, stored.accelerator)
            waited += count * (stored.seconds or 0.0)
            last = stored
        if last is not None:
            yield Finding(
                kind="not_streamed",
                title=f"{short(image)} was pulled without streaming",
                image=image,
                cluster=cluster,
                times=times,
                latest=last.at,
                waited_seconds=waited,
                hint=hint,
                workloads=tuple(last.detail.workloads or ()),
                proofs=prove(last),
            )


def _last_warmups(store: FactStore) -> Iterator[StoredFact]:
    """Yield the last warmup of each image, cluster and target."""
    last = None
    for stored in store.stored("warmup.finished", "ORDER BY name, cluster, target, at, key"):
        if last is not None and _which(last) != _which(stored):
            yield last
        last = stored
    if last is not None:
        yield last


def _which(stored: StoredFact) -> tuple[str | None, ...]:
    return (stored.image, stored.cluster, stored.target)


def _failed(warmups: Iterable[StoredFact]) -> Iterator[Finding]:
    """Yield the failed warmups without a later success."""
    every = list(warmups)
    good = {(each.image, each.cluster): each.at for each in every if each.outcome in GOOD_OUTCOMES}
    for stored in every:
        is_past = (
            stored.target is None and good.get((stored.image, stored.cluster), 0.0) > stored.at
        )
        if stored.outcome in GOOD_OUTCOMES or is_past:
            continue
        said = _OUTCOMES.get(stored.outcome or "", f"ended as {stored.outcome}")
        yield Finding(
            kind="warmup_failed",
            title=f"{short(stored.image)} {said}",
            image=stored.image,
            cluster=stored.cluster,
            times=1,
            latest=stored.at,
            reason=stored.detail.reason,
            hint=stored.detail.hint,
            proofs=prove(stored),
        )


def _distrusted(store: FactStore, warmups: Iterable[StoredFact]) -> Iterator[Finding]:
    """Yield distrusted mirrors without a later warmup through them."""
    good = [each for each in warmups if each.outcome in GOOD_OUTCOMES]
    facts = store.stored("mirror.distrusted", "ORDER BY cluster, at, key")
    last = {(stored.cluster, stored.detail.upstream): stored for stored in facts}
    for (cluster, upstream), stored in last.items():
        prefix = f"{upstream}/"
        if any(
            each.cluster == cluster and each.image.startswith(prefix) and each.at > stored.at
            for each in good
        ):
            continue
        yield Finding(
            kind="mirror_distrusted",
            title=f"pulls through the mirror of {upstream} failed",
            image=stored.image,
            cluster=cluster,
            times=1,
            latest=stored.at,
            reason=stored.detail.reason,
            hint=stored.detail.hint,
            proofs=prove(stored),
        )


def _bypassed(store: FactStore) -> Iterator[Finding]:
    facts = store.stored("mirror.bypassed", "ORDER BY name, cluster, at, key")
    for (image, cluster), group in groupby(
        facts, key=lambda stored: (stored.image, stored.cluster)
    ):
        *before, last = list(group)
        yield Finding(
            kind="mirror_bypassed",
            title=f"{short(image)} is pulled from its upstream, past its mirror",
            image=image,
            cluster=cluster,
            times=len(before) + 1,
            latest=last.at,
            hint=last.detail.hint,
            workloads=tuple(last.detail.workloads or ()),
            proofs=prove(last),
        )


def _unknown(images: Iterable[ImageFigures]) -> Iterator[Finding]:
    """Yield images whose pulls all have an unknown verdict: their nodes may not stream at all."""
    for each in images:
        figures = each.figures
        if figures.pulls and figures.verdicts["unknown"] == figures.pulls:
            yield Finding(
                kind="unknown",
                title=f"no evidence shows whether {short(each.image)} streams",
                image=each.image,
                cluster=None,
                times=figures.pulls,
                latest=0.0,
                hint="Check that image streaming is on for the node pools that run it: prestream"
                f" doctor --image {each.image}",
            )


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
