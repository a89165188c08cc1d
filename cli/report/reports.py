"""A report: every figure, the faults to fix, and the evidence of verdicts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from cli.report.fact_store import FactStore, StoredFact
from cli.report.figures import Group, ImageFigures, PlaceFigures, Spread
from cli.report.findings import Finding, Proof, find_causes, prove
from cli.report.prices import Prices
from cli.report.sources import Malformed, Reading
from cli.report.tallies import Figures
from shared.domain.timestamp import format_time

MOST_SHOWN: Final = 3
"""Pulls of an image that are shown for each verdict, the latest; ``--pulls`` has all."""

MOST_POINTS: Final = 5_000
"""Pulls and warmups in the picture over time, the latest."""

_SAMPLES: Final = """AND rowid IN (
    SELECT rowid FROM (
        SELECT rowid, row_number() OVER (
            PARTITION BY name, streamed ORDER BY at DESC, key DESC
        ) AS place FROM facts WHERE event = ?
    ) WHERE place <= ?
) ORDER BY name, at DESC, key DESC"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A pull, with the evidence of its verdict."""

    image: str
    at: float
    is_warmup: bool
    verdict: str | None
    seconds: float | None
    cluster: str | None
    node: str | None
    workload: str | None
    outcome: str | None
    hint: str | None
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A pull in the picture over time."""

    at: float
    seconds: float
    verdict: str
    """``warmup`` for a warmup's pull, with any verdict."""
    image: str
    node_pool: str
    """Empty where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report; it is the same for the same facts."""

    period: tuple[float, float] | None
    facts: Mapping[str, int]
    """How many, by kind."""
    total: Group
    compared: tuple[Spread | None, Spread | None]
    """Cold and streamed pulls of the images with measurements of both."""
    images: tuple[ImageFigures, ...]
    places: tuple[PlaceFigures, ...]
    findings: tuple[Finding, ...]
    samples: tuple[Sample, ...]
    points: tuple[Point, ...]
    """By time."""
    prices: Prices
    malformed: int
    named: tuple[Malformed, ...]

    @property
    def warmed(self) -> int:
        """The number of images with a successful warmup."""
        return sum(1 for each in self.images if each.figures.time_to_warm is not None)


def make_report(store: FactStore, reading: Reading, prices: Prices) -> Report:
    """Sum up what a settled store holds."""
    figures = Figures(prices)
    images = tuple(figures.add_image(image, pulls) for image, pulls in store.pulls())
    return Report(
        period=store.period(),
        facts=store.count(),
        total=figures.total(),
        compared=figures.compared,
        images=images,
        places=tuple(figures.places()),
        findings=find_causes(store, images, prices),
        samples=tuple(_samples(store)),
        points=tuple(_points(store)),
        prices=prices,
        malformed=reading.malformed,
        named=tuple(sorted(reading.named)),
    )


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as one JSON object; points are left out, since ``--pulls`` has them all."""
    body = asdict(replace(report, points=()))
    del body["points"]
    body["period"] = None if report.period is None else [show_time(each) for each in report.period]
    cold, streamed = body.pop("compared")
    body["compared"] = {"cold": cold, "streamed": streamed}
    body["total"]["saving"]["net_money"] = report.total.saving.net_money
    for each, image in zip(body["images"], report.images, strict=True):
        each["figures"]["saving"]["net_money"] = image.figures.saving.net_money
        each["note"] = remark(image)
    for each in (*body["samples"], *body["findings"]):
        moment = "at" if "at" in each else "latest"
        each[moment] = show_time(each[moment]) if each[moment] else None
    return body


def by_weight(images: Iterable[ImageFigures]) -> list[ImageFigures]:
    """Return the images by their saving, then by the duration of their cold pulls."""
    return sorted(images, key=_weight)


def _weight(each: ImageFigures) -> tuple[float, float, str]:
    figures = each.figures
    saved = figures.saving.accelerator_seconds or 0.0
    return (-saved, -(figures.cold.median if figures.cold else 0.0), each.image)


def remark(image: ImageFigures) -> str | None:
    """
    Return the reason for a missing saving, or its baseline; ``None`` if neither applies.

    A warmup's own pull fills the cache, perhaps on another node, so the report names it if it is
    the only baseline.
    """
    figures = image.figures
    if figures.streamed is None:
        return None
    if figures.baseline is None:
        return "no baseline"
    return "baseline: its warmups" if figures.baseline == "warmups" else None


def show_time(at: float) -> str:
    """
    Return a time in the form of facts.

    >>> show_time(0.5)
    '1970-01-01T00:00:00.500000Z'
    """
    return format_time(datetime.fromtimestamp(at, UTC))


def _samples(store: FactStore) -> Iterator[Sample]:
    for event in ("pull.observed", "warmup.finished"):
        for stored in store.stored(event, _SAMPLES, event, MOST_SHOWN):
            yield sample_of(stored)


def sample_of(stored: StoredFact) -> Sample:
    """Return a pull in the form for a reader."""
    detail = stored.detail
    return Sample(
        image=stored.image,
        at=stored.at,
        is_warmup=stored.event == "warmup.finished",
        verdict=stored.streamed,
        seconds=stored.seconds,
        cluster=stored.cluster,
        node=stored.node,
        workload=", ".join(detail.workloads) if detail.workloads else detail.job,
        outcome=stored.outcome,
        hint=detail.hint,
        proofs=prove(stored),
    )


def _points(store: FactStore) -> Iterable[Point]:
    latest = "AND seconds IS NOT NULL ORDER BY at DESC, key DESC LIMIT ?"
    points = [
        _point(stored)
        for event in ("pull.observed", "warmup.finished")
        for stored in store.stored(event, latest, MOST_POINTS)
    ]
    return sorted(points)[-MOST_POINTS:]


def _point(stored: StoredFact) -> Point:
    verdict = "warmup" if stored.event == "warmup.finished" else stored.streamed or "unknown"
    return Point(stored.at, stored.seconds or 0.0, verdict, stored.image, stored.node_pool or "")
