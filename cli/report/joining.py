"""
Join the snapshotter's messages about an image to the pulls that they are about.

The two reach the log in different messages, in any order, so that the verdict which a pull's fact
carries is what could be known when it was written.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from shared.domain.snapshotter_messages import is_same_image
from shared.domain.streaming_verdict import Streamed

BEFORE: Final = timedelta(minutes=1)
AFTER: Final = timedelta(minutes=5)
"""How long before a pull began, and after it ended, its node's statements are about it."""

_DOUBTFUL: Final = frozenset({"likely_streamed", "not_streamed", "unknown"})


# The same few references come again and again, and each is parsed to be compared.
_is_same_image = lru_cache(maxsize=4096)(is_same_image)


class Statement(NamedTuple):
    """A message of a node's snapshotter near the time of a pull."""

    mirror: str
    streamed_layers: int | None
    """None where it gives no figures: it then says that the image is streamed."""


def joined_verdict(
    pull: Streamed | None, mirror: str | None, digest: str | None, said: Iterable[Statement]
) -> tuple[Streamed | None, list[int]]:
    """
    Return the verdict on a pull with what its node said around it, and which statements decide.

    The snapshotter's message can arrive separately from the pull, before or after it.
    Statements with figures outweigh those without. A pull that found the image on its node stays
    ``cached_on_node``: what the node said was about another.

    >>> joined_verdict("unknown", "r.io/a:1", None, [Statement("r.io/a:1", 3)])
    ('streamed', [0])
    """
    if pull not in _DOUBTFUL or mirror is None:
        return pull, []
    about = [
        (number, each)
        for number, each in enumerate(said)
        if _is_same_image(each.mirror, mirror, digest)
    ]
    with_figures = [each for each in about if each[1].streamed_layers is not None]
    deciding = [
        number
        for number, each in with_figures or about
        if each.streamed_layers is None or each.streamed_layers > 0
    ]
    return ("streamed", deciding) if deciding else (pull, [])
