"""Pulls of docker.io images by their own names: whether they stream, region by region."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, Literal

from shared.domain.cluster import ClusterName
from shared.domain.image_reference import DOCKER_HUB, InvalidReferenceError, parse_reference
from shared.domain.json_access import mapping_of, text_of
from shared.domain.streaming_verdict import Streamed
from shared.domain.timestamp import parse_time

Mirroring = Literal["always", "never"]

_ENOUGH: Final = 5
"""Pulls with a verdict that are enough to recommend a setting."""


@dataclass(frozen=True, slots=True)
class HubPulls:
    """The pulls in one region that had to fetch an image."""

    region: str
    pulls: int
    streamed: int
    not_streamed: int
    """The others have no evidence."""

    @property
    def advice(self) -> Mirroring | None:
        """
        Return the setting of ``upstreams.docker.io.mirror`` that the pulls support, if any.

        The first pull of an image is never streamed, so half of all pulls are convincing.
        """
        if self.streamed >= _ENOUGH and self.streamed >= self.not_streamed:
            return "never"
        if not self.streamed and self.not_streamed >= _ENOUGH:
            return "always"
        return None

    def __str__(self) -> str:
        said = (
            f"docker.io images streamed in place in {self.region}:"
            f" {self.streamed} of {self.pulls} pulls"
        )
        if self.advice is None:
            return f"{said}; that is not enough to recommend a setting."
        return f"{said}; they support upstreams.docker.io.mirror: {self.advice}."

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "region": self.region,
            "pulls": self.pulls,
            "streamed": self.streamed,
            "not_streamed": self.not_streamed,
            "advice": self.advice,
        }


@lru_cache(maxsize=4096)
def is_hub_name(pulled: str | None) -> bool:
    """
    Whether an image was pulled from Docker Hub itself.

    >>> is_hub_name("nginx:1"), is_hub_name("us-docker.pkg.dev/demo/dockerhub-mirror/library/nginx")
    (True, False)
    """
    try:
        return parse_reference(pulled or "").registry == DOCKER_HUB
    except InvalidReferenceError:
        return False


def count_hub_pulls(
    pulls: Iterable[tuple[str | None, Streamed | None, int]],
) -> tuple[HubPulls, ...]:
    """
    Count pulls of Docker Hub images by region.

    Args:
        pulls: The cluster, the verdict and the number of some pulls by an own name.
    """
    counted: defaultdict[str, Counter[Streamed | None]] = defaultdict(Counter)
    for cluster, verdict, number in pulls:
        if verdict != "cached_on_node":
            counted[_region_of(cluster)][verdict] += number
    return tuple(
        HubPulls(region, verdicts.total(), verdicts["streamed"], verdicts["not_streamed"])
        for region, verdicts in sorted(counted.items())
    )


HUB_FACTS: Final = (
    '(jsonPayload.event="pull.observed" OR jsonPayload.event="stream.observed")'
    f' AND jsonPayload.mirror:"{DOCKER_HUB}/"'
)
"""The condition for the facts of pulls from Docker Hub, in the logging query language."""

_BEFORE: Final = timedelta(minutes=1)
_AFTER: Final = timedelta(minutes=5)
"""The time around a pull in which a statement of its node's snapshotter can be about it."""


def read_hub_pulls(
    entries: Iterable[Mapping[str, Any]],
) -> Iterator[tuple[str | None, Streamed | None, int]]:
    """Yield cluster and verdict of each pull in the log, with later statements of its node."""
    pulls: list[tuple[datetime, Mapping[str, Any]]] = []
    statements: list[tuple[datetime, Mapping[str, Any]]] = []
    for entry in entries:
        payload, time = mapping_of(entry.get("jsonPayload")), text_of(entry.get("timestamp"))
        if time is not None and is_hub_name(text_of(payload.get("mirror"))):
            found = pulls if payload.get("event") == "pull.observed" else statements
            found.append((parse_time(time), payload))
    for at, payload in sorted(pulls, key=itemgetter(0)):
        verdict: Streamed | None = payload.get("streamed")
        about = next((each for each in statements if _is_about(at, payload, *each)), None)
        if about is not None and verdict != "cached_on_node":
            # A statement is evidence for the first pull of its image on the node.
            statements.remove(about)
            verdict = "streamed"
        yield text_of(payload.get("cluster")), verdict, 1


def _is_about(
    ended: datetime, pull: Mapping[str, Any], at: datetime, statement: Mapping[str, Any]
) -> bool:
    seconds = pull.get("pull_seconds")
    began = ended - timedelta(seconds=seconds if isinstance(seconds, int | float) else 0.0)
    is_near = began - _BEFORE <= at <= ended + _AFTER
    return is_near and all(
        pull.get(name) == statement.get(name) for name in ("cluster", "node", "mirror")
    )


def _region_of(cluster: str | None) -> str:
    try:
        return ClusterName.parse(cluster or "").region
    except ValueError:
        return "an unknown region"
