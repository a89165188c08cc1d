"""
The kubelet's messages about a pull: its image, duration and size.

https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/image_manager.go
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.domain.json_access import number_of
from shared.domain.snapshotter_messages import strip_combined

_SECONDS: Final = {
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("1e-3"),
    "us": Decimal("1e-6"),
    "\u00b5s": Decimal("1e-6"),  # the micro sign, which Go prints
    "\u03bcs": Decimal("1e-6"),  # the Greek letter, which Go accepts too
    "ns": Decimal("1e-9"),
}
_MAX_DURATION: Final = 64
"""The number of characters; Go's longest is ``2562047h47m16.854775807s``."""

_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|us|\u00b5s|\u03bcs|ns|s)", re.ASCII)

_PULLED = re.compile(
    r'Successfully pulled image "(?P<image>[^"]+)"'
    r"(?: in (?P<seconds>[^\s()]+))?"
    r"(?: \([^)]*\))?"
    r"(?:\.? Image size: (?P<bytes>[0-9]+) bytes)?"
)
_PRESENT = re.compile(r'Container image "(?P<image>[^"]+)" already present on machine')
_FAILED = re.compile(r'Failed to pull image "(?P<image>[^"]+)"')

_ADDRESS = re.compile(r"(https?://)(?:[^\s\"/?@]{1,256}@)?([^\s\"?]*)(\?[^\s\"]*)?")


class InvalidDurationError(ValueError):
    """A text is not a duration in Go's format."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The kubelet reports that an image is on the node; ``None`` marks a missing part."""

    image: str
    seconds: float | None = None
    """The duration of the pull, without the wait before it."""
    image_bytes: int | None = None
    """The compressed size, which is the same with and without streaming."""
    already_present: bool = False
    """The image was present, so nothing was pulled."""


def parse_go_duration(text: str) -> float:
    """
    Return the seconds of a duration in Go's format.

    https://pkg.go.dev/time#ParseDuration

    Raises:
        InvalidDurationError: The text is not a duration.

    >>> parse_go_duration("2m30.462s"), parse_go_duration("1h0m0.5s"), parse_go_duration("637ms")
    (150.462, 3600.5, 0.637)
    >>> parse_go_duration("12.5\u00b5s"), parse_go_duration("0s")
    (1.25e-05, 0.0)
    """
    amounts = _AMOUNT.findall(text)
    if text == "0":
        return 0.0
    if not amounts or "".join(number + unit for number, unit in amounts) != text:
        raise InvalidDurationError(f"invalid duration: {text!r}")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in amounts))


def parse_pulled(message: str) -> Pulled | None:
    """
    Parse the message of a Pulled event, in every wording since Kubernetes 1.26.

    Returns ``None`` for another message; then a pull is not known.

    >>> parse_pulled('Successfully pulled image "a:1" in 1.5s (2s including waiting)')
    Pulled(image='a:1', seconds=1.5, image_bytes=None, already_present=False)
    >>> parse_pulled('Container image "a:1" already present on machine').already_present
    True
    """
    message = strip_combined(message)
    if present := _PRESENT.match(message):
        return Pulled(present["image"], already_present=True)
    pulled = _PULLED.match(message)
    if pulled is None:
        return None
    duration = pulled["seconds"] or ""
    try:
        seconds = parse_go_duration(duration) if 0 < len(duration) <= _MAX_DURATION else None
    except InvalidDurationError:
        seconds = None
    return Pulled(
        pulled["image"],
        seconds=seconds,
        image_bytes=number_of(pulled["bytes"]),
    )


def parse_failed_image(message: str) -> str | None:
    """
    Return the image of a failed pull; ``None`` for another message.

    >>> parse_failed_image('Failed to pull image "a:1": rpc error: code = NotFound')
    'a:1'
    """
    match = _FAILED.match(strip_combined(message))
    return match["image"] if match else None


def hide_credentials(text: str) -> str:
    """
    Return a text without possible credentials: the login and the query of each address.

    Registries redirect nodes to signed addresses, and errors repeat them.

    >>> hide_credentials('Get "https://me:pw@cdn.example/blob?sig=x&e=1": EOF')
    'Get "https://cdn.example/blob?…": EOF'
    """
    return _ADDRESS.sub(lambda found: found[1] + found[2] + ("?…" if found[3] else ""), text)
