"""Pulls and statements of the snapshotter, as values."""

from dataclasses import replace

from shared.domain.snapshotter_messages import (
    LayerFailure,
    StreamingStatement,
    parse_layer_failure,
    parse_statement,
)
from shared.domain.streaming_verdict import Evidence, PullObservation

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
DIGEST = "sha256:" + "5f2d" * 16
OTHER = "sha256:" + "0bad" * 16
EVENT = Evidence("pull", "Successfully pulled image", "projects/demo/logs/events", "ev1")

SLOW = PullObservation(
    image=f"{MIRROR}:2.7.0",
    digest=DIGEST,
    seconds=36.775,
    image_bytes=477_318_353,
    node_streams=True,
    node_held_digest=False,
    node_held_version=False,
    pull=EVENT,
)
FAST = replace(SLOW, seconds=1.324)


def said(image: str, streamed: int | None = None, layers: int = 9, disk: int = 0) -> str:
    if streamed is None:
        return f"Image {image} is backed by image streaming."
    return (
        f"Image {image} is backed by secondary boot disk caching by 1.0% ({disk}/{layers} layers),"
        f" by image streaming by 1.0% ({streamed}/{layers} layers)."
    )


def statement(
    image: str = f"{MIRROR}:2.7.0", streamed: int | None = None, layers: int = 9, disk: int = 0
) -> StreamingStatement:
    found = parse_statement(said(image, streamed, layers, disk), log="log", insert_id="st1")
    assert found is not None
    return found


def layer_failure(image: str = f"{MIRROR}:2.7.0") -> LayerFailure:
    text = f'Layer download failed. Layer id: "sha256:0", image: "{image}"'
    found = parse_layer_failure(text, log="log", insert_id="lf1")
    assert found is not None
    return found
