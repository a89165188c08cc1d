"""
The verdict whether a pull was streamed, with its evidence and a remedy.

Only the snapshotter knows for certain, and its client limits the rate of events. So a missing event
proves nothing. Then the speed of the pull decides, with thresholds far from these measurements:

- images of 0.3 to 0.5 GB took 12.7 to 16 s on nodes without streaming (about 30 MB/s), 0.5 to
  1.5 s on nodes that streamed them, and about 36 s at their first streaming use;
- published figures for images of 5 to 8 GB are 28 to 40 MB/s without streaming.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from shared.domain.kubelet_messages import hide_credentials
from shared.domain.snapshotter_messages import LayerFailure, StreamingStatement, is_same_image

Streamed = Literal["streamed", "likely_streamed", "cached_on_node", "not_streamed", "unknown"]
EvidenceKind = Literal[
    "snapshotter",
    "layer_failure",
    "pull",
    "node",
    "node_without_image",
    "container",
    "scheduling",
    "job",
    "prewarming",
]

NODE_WITHOUT_IMAGE: Final = "node_without_image"
"""
The kind of evidence that a node did not hold an image before it pulled it.

Only an ``unknown`` pull has it: every other verdict shows by itself whether bytes were moved.
"""

FAST_BYTES_PER_SECOND: Final = 300e6
"""Compressed bytes per second: ten times the measured rate of download and unpacking."""

FAST_MIN_BYTES: Final = 100_000_000
"""Below this size, a pull takes a few round trips with or without streaming."""

SLOW_BYTES_PER_SECOND: Final = 100e6
SLOW_MIN_SECONDS: Final = 10.0
"""A shorter pull can be slow only because the registry is busy."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence: its text and its source."""

    kind: EvidenceKind
    text: str
    log: str | None = None
    insert_id: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the form of facts."""
        return {
            "kind": self.kind,
            "text": hide_credentials(self.text),
            "log": self.log,
            "insert_id": self.insert_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PullObservation:
    """The known facts of one pull on one node; ``None`` marks an unknown part."""

    image: str
    """The reference that the kubelet pulled."""
    digest: str | None = None
    """The digest to which it was resolved."""
    seconds: float | None = None
    """The duration of the pull, without the wait before it."""
    image_bytes: int | None = None
    """The compressed size."""
    already_present: bool = False
    """Whether the kubelet found the image on the node and pulled nothing."""
    node_streams: bool | None = None
    """Whether image streaming is on for the node."""
    bypasses_mirror: bool = False
    """Whether it was pulled from its upstream, although the upstream has a mirror."""
    node_held_digest: bool | None = None
    """``True``: the node held the digest before. ``False``: it provably did not."""
    node_held_version: bool | None = None
    """Likewise for any other image of the repository, whose layers it can share."""
    is_warmup: bool = False
    """Whether the pull was a warmup, which fills the streaming cache."""
    ineligible: str | None = None
    """The reason why the manifest cannot be streamed, such as ``it has duplicate layers``."""
    pull: Evidence | None = None
    """The kubelet's own message."""
    statements: tuple[StreamingStatement, ...] = ()
    """The statements of the node's snapshotter near the time of the pull, about any image."""
    layer_failures: tuple[LayerFailure, ...] = ()
    """Its failures to download a layer, near the same time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict whether a pull was streamed, with its evidence and a remedy."""

    streamed: Streamed
    evidence: tuple[Evidence, ...] = ()
    hint: str | None = None


def judge_pull(pull: PullObservation) -> Verdict:
    """
    Judge a pull by the first evidence that applies.

    In this order: an image that the node held; a statement of the snapshotter; a pull too fast for
    its size on a streaming node that held neither the digest nor another version; a failed layer
    or a slow pull. Otherwise the verdict is ``unknown``.
    """
    about = [each for each in pull.statements if _is_about(pull, each.image)]
    failures = [each for each in pull.layer_failures if _is_about(pull, each.image)]
    held = _held_before(pull, about)
    streamed: Streamed
    if pull.already_present or (held and not _is_slow(pull)):
        streamed = "cached_on_node"
    elif _is_success(about) and not held:
        streamed = "streamed"
    elif _is_too_fast(pull) and _could_only_stream(pull, about):
        streamed = "likely_streamed"
    elif failures or _is_slow(pull):
        streamed = "not_streamed"
    else:
        streamed = "unknown"
    return Verdict(
        streamed,
        tuple(_evidence(pull, streamed, about, failures)),
        _hint(pull, streamed, about, failures),
    )


def _is_about(pull: PullObservation, image: str) -> bool:
    return is_same_image(image, pull.image, pull.digest)


def _is_success(statements: Iterable[StreamingStatement]) -> bool:
    """Whether any layer was streamed; statements with figures outweigh those without."""
    every = list(statements)
    with_figures = [each for each in every if each.streamed_layers is not None]
    return any(each.is_success for each in with_figures or every)


def _held_before(pull: PullObservation, about: Iterable[StreamingStatement]) -> bool | None:
    """Whether the node held the image, perhaps on its secondary boot disk."""
    on_disk = any(each.is_on_disk for each in about)
    return True if on_disk else pull.node_held_digest


def _could_only_stream(pull: PullObservation, about: Iterable[StreamingStatement]) -> bool:
    """Whether only streaming explains the fast pull; a statement excludes this conclusion."""
    can_stream = pull.node_streams is True and not pull.ineligible
    lacked_layers = pull.node_held_digest is False and pull.node_held_version is False
    return can_stream and lacked_layers and not list(about)


def _rate(pull: PullObservation) -> float | None:
    """Return compressed bytes per second; ``None`` if time or size is unknown."""
    if pull.seconds is None or not pull.image_bytes:
        return None
    return pull.image_bytes / pull.seconds if pull.seconds > 0 else float("inf")


def _is_too_fast(pull: PullObservation) -> bool:
    rate = _rate(pull)
    return (
        rate is not None
        and rate > FAST_BYTES_PER_SECOND
        and (pull.image_bytes or 0) >= FAST_MIN_BYTES
    )


def _is_slow(pull: PullObservation) -> bool:
    """Whether bytes were downloaded, so that the node did not hold the image (any more)."""
    rate = _rate(pull)
    return (
        rate is not None
        and rate < SLOW_BYTES_PER_SECOND
        and (pull.seconds or 0.0) >= SLOW_MIN_SECONDS
    )


def _evidence(
    pull: PullObservation,
    streamed: Streamed,
    about: Iterable[StreamingStatement],
    failures: Iterable[LayerFailure],
) -> Iterable[Evidence]:
    """Return the evidence, with the decisive part first."""
    for statement in about:
        if streamed == "cached_on_node" and not statement.is_on_disk:
            # It is about the pull that brought the image to the node.
            continue
        yield Evidence("snapshotter", statement.text, statement.log, statement.insert_id)
    for failure in failures:
        yield Evidence("layer_failure", failure.text, failure.log, failure.insert_id)
    if pull.pull is not None:
        yield pull.pull
    elif figures := _figures(pull):
        yield Evidence("pull", figures)
    yield from _node_evidence(pull, streamed)


def _node_evidence(pull: PullObservation, streamed: Streamed) -> Iterable[Evidence]:
    """Return what is known of the node before the pull, as far as it decides."""
    if pull.node_held_digest is False and streamed == "unknown":
        yield Evidence(NODE_WITHOUT_IMAGE, "the node did not hold the image before")
    if streamed == "likely_streamed":
        yield Evidence(
            "node", "image streaming is on, and the node held no version of the image before"
        )
    elif pull.node_held_digest and streamed == "cached_on_node":
        yield Evidence("node", "the node held the digest before")


def _figures(pull: PullObservation) -> str | None:
    """Describe the pull if the kubelet's message is not available."""
    if pull.already_present:
        return "the image was already present on the node"
    if pull.seconds is None:
        return None
    size = "" if pull.image_bytes is None else f" for {pull.image_bytes} bytes"
    return f"the pull took {pull.seconds:g} s{size}"


def _hint(
    pull: PullObservation,
    streamed: Streamed,
    about: list[StreamingStatement],
    failures: list[LayerFailure],
) -> str | None:
    if streamed in {"streamed", "likely_streamed"}:
        return _FAILED_LAYERS if failures else _partial_hint(about)
    if streamed == "cached_on_node":
        return _NOTHING_PULLED if pull.is_warmup else None
    return _obstacle(pull, failures) or _doubt(pull, about)


def _partial_hint(about: Iterable[StreamingStatement]) -> str | None:
    """Return a hint about layers that were not streamed, if the figures show any."""
    for each in about:
        if each.layers is not None and each.streamed_layers is not None:
            rest = each.layers - each.streamed_layers - (each.disk_layers or 0)
            if rest > 0:
                return (
                    f"{rest} of {each.layers} layers were not streamed: if pods start slowly, look"
                    " for layers that are the same as others."
                )
    return None


def _obstacle(pull: PullObservation, failures: Iterable[LayerFailure]) -> str | None:
    """Return a hint for a known obstacle to streaming."""
    if any(failures):
        return _FAILED_LAYERS
    if pull.node_streams is False:
        return "Image streaming is off on this node: turn it on for its node pool."
    if pull.bypasses_mirror:
        return (
            "The image was pulled from its upstream: let pods pull it from the mirror, so that it"
            " can be streamed."
        )
    if pull.ineligible:
        return f"The image cannot be streamed, since {pull.ineligible}: rebuild it without that."
    return None


def _doubt(pull: PullObservation, about: list[StreamingStatement]) -> str | None:
    """Return a hint for a pull that was not streamed without a known obstacle."""
    if not about and not _is_slow(pull):
        return None
    if pull.is_warmup:
        return (
            "The first pull of an image fills the streaming cache and is expected to be slow;"
            " see whether the next node streams it."
        )
    if pull.node_streams is None:
        return "Check that image streaming is on for the node pool."
    return (
        "The image may not have been in the streaming cache yet; if the next pull is slow too,"
        " check that the repository lies in the region of the node, that the identity of the node"
        " has roles/serviceusage.serviceUsageConsumer, and that no layers are the same."
    )


_FAILED_LAYERS = (
    "The node could not download layers for streaming: look in its gcfsd log for a quota that is"
    " exceeded or a permission that is missing."
)
_NOTHING_PULLED = (
    "The node held the image, so this warmup moved nothing through the streaming cache:"
    " warm on a node that does not hold it."
)
