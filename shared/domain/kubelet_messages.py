"""
The kubelet's messages about a pull: its duration and size, or the reason of its failure.

The kubelet's own texts come from its image manager. The reason of a failed pull is free text of
containerd, the registry and the snapshotter:
https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/images/image_manager.go
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from shared.domain.json_access import number_of
from shared.domain.snapshotter_messages import strip_combined

FailureKind = Literal[
    "disk_full",
    "layer_lost",
    "platform",
    "schema_1",
    "rate_limited",
    "unavailable",
    "denied",
    "not_found",
    "invalid_reference",
    "other",
]

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

_URL = re.compile(r'https?://[^\s"]+')
_ADDRESS = re.compile(r"(https?://)(?:[^\s\"/?@]{1,256}@)?([^\s\"?]*)(\?[^\s\"]*)?")
_QUOTED_REFERENCE = re.compile(r'(?:image|reference|snapshot) "([^"]+)"')
_GRANT = re.compile(
    r'Permission "(?P<permission>artifactregistry\.[\w.]+)" denied on resource "(?P<on>[^"]+)"'
)
_ARTIFACT_REGISTRY = re.compile(r"(?:-docker\.pkg\.dev|\bgcr\.io)/")


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


@dataclass(frozen=True, slots=True)
class PullFailure:
    """The reason for which a pull failed."""

    kind: FailureKind
    outcome: Literal["pull_failed", "postponed"]
    """The outcome of its fact: ``postponed`` if the registry limits the rate."""
    reason: str
    hint: str
    """The remedy, in one sentence."""
    permanent: bool
    """Whether the kubelet's retries fail until a person acts."""


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


def classify_pull_failure(message: str) -> PullFailure:
    """
    Classify a failed pull.

    Names of images and addresses are removed first, because they can contain any word.

    Args:
        message: The message of the event, or of the container's waiting state.

    >>> classify_pull_failure("toomanyrequests: You have reached your pull rate limit").outcome
    'postponed'
    """
    text = _without_names(message)
    failure = next((each for pattern, each in _RULES if pattern.search(text)), _OTHER)
    if failure.kind != "denied":
        return failure
    return _denied(message)


def _without_names(message: str) -> str:
    text = _URL.sub("", strip_combined(message))
    names = _QUOTED_REFERENCE.findall(text)
    text = _QUOTED_REFERENCE.sub("", text)
    for name in names:
        # A name of a single word can also occur in the rest of the text.
        if "/" in name or ":" in name:
            text = text.replace(name, "")
    return text


def _denied(message: str) -> PullFailure:
    """Name the missing grant, as far as the text contains it."""
    if grant := _GRANT.search(message):
        reason = f"the node lacks {grant['permission']} on {grant['on']}, or it does not exist"
        hint = (
            f"Grant the service account of the nodes roles/artifactregistry.reader on {grant['on']}"
            " (a repository that does not exist is refused in the same way)."
        )
    elif _ARTIFACT_REGISTRY.search(message):
        reason = "Artifact Registry refused the identity of the node"
        hint = (
            "Grant the service account of the nodes roles/artifactregistry.reader on the"
            " repository (one that does not exist is refused in the same way)."
        )
    else:
        reason = "the registry refused the pull, or has no such repository"
        hint = "Check the name of the image, and that the node or a pull secret may read it."
    return PullFailure("denied", "pull_failed", reason, hint, permanent=True)


def _rule(pattern: str, failure: PullFailure) -> tuple[re.Pattern[str], PullFailure]:
    return re.compile(pattern, re.IGNORECASE), failure


# The first match decides, so general patterns come last: many errors end in "not found", and the
# text of a rate limit can mention unauthenticated pulls.
_RULES: Final = (
    _rule(
        r"no space left on device",
        PullFailure(
            "disk_full",
            "pull_failed",
            "no space is left on the node's disk",
            "Give the node pool a larger boot disk, or remove images that nobody uses.",
            permanent=False,
        ),
    ),
    _rule(
        r"parent snapshot .*does not exist|content digest .*not found",
        PullFailure(
            "layer_lost",
            "pull_failed",
            "the node's snapshotter lost a layer of the image",
            "If it happens again, replace the node: its layer store is inconsistent.",
            permanent=False,
        ),
    ),
    _rule(
        r"no match(?:ing manifest)? for (?:current |the )?(?:platform|\w+/\w+)",
        PullFailure(
            "platform",
            "pull_failed",
            "the image has no manifest for the platform of the node",
            "Build the image for the architecture of the node, or select nodes that fit it.",
            permanent=True,
        ),
    ),
    _rule(
        r"distribution\.manifest\.v1\+|schema ?(?:version )?1\b",
        PullFailure(
            "schema_1",
            "pull_failed",
            "the image has a manifest of schema 1, which containerd no longer pulls",
            "Push the image again with a current tool, which writes schema 2 or an OCI manifest.",
            permanent=True,
        ),
    ),
    _rule(
        r"toomanyrequests|too many requests|pull rate limit|resource_?exhausted"
        r"|quota exceeded",
        PullFailure(
            "rate_limited",
            "postponed",
            "the registry limits the rate of pulls",
            "Wait, or configure credentials for this upstream, which raise its limit.",
            permanent=False,
        ),
    ),
    _rule(
        r"\b5\d\d (?:internal|bad gateway|service unavailable|gateway)|code = unavailable"
        r"|deadline ?exceeded|timeout|timed out|connection (?:refused|reset)|no such host"
        r"|no route to host|network is unreachable|server misbehaving|\bEOF\b|broken pipe"
        r"|context canceled|pull qps exceeded|registryunavailable|registry is unavailable",
        PullFailure(
            "unavailable",
            "pull_failed",
            "the registry could not be reached, or did not answer in time",
            "Usually it passes; if not, check Private Google Access and the firewall of the nodes.",
            permanent=False,
        ),
    ),
    _rule(
        r"forbidden|(?<!permission )denied|unauthori[sz]ed|unauthenticated|insufficient_scope"
        r"|failed to authorize|may require authori[sz]ation",
        PullFailure("denied", "pull_failed", "", "", permanent=True),
    ),
    _rule(
        r"not ?found|(?:manifest|name)[_ ]unknown|does not exist",
        PullFailure(
            "not_found",
            "pull_failed",
            "the registry has no such image",
            "Check the name and the tag of the image.",
            permanent=True,
        ),
    ),
    _rule(
        r"invalid reference format|invalidimagename|couldn't parse image",
        PullFailure(
            "invalid_reference",
            "pull_failed",
            "the name of the image is no valid reference",
            "Correct the name of the image in the workload.",
            permanent=True,
        ),
    ),
)

_OTHER: Final = PullFailure(
    "other",
    "pull_failed",
    "the pull failed for a reason that is not known",
    "Read the message of the node in the evidence.",
    permanent=False,
)
