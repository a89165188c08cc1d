"""
Sums over pulls and warmups, image by image.

Pulls are sorted, so the same facts give the same sums. Only the seconds of the pulls stay in
memory, at eight bytes each.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cli.report.figures import (
    VERDICTS,
    Baseline,
    Group,
    ImageFigures,
    Place,
    PlaceFigures,
    Pull,
    Saving,
    Spread,
    spread_of,
)
from cli.report.prices import Prices
from shared.domain.fact import GOOD_OUTCOMES, fills_cache
from shared.domain.streaming_verdict import NODE_WITHOUT_IMAGE, Streamed

_NODE_LACKED = ({"kind": NODE_WITHOUT_IMAGE},)


def _seconds() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class _Waits:
    """Streamed pulls of one image at one place: the input of a saving."""

    pulls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Tally:
    """Counts pulls; its seconds are kept in arrays of eight bytes each."""

    pulls: int = 0
    warmups: int = 0
    failed: int = 0
    verdicts: Counter[Streamed] = field(default_factory=Counter)
    warmup_verdicts: Counter[Streamed] = field(default_factory=Counter)
    cold: "array[float]" = field(default_factory=_seconds)
    cold_warmups: "array[float]" = field(default_factory=_seconds)
    streamed: "array[float]" = field(default_factory=_seconds)
    to_warm: "array[float]" = field(default_factory=_seconds)
    image_bytes: int | None = None
    warming_money: float | None = None
    unpriced_warmups: int = 0

    def add(self, pull: Pull, prices: Prices) -> None:
        if pull.image_bytes is not None:
            self.image_bytes = pull.image_bytes
        if pull.is_warmup:
            self._add_warmup(pull, prices)
            return
        self.pulls += 1
        self.verdicts[pull.streamed or "unknown"] += 1
        if pull.seconds is None:
            return
        if pull.streamed == "streamed":
            self.streamed.append(pull.seconds)
        elif pull.streamed == "not_streamed":
            self.cold.append(pull.seconds)

    def _add_warmup(self, pull: Pull, prices: Prices) -> None:
        self.warmups += 1
        self.failed += pull.outcome not in GOOD_OUTCOMES
        if pull.streamed is not None:
            self.warmup_verdicts[pull.streamed] += 1
        if pull.streamed == "not_streamed" and pull.seconds is not None:
            self.cold_warmups.append(pull.seconds)
        is_warm = fills_cache(pull.outcome, pull.streamed, _NODE_LACKED if pull.node_lacked else ())
        if is_warm and pull.total_seconds is not None:
            self.to_warm.append(pull.total_seconds)
        took = pull.total_seconds or pull.seconds or 0.0
        cost = prices.warming_cost(pull.strategy, took, pull.node_pool, pull.accelerator)
        if cost is None:
            self.unpriced_warmups += 1
        else:
            self.warming_money = (self.warming_money or 0.0) + cost

    def close(self, saving: Saving, *, is_image: bool) -> Group:
        baseline: Baseline | None = (
            "pulls" if self.cold else "warmups" if self.cold_warmups else None
        )
        return Group(
            pulls=self.pulls,
            warmups=self.warmups,
            failed_warmups=self.failed,
            verdicts={each: self.verdicts[each] for each in VERDICTS},
            warmup_verdicts={each: self.warmup_verdicts[each] for each in VERDICTS},
            cold=spread_of(self.cold or self.cold_warmups),
            baseline=baseline,
            streamed=spread_of(self.streamed),
            time_to_warm=spread_of(self.to_warm),
            image_bytes=self.image_bytes if is_image else None,
            saving=saving,
        )


@dataclass(slots=True)
class _SavingTally:
    """Sums savings; a sum without any addend is unknown."""

    pull_seconds: float | None = None
    accelerator_seconds: float | None = None
    money: float | None = None
    counted: int = 0
    without_baseline: int = 0
    without_accelerator: int = 0
    unpriced_seconds: float = 0.0

    def add(self, place: Place, waits: _Waits, cold: float | None, prices: Prices) -> None:
        if cold is None:
            self.without_baseline += waits.pulls
            return
        self.counted += waits.pulls
        seconds = cold * waits.pulls - waits.seconds
        self.pull_seconds = (self.pull_seconds or 0.0) + seconds
        count = prices.accelerators_on(place.node_pool, place.accelerator)
        if not count:
            self.without_accelerator += waits.pulls
            return
        waited = count * seconds
        self.accelerator_seconds = (self.accelerator_seconds or 0.0) + waited
        cost = prices.waiting_cost(place.accelerator, waited)
        if cost is None:
            self.unpriced_seconds += waited
        else:
            self.money = (self.money or 0.0) + cost

    def close(self, tally: _Tally) -> Saving:
        return Saving(
            pull_seconds=self.pull_seconds,
            accelerator_seconds=self.accelerator_seconds,
            money=self.money,
            counted_pulls=self.counted,
            without_baseline=self.without_baseline,
            without_accelerator=self.without_accelerator,
            unpriced_seconds=self.unpriced_seconds,
            warming_money=tally.warming_money,
            unpriced_warmups=tally.unpriced_warmups,
        )


class Figures:
    """Sums up pulls that are sorted by image and time; its memory grows with the images."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._total = _Tally()
        self._total_saving = _SavingTally()
        self._places: dict[Place, tuple[_Tally, _SavingTally]] = {}
        self._compared = (_seconds(), _seconds())

    def add_image(self, image: str, pulls: Iterable[Pull]) -> ImageFigures:
        """Sum up all pulls of one image, each image once, in one order for the same facts."""
        tally, saving = _Tally(), _SavingTally()
        waits: dict[Place, _Waits] = {}
        clusters: set[str] = set()
        namespaces: set[str] = set()
        for pull in pulls:
            place = Place(pull.cluster, pull.node_pool, pull.accelerator)
            clusters |= {pull.cluster} if pull.cluster else set()
            namespaces |= {pull.namespace} if pull.namespace else set()
            for each in (tally, self._total, self._at(place)[0]):
                each.add(pull, self._prices)
            if pull.streamed == "streamed" and not pull.is_warmup and pull.seconds is not None:
                waited = waits.setdefault(place, _Waits())
                waited.pulls += 1
                waited.seconds += pull.seconds
        cold = spread_of(tally.cold or tally.cold_warmups)
        for place, waited in waits.items():
            for one in (saving, self._total_saving, self._at(place)[1]):
                one.add(place, waited, None if cold is None else cold.median, self._prices)
        if cold is not None and tally.streamed:
            self._compared[0].extend(tally.cold or tally.cold_warmups)
            self._compared[1].extend(tally.streamed)
        figures = tally.close(saving.close(tally), is_image=True)
        return ImageFigures(
            image, tuple(sorted(clusters)), figures, namespaces=tuple(sorted(namespaces))
        )

    @property
    def compared(self) -> tuple[Spread | None, Spread | None]:
        """Cold and streamed pulls of all images with measurements of both."""
        return spread_of(self._compared[0]), spread_of(self._compared[1])

    def total(self) -> Group:
        """Return the figures of all images."""
        return self._total.close(self._total_saving.close(self._total), is_image=False)

    def places(self) -> Iterator[PlaceFigures]:
        """Yield the figures of each node pool that a fact names, in the order of their names."""
        for place in sorted(self._places, key=lambda each: tuple(part or "" for part in each)):
            if any(place):
                tally, saving = self._places[place]
                yield PlaceFigures(place, tally.close(saving.close(tally), is_image=False))

    def _at(self, place: Place) -> tuple[_Tally, _SavingTally]:
        if place not in self._places:
            self._places[place] = (_Tally(), _SavingTally())
        return self._places[place]
