"""
The reason of a failed pull: its kind, the part at fault, and the remedy.

The text is free text of the kubelet, containerd, the registry and the snapshotter. One table of
patterns classifies it; `tests/golden/kubelet-1.36` holds recorded texts.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from shared.domain.snapshotter_messages import strip_combined

FailureKind = Literal[
    "disk_full",
    "layer_lost",
    "platform",
    "schema_1",
    "unsupported",
    "damaged",
    "content_lost",
    "tls",
    "rate_limited",
    "unavailable",
    "denied",
    "not_found",
    "invalid_reference",
    "other",
]
AtFault = Literal["image", "registry", "access", "node", "unknown"]
"""
The part at fault. A fault of the registry, or of the node's access to it, also affects other
images of that registry.
"""

_URL = re.compile(r'https?://[^\s"]+')
_QUOTED_REFERENCE = re.compile(r'(?:image|reference|snapshot) "([^"]+)"')
_QUOTED_PLACE = re.compile(r"pulling from host \S+|\[(?:manifests|blobs) [^\]]*\]|lookup \S+")
"""Other places in which containerd and Go repeat a host or a tag."""
_GRANT = re.compile(
    r'Permission "(?P<permission>artifactregistry\.[\w.]+)" denied on resource "(?P<on>[^"]+)"'
)
_ARTIFACT_REGISTRY = re.compile(r"(?:-docker\.pkg\.dev|\bgcr\.io)/")


@dataclass(frozen=True, slots=True)
class PullFailure:
    """The reason for which a pull failed."""

    kind: FailureKind
    at_fault: AtFault
    permanent: bool
    """Whether the kubelet's retries fail until a person acts."""
    reason: str
    hint: str
    """The remedy, in one sentence."""

    @property
    def outcome(self) -> Literal["pull_failed", "postponed"]:
        """The outcome of its fact: ``postponed`` if the registry limits the rate."""
        return "postponed" if self.kind == "rate_limited" else "pull_failed"


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
    text = _QUOTED_PLACE.sub("", _URL.sub("", strip_combined(message)))
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
        reason = (
            "Artifact Registry refused the pull: the node may not read the repository, or it does"
            " not exist"
        )
        hint = (
            "Grant the service account of the nodes roles/artifactregistry.reader on the"
            " repository (one that does not exist is refused in the same way)."
        )
    else:
        reason = "the registry refused the pull, or has no such repository"
        hint = "Check the name of the image, and that the node or a pull secret may read it."
    return PullFailure("denied", "access", permanent=True, reason=reason, hint=hint)


def _rule(pattern: str, failure: PullFailure) -> tuple[re.Pattern[str], PullFailure]:
    return re.compile(pattern, re.IGNORECASE), failure


# The first match decides, so general patterns come last: many errors end in "not found", and the
# text of a rate limit can mention unauthenticated pulls.
_RULES: Final = (
    _rule(
        r"no space left on device|DiskPressure|low on resource: (?:ephemeral-storage|inodes)"
        r"|ephemeral local storage usage exceeds",
        PullFailure(
            "disk_full",
            "node",
            permanent=True,
            reason="no space is left on the node's disk",
            hint="Give the node pool a larger boot disk, or remove images that nobody uses.",
        ),
    ),
    _rule(
        r"parent snapshot .*does not exist|content digest .*not found",
        PullFailure(
            "layer_lost",
            "node",
            permanent=False,
            reason="the node's snapshotter lost a layer of the image",
            hint="If it happens again, replace the node: its layer store is inconsistent.",
        ),
    ),
    _rule(
        r"no match(?:ing manifest)? for (?:current |the )?(?:platform|\w+/\w+)",
        PullFailure(
            "platform",
            "image",
            permanent=True,
            reason="the image has no manifest for the platform of the node",
            hint="Build the image for the architecture of the node, or select nodes that fit it.",
        ),
    ),
    _rule(
        r"distribution\.manifest\.v1\+|schema ?(?:version )?1\b|no signatures$",
        PullFailure(
            "schema_1",
            "image",
            permanent=True,
            reason="the image has a manifest of schema 1, which containerd no longer pulls",
            hint="Push the image again with a current tool, which writes an OCI manifest.",
        ),
    ),
    _rule(
        r"rejecting \d+ byte manifest",
        PullFailure(
            "unsupported",
            "image",
            permanent=True,
            reason="the manifest of the image is larger than containerd accepts",
            hint="Build the image with fewer layers and annotations.",
        ),
    ),
    _rule(
        r"stream processor|decrypt",
        PullFailure(
            "unsupported",
            "image",
            permanent=True,
            reason="the node cannot read a layer of the image: it is encrypted or not an archive",
            hint="Push the image with plain layers; GKE nodes have no key to decrypt layers.",
        ),
    ),
    _rule(
        r"media type text/|ref \"unknown-sha256:|unable to decode token response"
        r"|did not include a token|descriptor \(sha256:\w+\) which reports content size of zero"
        r"|stopped after \d+ redirects",
        PullFailure(
            "unavailable",
            "registry",
            permanent=False,
            reason="the node got a web page or an empty answer instead of the registry's answer",
            hint="Usually the registry has an outage; if it lasts, look for a proxy that answers.",
        ),
    ),
    _rule(
        r"invalid tar header|diffIDs don't match|mismatched image rootfs|unmarshal image config"
        r"|invalid desc |unable to fetch descriptor \(\)"
        r"|extract layer .*(?:\bEOF\b|(?:gzip|flate|zstd): |checksum|corrupt|magic number)",
        PullFailure(
            "damaged",
            "image",
            permanent=True,
            reason="the image is damaged: a layer, its config or its manifest cannot be read",
            hint="Build the image and push it again.",
        ),
    ),
    _rule(
        r"unexpected commit digest",
        PullFailure(
            "damaged",
            "image",
            permanent=False,
            reason="the registry sent other bytes of the image than its digest requires",
            hint="If it happens again, push the image again; in a mirror, delete the version.",
        ),
    ),
    _rule(
        r"could not fetch content descriptor|content at +not found",
        PullFailure(
            "content_lost",
            "image",
            permanent=True,
            reason="the registry has the image's manifest, but lost a part of the image",
            hint="Push the image again; in a mirror, delete the version, to fetch it again.",
        ),
    ),
    _rule(
        r"x509: |\btls: |HTTP response to HTTPS client",
        PullFailure(
            "tls",
            "registry",
            permanent=True,
            reason="the node does not accept the certificate of the registry, or it has none",
            hint="Check the certificate, and the proxies between the nodes and the registry.",
        ),
    ),
    _rule(
        r"toomanyrequests|too many requests|resource_?exhausted|quota exceeded",
        PullFailure(
            "rate_limited",
            "registry",
            permanent=False,
            reason="the registry limits the rate of pulls",
            hint="Wait, or configure credentials for this upstream, which raise its limit.",
        ),
    ),
    _rule(
        r"pull qps exceeded|context canceled",
        PullFailure(
            "unavailable",
            "node",
            permanent=False,
            reason="the node stopped the pull, for example because it pulls too many images",
            hint="Usually it passes; if not, raise the kubelet's `registryPullQPS`.",
        ),
    ),
    _rule(
        r"status(?: code| from \w+ request to)?[: ]+5\d\d\b|code = unavailable"
        r"|\b5\d\d (?:internal|bad gateway|service unavailable|gateway)|registryunavailable"
        r"|deadline ?exceeded|timeout|timed out"
        r"|connection (?:refused|reset)|no such host|no route to host"
        r"|network is unreachable|server misbehaving|\bEOF\b|broken pipe",
        PullFailure(
            "unavailable",
            "registry",
            permanent=False,
            reason="the registry could not be reached, or did not answer in time",
            hint="Usually it passes; if not, check Private Google Access and the nodes' firewall.",
        ),
    ),
    _rule(
        r"token: .*404 not found|name[_ ]unknown",
        PullFailure(
            "not_found",
            "image",
            permanent=True,
            reason="the registry has no such repository",
            hint="Check the name of the image: project, location, repository and path.",
        ),
    ),
    _rule(
        r"forbidden|(?<!permission )denied|unauthori[sz]ed|unauthenticated|insufficient_scope"
        r"|failed to authorize|may require authori[sz]ation",
        PullFailure(
            "denied",
            "access",
            permanent=True,
            reason="",
            hint="",
        ),
    ),
    _rule(
        r"not ?found|manifest[_ ]unknown|does not exist",
        PullFailure(
            "not_found",
            "image",
            permanent=True,
            reason="the registry has no such image",
            hint="Check the name and the tag of the image.",
        ),
    ),
    _rule(
        r"invalid reference format|invalidimagename|couldn't parse image",
        PullFailure(
            "invalid_reference",
            "image",
            permanent=True,
            reason="the name of the image is not a valid reference",
            hint="Correct the name of the image in the workload.",
        ),
    ),
)

_OTHER: Final = PullFailure(
    "other",
    "unknown",
    permanent=False,
    reason="the pull failed for a reason that is not known",
    hint="Read the message of the node in the evidence.",
)
