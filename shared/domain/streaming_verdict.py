"""
Whether a pull was streamed: a verdict, with what it rests on and what a person can do.

Nothing tells it for certain but the snapshotter, and its events are rationed by the client that
writes them. So their absence proves nothing, and the speed of a pull is weighed instead, with
thresholds that leave a wide gap on both sides of what was measured:

- images of 0.3 to 0.5 GB took 12.7 to 16 s on nodes without streaming (about 30 MB/s), 0.5 to
  1.5 s on nodes that streamed them, and about 36 s at their very first streaming use;
- images of 5 to 8 GB are published as pulled at 28 to 40 MB/s without streaming.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from shared.domain.kubelet_messages import hide_credentials
from shared.domain.snapshotter_messages import LayerFailure, StreamingStatement, is_same_image

Streamed = Literal["streamed", "likely_streamed", "cached_on_node", "not_streamed", "unknown"]
EvidenceKind = Literal[
    "snapshotter", "layer_failure", "pull", "node", "container", "scheduling", "job", "prewarming"
]

FAST_BYTES_PER_SECOND: Final = 300e6
"""Compressed bytes: ten times what a node was seen to download and unpack."""

FAST_MIN_BYTES: Final = 100_000_000
"""Below this size a pull is over in a few round trips either way."""

SLOW_BYTES_PER_SECOND: Final = 100e6
SLOW_MIN_SECONDS: Final = 10.0
"""Shorter pulls may be slow through a busy registry alone."""

RESOLVE_SECONDS: Final = 2.0
"""Within this time a node that holds an image is done with asking the registry for its digest."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was seen: its text, and where it can be looked up."""

    kind: EvidenceKind
    text: str
    log: str | None = None
    insert_id: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the form in which facts carry it."""
        return {
            "kind": self.kind,
            "text": hide_credentials(self.text),
            "log": self.log,
            "insert_id": self.insert_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PullObservation:
    """What is known about one pull of an image on one node; None is for what is not known."""

    image: str
    """The reference that the kubelet pulled."""
    digest: str | None = None
    """What it resolved to."""
    seconds: float | None = None
    """Of the pull, without the wait for its turn."""
    image_bytes: int | None = None
    """Compressed."""
    already_present: bool = False
    """The kubelet found the image on the node, and pulled nothing."""
    node_streams: bool | None = None
    """Whether image streaming is on for the node."""
    in_artifact_registry: bool = True
    node_held_digest: bool | None = None
    """True: the node held the digest before. False: it demonstrably did not."""
    is_warmup: bool = False
    """The pull was made to fill the streaming cache."""
    ineligible: str | None = None
    """Why the manifest cannot be streamed, where that is known: ``it has duplicate layers``."""
    pull: Evidence | None = None
    """The kubelet's own message."""
    statements: tuple[StreamingStatement, ...] = ()
    """What the node's snapshotter said around the time of the pull, about any image."""
    layer_failures: tuple[LayerFailure, ...] = ()
    """Likewise, of layers that it could not download."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pull was streamed, what that rests on, and what a person can do."""

    streamed: Streamed
    evidence: tuple[Evidence, ...] = ()
    hint: str | None = None


def judge_pull(pull: PullObservation) -> Verdict:
    """
    Judge a pull by the best evidence there is.

    In this order: the snapshotter's word; a pull too fast for its size on a streaming node that
    did not hold the digest; an image that the node held; a failed layer or a slow pull. What
    none of these decides is unknown.
    """
    about = [each for each in pull.statements if _is_about(pull, each.image)]
    failures = [each for each in pull.layer_failures if _is_about(pull, each.image)]
    held = _held_before(pull, about)
    streamed: Streamed
    if _is_success(about):
        streamed = "streamed"
    elif _is_too_fast(pull) and _could_only_stream(pull, about, held=held):
        streamed = "likely_streamed"
    elif pull.already_present or (held and _is_quick(pull)):
        streamed = "cached_on_node"
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
    """Whether anything was streamed; statements with figures outweigh those without."""
    every = list(statements)
    with_figures = [each for each in every if each.streamed_layers is not None]
    return any(each.is_success for each in with_figures or every)


def _held_before(pull: PullObservation, about: Iterable[StreamingStatement]) -> bool | None:
    """Whether the node held the image: a secondary boot disk is part of the node as well."""
    on_disk = any(each.is_on_disk for each in about)
    return True if on_disk else pull.node_held_digest


def _could_only_stream(
    pull: PullObservation, about: Iterable[StreamingStatement], *, held: bool | None
) -> bool:
    """Whether streaming is all that is left to explain a fast pull; a statement here denies it."""
    can_stream = pull.node_streams is True and pull.in_artifact_registry and not pull.ineligible
    return can_stream and held is False and not pull.already_present and not list(about)


def _rate(pull: PullObservation) -> float | None:
    """Return compressed bytes per second, or None where time or size is unknown."""
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


def _is_quick(pull: PullObservation) -> bool:
    """Whether no more was done than to ask the registry for the digest."""
    return _is_too_fast(pull) or (pull.seconds is not None and pull.seconds <= RESOLVE_SECONDS)


def _is_slow(pull: PullObservation) -> bool:
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
    """Return what was seen, the deciding part first."""
    for statement in about:
        yield Evidence("snapshotter", statement.text, statement.log, statement.insert_id)
    for failure in failures:
        yield Evidence("layer_failure", failure.text, failure.log, failure.insert_id)
    if pull.pull is not None:
        yield pull.pull
    elif figures := _figures(pull):
        yield Evidence("pull", figures)
    if streamed == "likely_streamed":
        yield Evidence("node", "image streaming is on, and the node did not hold the digest before")
    elif pull.node_held_digest and streamed == "cached_on_node":
        yield Evidence("node", "the node held the digest before")


def _figures(pull: PullObservation) -> str | None:
    """Say what is known of the pull, where the kubelet's message is not at hand."""
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
    """Say how many layers were downloaded whole, where the figures say so."""
    for each in about:
        if each.layers is not None and each.streamed_layers is not None:
            rest = each.layers - each.streamed_layers - (each.disk_layers or 0)
            if rest > 0:
                return (
                    f"{rest} of {each.layers} layers were not streamed: if pods start slowly, look"
                    " for layers that are empty or the same as others."
                )
    return None


def _obstacle(pull: PullObservation, failures: Iterable[LayerFailure]) -> str | None:
    """Return a hint on what is known to stand in the way of streaming."""
    if any(failures):
        return _FAILED_LAYERS
    if pull.node_streams is False:
        return "Image streaming is off on this node: turn it on for its node pool."
    if not pull.in_artifact_registry:
        return (
            "The image was not pulled from Artifact Registry: name its mirror in the workload,"
            " so that it can be streamed."
        )
    if pull.ineligible:
        return f"The image cannot be streamed, since {pull.ineligible}: build it anew without that."
    return None


def _doubt(pull: PullObservation, about: list[StreamingStatement]) -> str | None:
    """Return a hint on a pull that did not stream though nothing is known to stand in the way."""
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
        " has roles/serviceusage.serviceUsageConsumer, and that no layers are empty or the same."
    )


_FAILED_LAYERS = (
    "The node could not download layers for streaming: look in its gcfsd log for a quota that is"
    " exceeded or a permission that is missing."
)
_NOTHING_PULLED = (
    "The node held the image, so this warmup moved nothing through the streaming cache:"
    " warm on a node that does not hold it."
)
