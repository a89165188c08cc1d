"""
The messages of a node's snapshotter about image streaming.

GKE does not document these texts. They were observed in clusters: as events of the node with the
reason ImageStreaming and, with the same words, as lines of its log.
"""

import re
from dataclasses import dataclass

from shared.domain.image_reference import InvalidReferenceError, parse_reference

COMBINED_PREFIX = "(combined from similar events): "
"""The prefix that client-go adds to the text of an event from the tenth similar one on."""

_STATEMENT = re.compile(r"Image (?P<image>\S+) is backed by (?P<how>.+)", re.DOTALL)
_PARTS = r"\((?P<part>[0-9]{1,9})/(?P<all>[0-9]{1,9})"
_STREAMED = re.compile(rf"image streaming by [\d.]+% {_PARTS} layers?\)")
_ON_DISK = re.compile(rf"secondary boot disk caching by [\d.]+% {_PARTS}\b")
_PLAIN = re.compile(r"image streaming\.?\s*")
_LAYER_FAILURE = re.compile(
    r'Layer download failed\. Layer id: "?(?P<layer>[^",\s]+)"?, image: "?(?P<image>[^",\s]+)"?'
)


@dataclass(frozen=True, slots=True)
class StreamingStatement:
    """A node's snapshotter reports how it serves an image."""

    image: str
    """The reference as pulled, by tag or by digest."""
    text: str
    log: str | None = None
    insert_id: str | None = None
    streamed_layers: int | None = None
    """``None`` if the text has no figures; it then states that the image is streamed."""
    layers: int | None = None
    disk_layers: int | None = None
    """Layers on the node's secondary boot disk."""

    @property
    def is_success(self) -> bool:
        """Whether at least one layer is streamed."""
        return self.streamed_layers is None or self.streamed_layers > 0

    @property
    def is_on_disk(self) -> bool:
        """Whether every layer came from the node's secondary boot disk."""
        return bool(self.layers) and self.disk_layers == self.layers


@dataclass(frozen=True, slots=True)
class LayerFailure:
    """A node could not download a layer for streaming."""

    image: str
    layer: str
    text: str
    log: str | None = None
    insert_id: str | None = None


def strip_combined(text: str) -> str:
    """Return the text of an event without the prefix of a combined one."""
    return text.removeprefix(COMBINED_PREFIX)


def parse_statement(
    text: str, *, log: str | None = None, insert_id: str | None = None
) -> StreamingStatement | None:
    """
    Parse a text of the snapshotter; ``None`` if it is not about streaming.

    >>> parse_statement("Image r/a:1 is backed by image streaming.").is_success
    True
    >>> text = "(0/9 layers), by image streaming by 100.0% (9/9 layers)."
    >>> parse_statement(
    ...     f"Image r/a:1 is backed by secondary boot disk caching by 0.0% {text}"
    ... ).streamed_layers
    9
    """
    text = strip_combined(text)
    match = _STATEMENT.search(text)
    if match is None:
        return None
    streamed = _STREAMED.search(match["how"])
    on_disk = _ON_DISK.search(match["how"])
    if streamed is None and not _PLAIN.fullmatch(match["how"]):
        return None
    return StreamingStatement(
        image=match["image"],
        text=text,
        log=log,
        insert_id=insert_id,
        streamed_layers=int(streamed["part"]) if streamed else None,
        layers=int(streamed["all"]) if streamed else None,
        disk_layers=int(on_disk["part"]) if on_disk else None,
    )


def parse_layer_failure(
    text: str, *, log: str | None = None, insert_id: str | None = None
) -> LayerFailure | None:
    """
    Parse the streaming daemon's text about a failed layer; ``None`` for other texts.

    >>> parse_layer_failure('Layer download failed. Layer id: "sha256:0", image: "r/a@b"').image
    'r/a@b'
    """
    text = strip_combined(text)
    match = _LAYER_FAILURE.search(text)
    if match is None:
        return None
    return LayerFailure(match["image"], match["layer"], text, log, insert_id)


def is_same_image(stated: str, pulled: str, digest: str | None = None) -> bool:
    """
    Whether a statement is about the pulled image.

    The snapshotter names an image as it was pulled, and containerd drops the tag of a reference
    with a digest. So if the statement has a digest, it must be the digest of the reference, or
    the digest to which the pull was resolved. A statement with a tag matches only a pull by that
    tag: the digest of the tag at that time is not known.

    Args:
        stated: The reference in the statement.
        pulled: The reference that the kubelet pulled.
        digest: The digest to which the pull was resolved, if known.

    >>> is_same_image("r.io/a:1", "r.io/a:1"), is_same_image("r.io/a:2", "r.io/a:1")
    (True, False)
    """
    try:
        said, asked = parse_reference(stated), parse_reference(pulled)
    except InvalidReferenceError:
        return stated == pulled
    if said.name != asked.name:
        return False
    if said.digest is not None:
        return said.digest in {asked.digest, digest}
    return asked.digest is None and said.tag == asked.tag
