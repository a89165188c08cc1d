"""The earlier pulls of an image on its node: they decide whether a pull is the first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.domain.cluster_event import ImagePulled
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.kubelet_messages import Pulled

_REPEATED_AFTER: Final = timedelta(seconds=30)
"""More than the clocks of a node and of the API server differ."""


@dataclass(frozen=True, slots=True)
class PullHistory:
    """The pulls of one image on one node that began before a pull."""

    node_held: bool = False
    """Whether one of them brought the image to the node, or found it there."""
    is_restart: bool = False
    """Whether the pod itself pulled the image before."""


def is_repeated(event: ImagePulled) -> bool:
    """Whether an event shows by itself that its pod pulled the image before."""
    return event.origin.timestamp - _first_seen(event) > _REPEATED_AFTER


def find_history(event: ImagePulled, others: Iterable[ImagePulled]) -> PullHistory:
    """
    Return the history of a pull.

    Args:
        event: The pull.
        others: The pulls that the cluster still knows; the pull itself may be among them.
    """
    origin, pulled = event.origin, event.pulled
    # Events have whole seconds: of two pulls that end in one, the longer began first.
    began = (_began(origin.timestamp, pulled), origin.event_uid or "")
    earlier = [
        other.origin
        for other in others
        if other.origin.node == origin.node
        and is_same_content(other.pulled, pulled)
        and (_began(_first_seen(other), other.pulled), other.origin.event_uid or "") < began
    ]
    is_restart = any(
        (other.namespace, other.uid) == (origin.namespace, origin.uid) for other in earlier
    )
    return PullHistory(bool(earlier), is_restart)


def is_same_content(one: Pulled, other: Pulled) -> bool:
    """
    Whether two pulls are of the same content.

    A tag does not name its content. The size does, with digest and repository.

    >>> tag, digest = "r.io/a:1", "r.io/a@sha256:" + "5f2d" * 16
    >>> is_same_content(Pulled(tag, image_bytes=7), Pulled(digest, image_bytes=7))
    True
    >>> is_same_content(Pulled(tag, image_bytes=7), Pulled(tag, image_bytes=8))
    False
    """
    try:
        first, second = parse_reference(one.image), parse_reference(other.image)
    except InvalidReferenceError:
        return False
    if first.name != second.name:
        return False
    if first.digest and second.digest:
        return first.digest == second.digest
    if one.image_bytes is not None and other.image_bytes is not None:
        return one.image_bytes == other.image_bytes
    return (first.tag, first.digest) == (second.tag, second.digest)


def _first_seen(event: ImagePulled) -> datetime:
    return event.origin.first_timestamp or event.origin.timestamp


def _began(ended: datetime, pulled: Pulled) -> datetime:
    return ended - timedelta(seconds=pulled.seconds or 0.0)
