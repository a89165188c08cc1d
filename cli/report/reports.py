"""A report: every figure, the faults to fix, and the evidence of verdicts."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from cli.connect.hub_pulls import HubPulls, count_hub_pulls, is_hub_name
from cli.report.entries import ReadFact
from cli.report.facts import Facts
from cli.report.figures import (
    VERDICTS,
    DayFigures,
    Group,
    ImageFigures,
    PlaceFigures,
    Spread,
    spread_of,
)
from cli.report.findings import Finding, Proof, find_causes, name_workloads, prove
from cli.report.prices import Prices
from cli.report.sources import Malformed, Reading
from cli.report.tallies import Figures
from shared.domain.fact import EventName
from shared.domain.streaming_verdict import Streamed
from shared.domain.timestamp import format_time

MOST_SHOWN: Final = 3
"""Pulls of an image that are shown for each verdict, the latest; ``--pulls`` has all."""

MOST_POINTS: Final = 1_500
"""The maximum of pulls and warmups that are drawn one by one; more are summed up by day."""

_PULL_EVENTS: Final[tuple[EventName, ...]] = ("pull.observed", "warmup.finished")


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

    simulated: int
    """The number of facts about simulated nodes, whose durations are not measurements."""
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
    """Each pull and warmup, by time; none if there are more than ``MOST_POINTS``."""
    days: tuple[DayFigures, ...]
    """The pulls of each day."""
    prices: Prices
    hub_pulls: tuple[HubPulls, ...]
    """Pulls of docker.io images by their own names, by region."""
    malformed: int
    named: tuple[Malformed, ...]

    @property
    def warmed(self) -> int:
        """The number of images with a successful warmup."""
        return sum(1 for each in self.images if each.figures.time_to_warm is not None)


def make_report(facts: Facts, reading: Reading, prices: Prices) -> Report:
    """Sum up settled facts."""
    figures = Figures(prices)
    images = tuple(figures.add_image(image, pulls) for image, pulls in facts.pulls())
    return Report(
        simulated=facts.count_simulated(),
        period=facts.period(),
        facts=facts.count(),
        total=figures.total(),
        compared=figures.compared,
        images=images,
        places=tuple(figures.places()),
        findings=find_causes(facts, images, prices),
        samples=tuple(_samples(facts)),
        points=_points(facts),
        days=tuple(_days(facts)),
        prices=prices,
        hub_pulls=_count_hub_pulls(facts),
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
    body["hub_pulls"] = [each.as_json() for each in report.hub_pulls]
    body["total"]["saving"]["net_money"] = report.total.saving.net_money
    for each, image in zip(body["images"], report.images, strict=True):
        each["figures"]["saving"]["net_money"] = image.figures.saving.net_money
        each["note"] = remark(image)
        for name in ("cold_seconds_per_gigabyte", "streamed_seconds_per_gigabyte", "ratio"):
            each["figures"][name] = getattr(image.figures, name)
    body["findings"] = [_finding_as_json(each) for each in report.findings]
    for each in body["samples"]:
        each["at"] = show_time(each["at"])
    return body


def _count_hub_pulls(facts: Facts) -> tuple[HubPulls, ...]:
    pulls = (each.fields for each in facts.of("pull.observed"))
    return count_hub_pulls(
        (each.cluster, each.streamed, 1) for each in pulls if is_hub_name(each.mirror)
    )


def _finding_as_json(finding: Finding) -> dict[str, Any]:
    found = {
        **asdict(finding),
        "page": finding.page,
        "times": finding.times,
        "latest": finding.latest,
        "waited_seconds": finding.waited_seconds,
        "waited_money": finding.waited_money,
    }
    for each in (found, *found["affected"]):
        each["latest"] = None if each["latest"] is None else show_time(each["latest"])
    return found


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


def _samples(facts: Facts) -> Iterator[Sample]:
    for event in _PULL_EVENTS:
        groups: dict[tuple[str, str | None], deque[ReadFact]] = {}
        for fact in facts.of(event):
            key = (fact.fields.image or "", fact.fields.streamed)
            groups.setdefault(key, deque(maxlen=MOST_SHOWN)).append(fact)
        for _, latest in sorted(groups.items(), key=lambda each: (each[0][0], each[0][1] or "")):
            yield from map(sample_of, reversed(latest))


def sample_of(fact: ReadFact) -> Sample:
    """Return a pull in the form for a reader."""
    fields = fact.fields
    return Sample(
        image=fields.image or "",
        at=fact.at,
        is_warmup=fields.event == "warmup.finished",
        verdict=fields.streamed,
        seconds=fields.pull_seconds,
        cluster=fields.cluster,
        node=fields.node,
        workload=", ".join(name_workloads(fact)) or fields.job,
        outcome=fields.outcome,
        hint=fields.hint,
        proofs=prove(fact),
    )


def _points(facts: Facts) -> tuple[Point, ...]:
    if sum(len(facts.of(event)) for event in _PULL_EVENTS) > MOST_POINTS:
        return ()
    points = (_point(fact) for event in _PULL_EVENTS for fact in facts.of(event))
    return tuple(sorted(point for point in points if point is not None))


def _days(facts: Facts) -> Iterator[DayFigures]:
    for day, group in groupby(facts.of("pull.observed"), key=lambda each: show_time(each.at)[:10]):
        verdicts: Counter[Streamed] = Counter()
        seconds: dict[str, list[float]] = {"streamed": [], "not_streamed": []}
        for fact in group:
            verdict = fact.fields.streamed or "unknown"
            verdicts[verdict] += 1
            if fact.fields.pull_seconds is not None and verdict in seconds:
                seconds[verdict].append(fact.fields.pull_seconds)
        yield DayFigures(
            day,
            {each: verdicts[each] for each in VERDICTS},
            cold=spread_of(seconds["not_streamed"]),
            streamed=spread_of(seconds["streamed"]),
        )


def _point(fact: ReadFact) -> Point | None:
    fields = fact.fields
    if fields.pull_seconds is None:
        return None
    verdict = "warmup" if fields.event == "warmup.finished" else fields.streamed or "unknown"
    return Point(fact.at, fields.pull_seconds, verdict, fields.image or "", fields.node_pool or "")
