"""
Whether an image can be streamed, by its name and its manifest.

https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming#limitations
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cli.doctor.check import Check, Verdict, command, unknown
from cli.doctor.response import Unavailable
from shared.domain.cluster import ClusterName, is_near
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source, location_of
from shared.errors import ImageError

"""The gzip form of an archive without files."""

_BIG_LAYER_BYTES: Final = 2_000_000_000
_BIG_SHARE: Final = 0.6
_FEW_LAYERS: Final = 3
"""
So few layers that hold so much of an image are more often weights than programs: the largest
layers of the usual serving images, CUDA and PyTorch, stay below 5 GB and below half of them.
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason why a registry did not return a manifest."""

    reason: str
    is_unusable: bool = False
    """The image exists, but nodes cannot stream it."""
    lacks_mirror: bool = False
    """Its mirror does not exist yet."""


@dataclass(frozen=True, slots=True)
class ImageResponses:
    """An image, with the answers of its registry."""

    text: str
    """The image as the user wrote it."""
    source: Source
    answer: Manifest | Refused | Unavailable
    platforms: Mapping[str, Manifest | Refused | Unavailable]
    """The manifest for each platform, as a node would pull it."""


def check_refused_name(text: str, error: ImageError) -> Check:
    """Return the check of an image that the configuration does not allow to mirror."""
    found = f"{error}: nodes pull it from upstream, and do not stream it. {error.hint}"
    return _make(text, "image-allowed", "failed", "upstreams in prestream.yaml", found)


def check_place(text: str, source: Source, cluster: ClusterName) -> Check:
    """Check that the nodes of a cluster can stream from the image's location."""
    mirror = source.mirror
    location = location_of(mirror)
    what = f"the name {mirror}"
    if location is None:
        unseen = Unavailable(what, f"the location of the images of {mirror.registry} is unknown")
        return unknown("image", "image-place", text, unseen)
    if is_near(location, cluster.location):
        found = f"nodes of {cluster.name} can stream it from {location}"
        return _make(text, "image-place", "ok", what, found)
    found = (
        f"it is in {location}, but nodes of {cluster.name} stream only from {cluster.region} or"
        " the multi-region around it"
    )
    near = f"{cluster.region}-docker.pkg.dev/{cluster.project}/REPOSITORY/{_last(source)}"
    return _make(text, "image-place", "failed", what, found, f"crane copy {mirror} {near}")


def check_manifest(readings: ImageResponses) -> Iterator[Check]:
    """Check the manifests of an image, and of each platform of the nodes."""
    text, answer = readings.text, readings.answer
    what = f"the manifest of {readings.source.mirror}"
    if isinstance(answer, Unavailable):
        yield unknown("image", "manifest", text, answer)
        return
    if isinstance(answer, Refused) and answer.lacks_mirror:
        found = "its mirror does not exist yet: the first warmup of the image creates it"
        yield _make(text, "manifest", "warning", what, found, _warm(text))
        return
    if isinstance(answer, Refused):
        found = (
            f"{answer.reason}: nodes may download it, but do not stream it. Push it again with a"
            " current tool"
            if answer.is_unusable
            else f"the registry does not have one: {answer.reason}"
        )
        yield _make(text, "manifest", "failed", what, found)
        return
    yield _make(text, "manifest", "ok", what, f"it can be streamed; its digest is {answer.digest}")
    for platform, manifest in readings.platforms.items():
        yield from _check_platform(readings, platform, manifest)


def _check_platform(
    readings: ImageResponses, platform: str, manifest: Manifest | Refused | Unavailable
) -> Iterator[Check]:
    subject = f"{readings.text} for {platform}"
    what = f"the manifest of {readings.source.mirror} for {platform}"
    if isinstance(manifest, Unavailable):
        yield unknown("image", "platform", subject, manifest)
        return
    if isinstance(manifest, Refused):
        build = command("docker", "buildx", "build", f"--platform={platform}", "--push")
        fix = f"{build} -t {readings.source.image} ."
        yield _make(subject, "platform", "failed", what, manifest.reason, fix)
        return
    yield _make(subject, "platform", "ok", what, f"nodes of {platform} can run it")
    yield _check_layers(readings, subject, what, manifest)
    yield _check_weights(subject, what, manifest)


def _check_layers(readings: ImageResponses, subject: str, what: str, manifest: Manifest) -> Check:
    counted = Counter(each for each in manifest.layer_digests if each)
    repeated = sum(number > 1 for number in counted.values())
    if not repeated:
        found = f"none of its {len(manifest.layers)} layers is a duplicate"
        return _make(subject, "layers", "ok", what, found)
    found = (
        f"{repeated} of its {len(manifest.layers)} layers come twice: by Google's documentation GKE"
        " downloads such an image whole; newer nodes may stream it all the same"
    )
    place = readings.source.mirror.registry
    fix = (
        f"crane flatten {readings.source.mirror.at(manifest.digest)}"
        f" -t {place}/PROJECT/REPOSITORY/{_last(readings.source)}"
    )
    return _make(subject, "layers", "warning", what, found, fix)


def _check_weights(subject: str, what: str, manifest: Manifest) -> Check:
    biggest = sorted(manifest.layers, reverse=True)[:_FEW_LAYERS]
    big = [size for size in biggest if size >= _BIG_LAYER_BYTES]
    share = sum(big) / manifest.image_bytes if manifest.image_bytes else 0.0
    if not big or share < _BIG_SHARE:
        return _make(
            subject, "weights", "ok", what, "its layers do not look like a model's weights"
        )
    found = (
        f"{len(big)} of its layers make up {share:.0%} of its {_gigabytes(manifest.image_bytes)}."
        " At a guess those are a model's weights: they are read whole at the start, so streaming"
        " brings little. Keep weights in Cloud Storage or on a disk of their own"
    )
    return _make(subject, "weights", "warning", what, found)


def check_size(readings: ImageResponses, least: int) -> Check:
    """Check whether an image is large enough to be warmed."""
    what = f"the manifest of {readings.source.mirror}, and min_image_bytes in prestream.yaml"
    sizes = [each.image_bytes for each in readings.platforms.values() if isinstance(each, Manifest)]
    if isinstance(readings.answer, Manifest) and not readings.answer.is_index:
        sizes.append(readings.answer.image_bytes)
    if not sizes:
        return unknown(
            "image", "size", readings.text, Unavailable(what, "its manifest was not read")
        )
    size = max(sizes)
    if size >= least:
        return _make(readings.text, "size", "ok", what, f"it has {_gigabytes(size)} compressed")
    found = f"it has {_gigabytes(size)} compressed: min_image_bytes excludes it from warming"
    return _make(readings.text, "size", "warning", what, found, _warm(readings.text))


def _warm(text: str) -> str:
    return command("prestream", "warm", text)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _last(source: Source) -> str:
    """Return the last part of an image's name, with its tag."""
    return f"{source.image.repository.rpartition('/')[2]}:{source.image.tag or 'latest'}"


def _make(  # noqa: PLR0913, PLR0917  # each is a field of the check
    subject: str, name: str, verdict: Verdict, looked_at: str, finding: str, fix: str | None = None
) -> Check:
    return Check(
        topic="image",
        name=name,
        subject=subject,
        verdict=verdict,
        looked_at=looked_at,
        finding=finding,
        fix=fix,
    )
