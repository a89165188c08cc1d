"""The targets of the figures, and whether they are met."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from tools.bench.calls import Call, is_job_post, is_manifest_request
from tools.bench.crowds import Crowd
from tools.bench.end_to_end import EndToEnd
from tools.bench.figures import Figures
from tools.bench.scenarios import DETECTORS, Scenario
from tools.bench.stages import CallsOfADelivery

_RATIOS: Final[Mapping[str, tuple[float, float, float | None]]] = {
    "ignored": (1.2, 1.25, 0.85),
    "published": (2.0, 2.2, None),
    "known reference": (2.3, 2.2, None),
    "fact written": (2.8, 2.7, None),
}
"""The maximum of cold start and memory and the minimum of the rate for each kind of delivery, as
ratios to the blank function."""

_ANY_FUNCTION: Final = frozenset({"known reference", "fact written"})
"""Kinds of which there is one function; the others are limited for detectors."""

MOST_TO_A_JOB: Final = 5
MOST_END_TO_END: Final = 1.5
MOST_AN_IMAGE: Final = 1.2


@dataclass(frozen=True, slots=True)
class Target:
    """A limit, and what was measured."""

    group: str
    subject: str
    measured: float
    limit: float
    is_least: bool = False
    """Whether the limit is the least, and not the most, that it may be."""

    @property
    def is_met(self) -> bool:
        """Whether what was measured keeps to the limit."""
        if self.is_least:
            return self.measured >= self.limit
        return self.measured <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return asdict(self) | {"is_met": self.is_met}


def judge_figures(
    scenarios: Sequence[Scenario], figures: Mapping[str, Figures]
) -> Iterator[Target]:
    """Yield the targets for cold start, memory and rate."""
    for scenario in scenarios:
        each = figures[scenario.name]
        if each.to_naive is None:
            continue
        floor, name = each.to_floor, scenario.name
        if scenario.kind in _RATIOS and (
            scenario.kind in _ANY_FUNCTION or scenario.function in DETECTORS
        ):
            cold, memory, rate = _RATIOS[scenario.kind]
            yield Target("to blank", f"{name}, cold start", floor.cold_start.median, cold)
            yield Target("to blank", f"{name}, memory", floor.pss.median, memory)
            if rate is not None:
                yield Target("to blank", f"{name}, rate", floor.rate.median, rate, is_least=True)
        naive = each.to_naive
        yield Target("to naive", f"{name}, cold start", naive.cold_start.median, 1.0)
        yield Target("to naive", f"{name}, memory", naive.pss.median, 1.0)
        yield Target("to naive", f"{name}, rate", naive.rate.median, 1.0, is_least=True)


def judge_calls(known: CallsOfADelivery, new: Mapping[str, CallsOfADelivery]) -> Iterator[Target]:
    """Yield the targets for the calls of references, known and new."""
    manifests = sum(map(is_manifest_request, known.cold))
    of_cluster = sum(each.service == "kubernetes" for each in known.cold)
    yield Target("calls", "known reference, manifest requests", manifests, 1)
    yield Target("calls", "known reference, Kubernetes calls", of_cluster, 1)
    yield Target("calls", "known reference, others", len(known.cold) - manifests - of_cluster, 0)
    yield Target("calls", "known reference, within the memory", len(known.warm), 0)
    for form, each in new.items():
        for state, calls in (("the first of an instance", each.cold), ("the next", each.warm)):
            yield Target(
                "calls", f"new reference, {form}, {state}: to the Job", to_job(calls), MOST_TO_A_JOB
            )


def judge_crowd(crowd: Crowd) -> Iterator[Target]:
    """Yield the targets for many events of few images."""
    what = f"{crowd.events:,} events of {crowd.images} images"
    yield Target(
        "calls", f"{what}, manifest requests an image", crowd.manifest_requests_an_image,
        MOST_AN_IMAGE,
    )  # fmt: skip
    yield Target("calls", f"{what}, Job posts an image", crowd.job_posts_an_image, MOST_AN_IMAGE)


def judge_end_to_end(measured: EndToEnd) -> Iterator[Target]:
    """Yield the target for the way from a write to its Job."""
    yield Target("end to end", "write to Job, to the floor", measured.ratio.median, MOST_END_TO_END)


def to_job(calls: Sequence[Call]) -> int:
    """Return how many calls were made until the Job exists, its own among them."""
    posts = [number for number, each in enumerate(calls, 1) if is_job_post(each)]
    return posts[0] if posts else len(calls)
