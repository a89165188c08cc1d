"""
Join the messages of a node's snapshotter to their pulls.

They reach the log separately from the pull, in any order, and a fact has the verdict that was
known when it was written. A message is evidence for one pull: the first of its image on its node.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from shared.domain.snapshotter_messages import is_same_image
from shared.domain.streaming_verdict import Streamed

BEFORE: Final = timedelta(minutes=1)
AFTER: Final = timedelta(minutes=5)
"""The time before and after a pull in which its node's statements can be about it."""

# The same few references occur often, and each comparison parses them.
_is_same_image = lru_cache(maxsize=4096)(is_same_image)


class Statement(NamedTuple):
    """A message of a node's snapshotter near the time of a pull."""

    mirror: str
    streamed_layers: int | None
    """None if it gives no figures; it then states that the image is streamed."""
    is_taken: bool = False
    """Whether it is evidence for an earlier pull."""


class Joined(NamedTuple):
    """The verdict on a pull, with the indexes of its statements."""

    verdict: Streamed | None
    about: tuple[int, ...] = ()
    """The statements about its image, which cannot be evidence for a later pull."""
    deciding: tuple[int, ...] = ()
    """The statements that are evidence for the verdict ``streamed``."""


def join_verdict(
    verdict: Streamed | None, mirror: str | None, digest: str | None, said: Iterable[Statement]
) -> Joined:
    """
    Return the verdict on a pull with the statements of its node near its time.

    Statements with figures outweigh those without. If all of them belong to an earlier pull, that
    pull brought the image to the node, and a pull that was not slow found it there.

    >>> join_verdict("unknown", "r.io/a:1", None, [Statement("r.io/a:1", 3)])
    Joined(verdict='streamed', about=(0,), deciding=(0,))
    >>> join_verdict("unknown", "r.io/a:1", None, [Statement("r.io/a:1", 3, True)]).verdict
    'cached_on_node'
    """
    if verdict is None or mirror is None:
        return Joined(verdict)
    about = {
        number: each
        for number, each in enumerate(said)
        if _is_same_image(each.mirror, mirror, digest)
    }
    numbers = tuple(about)
    if verdict == "cached_on_node" or not about:
        return Joined(verdict, numbers)
    own = {number: each for number, each in about.items() if not each.is_taken}
    if not own:
        return Joined(verdict if verdict == "not_streamed" else "cached_on_node", numbers)
    with_figures = {n: each for n, each in own.items() if each.streamed_layers is not None}
    deciding = tuple(
        number for number, each in (with_figures or own).items() if each.streamed_layers != 0
    )
    if verdict == "streamed" or not deciding:
        return Joined(verdict, numbers)
    return Joined("streamed", numbers, deciding)
