"""Count the images of a cluster by their states, as the sweep's log line does."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from cli.status.warmup_state import WarmupState
from cli.terminal import count
from shared.domain.fact import NOT_ALLOWED
from shared.domain.image_state import State

CountedState = Literal["warm", "held", "warming", "failed", "not_eligible", "due"]

COUNTED_STATES: Final[tuple[CountedState, ...]] = (
    "warm",
    "held",
    "warming",
    "failed",
    "not_eligible",
    "due",
)

_WORST_FIRST: Final[tuple[CountedState, ...]] = (
    "failed",
    "held",
    "warming",
    "warm",
    "due",
    "not_eligible",
)
"""A target where the image is due is not in use any more, if the image is warm on another one."""

_NAMES: Final[Mapping[State, CountedState]] = {
    "warm": "warm",
    "held": "held",
    "warming": "warming",
    "waiting": "warming",
    "failed": "failed",
    "due": "due",
}

_WRONG_REGION = "wrong_region"


def count_images(states: Iterable[WarmupState]) -> dict[CountedState, int]:
    """
    Return the number of images in each state, from their states on targets of one cluster.

    Only the latest version of an image counts. An image that Artifact Registry keeps prewarmed is
    warm; another one is in the worst state of its targets.
    """
    versions: dict[tuple[str, str | None], list[WarmupState]] = defaultdict(list)
    for each in states:
        versions[each.mirror or each.image, each.digest].append(each)
    latest: dict[str, list[WarmupState]] = {}
    for rows in sorted(versions.values(), key=lambda rows: max(each.since for each in rows)):
        latest |= {each.image: rows for each in rows}
    distinct = {id(rows): rows for rows in latest.values()}
    counts = Counter(map(_judge, distinct.values()))
    return {each: counts[each] for each in COUNTED_STATES}


def show_counts(counts: Mapping[CountedState, int]) -> str:
    """
    Return the counts in one line.

    >>> show_counts({"warm": 1, "held": 0, "not_eligible": 2})
    '3 images: 1 warm, 2 not eligible'
    """
    total = sum(counts.values())
    parts = [f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number]
    return f"{count(total, 'image')}: {', '.join(parts)}"


def _judge(rows: Sequence[WarmupState]) -> CountedState:
    if any(each.state == "warm" and each.target is None for each in rows):
        return "warm"
    found = {_name(each) for each in rows}
    return next(each for each in _WORST_FIRST if each in found)


def _name(row: WarmupState) -> CountedState:
    last = row.last
    if row.state == "failed" and last is not None:
        is_far = (last.reason or "").startswith(_WRONG_REGION)
        if last.outcome == NOT_ALLOWED or is_far:
            return "not_eligible"
    return _NAMES[row.state]
