"""The kubelet's and the scheduler's words, which differ from one Kubernetes to the next."""

import re
from dataclasses import dataclass
from typing import Self

from sandbox.gke.durations import format_duration

_WAITING_SINCE = 27
_SIZE_SINCE = 30
_COLON_SINCE = 32
_SHORT_SINCE = 35
_CONTAINERD_2_SINCE = 33
"""GKE's nodes have containerd 2 from 1.33 on."""


@dataclass(frozen=True, slots=True)
class Wording:
    """
    How a Kubernetes 1.``minor`` says what it does.

    >>> print(Wording(36).pulled("a:1", 317.0, 317.0, 9))
    Successfully pulled image "a:1" in 5m17s (5m17s including waiting). Image size: 9 bytes.
    >>> Wording(28).pulled("a:1", 9.722063481, 9.722084341, 9)
    'Successfully pulled image "a:1" in 9.722063481s (9.722084341s including waiting)'
    >>> Wording(26).pulled("a:1", 0.794767724, 0.8, 9)
    'Successfully pulled image "a:1" in 794.767724ms'
    """

    minor: int

    @classmethod
    def of_version(cls, version: str) -> Self:
        """
        Return the wording of a kubelet version such as ``v1.36.0-gke.1``.

        Raises:
            ValueError: The text is no version of Kubernetes 1.
        """
        match = re.match(r"v?1\.(\d+)", version)
        if match is None:
            raise ValueError(f"invalid kubelet version: {version!r}")
        return cls(int(match[1]))

    @property
    def takes_schema_1(self) -> bool:
        """Whether the node's containerd still pulls manifests of schema 1."""
        return self.minor < _CONTAINERD_2_SINCE

    def pulled(self, image: str, took_s: float, waited_s: float, size: int) -> str:
        """Say that an image was pulled, in ``took_s``, and in ``waited_s`` with the queue."""
        short = self.minor >= _SIZE_SINCE
        took = format_duration(took_s, truncate_to_ms=short)
        text = f'Successfully pulled image "{image}" in {took}'
        if self.minor < _WAITING_SINCE:
            return text
        text += f" ({format_duration(waited_s, truncate_to_ms=short)} including waiting)"
        return f"{text}. Image size: {size} bytes." if short else text

    def already_present(self, image: str) -> str:
        """Say that nothing had to be pulled."""
        text = f'Container image "{image}" already present on machine'
        return f"{text} and can be accessed by the pod" if self.minor >= _SHORT_SINCE else text

    def created(self, container: str) -> str:
        """Say that a container was created."""
        if self.minor >= _SHORT_SINCE:
            return "Container created"
        return f"Created container{':' if self.minor >= _COLON_SINCE else ''} {container}"

    def started(self, container: str) -> str:
        """Say that a container was started."""
        return (
            "Container started" if self.minor >= _SHORT_SINCE else f"Started container {container}"
        )

    def untolerated(self, key: str, value: str) -> str:
        """Say why a tainted node does not serve."""
        if self.minor >= _SHORT_SINCE:
            return "node(s) had untolerated taint(s)"
        return f"node(s) had untolerated taint {{{key}: {value}}}"
