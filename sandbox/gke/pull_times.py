"""How long a pull takes, in the sandbox's seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PullTimes:
    """
    The speed of a node's pulls.

    The cold figures follow a published case: a deep learning image of 9.7 GB took 5m17s to
    pull, and 7.9 s streamed. The streamed ones grow with the layers, each of which is mounted
    on its own, and a little with the size.
    """

    bytes_per_s: float = 31e6
    cold_layer_s: float = 0.17
    streamed_layer_s: float = 0.126
    streamed_least_s: float = 0.5
    streamed_most_s: float = 5.0
    streamed_bytes_per_s: float = 2.2e9
    held_s: float = 0.3
    """A pull of what the node holds: one question to the registry."""

    def cold(self, size: int, layers: int) -> float:
        """Return the seconds that a pull of ``size`` compressed bytes takes."""
        return size / self.bytes_per_s + layers * self.cold_layer_s

    def streamed(self, size: int, layers: int) -> float:
        """Return the seconds until a streamed image can be started."""
        by_size = self.streamed_least_s + size / self.streamed_bytes_per_s
        return layers * self.streamed_layer_s + min(by_size, self.streamed_most_s)
