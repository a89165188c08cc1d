"""Checks of an image: where it lies, and what its manifest holds."""

from dataclasses import replace

import pytest

from cli.doctor.check import Check
from cli.doctor.checks.image_manifest import (
    ImageResponses,
    Refused,
    check_manifest,
    check_place,
    check_refused_name,
    check_size,
)
from cli.doctor.response import Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import ImageReference, parse_digest, parse_reference
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.errors import ImageError

TEXT = "vllm/vllm-openai:v0.6.3"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/vllm/vllm-openai:v0.6.3"
SOURCE = Source(parse_reference(TEXT), parse_reference(MIRROR))
NAME = ClusterName("demo", "us-central1-a", "gpu")
AMD64 = "linux/amd64"
GB = 1_000_000_000


def layers(*sizes: int, repeated: bool = False) -> Manifest:
    digests = [f"sha256:{index:064x}" for index in range(len(sizes))]
    if repeated:
        digests[-1] = digests[0]
    return Manifest(parse_digest(f"sha256:{'a' * 64}"), (), sizes, 0, tuple(digests))


GOOD = layers(30_000_000, 4 * GB, 3 * GB, 2 * GB)


def check(
    answer: Manifest | Refused | Unavailable,
    platform: Manifest | Refused | Unavailable | None = None,
) -> dict[str, Check]:
    platforms = {AMD64: platform or answer} if isinstance(answer, Manifest) else {}
    return {
        each.name: each for each in check_manifest(ImageResponses(TEXT, SOURCE, answer, platforms))
    }


def verdicts(found: dict[str, Check]) -> dict[str, str]:
    return {name: each.verdict for name, each in found.items()}


def test_ordinary_image_can_be_streamed() -> None:
    spread = layers(*[GB] * 9)

    assert verdicts(check(spread)) == {
        "manifest": "ok",
        "platform": "ok",
        "layers": "ok",
        "weights": "ok",
    }


def test_manifest_that_nodes_do_not_stream_fails() -> None:
    found = check(Refused("the manifest has schema version 1", is_unusable=True))["manifest"]

    assert (found.verdict, "do not stream it" in found.finding) == ("failed", True)


def test_image_that_is_not_there_fails() -> None:
    assert verdicts(check(Refused("404 MANIFEST_UNKNOWN"))) == {"manifest": "failed"}


def test_mirror_that_is_not_made_yet_is_a_warning_with_the_command_that_asks_for_it() -> None:
    found = check(Refused("404 NAME_UNKNOWN", lacks_mirror=True))["manifest"]

    assert found.verdict == "warning"
    assert found.fix == f"prestream warm {TEXT}"


def test_manifest_that_cannot_be_read_is_unknown() -> None:
    assert verdicts(check(Unavailable("x", "403"))) == {"manifest": "unknown"}


def test_image_for_other_nodes_fails() -> None:
    found = check(GOOD, Refused("it is made for linux/arm64 only"))["platform"]

    assert (found.verdict, found.finding) == ("failed", "it is made for linux/arm64 only")
    assert found.fix is not None
    assert "--platform=linux/amd64" in found.fix


def test_platform_that_cannot_be_read_is_unknown() -> None:
    assert check(GOOD, Unavailable("x", "503"))["platform"].verdict == "unknown"


def test_empty_layer_is_ok() -> None:
    assert check(layers(GB, 32, GB))["layers"].verdict == "ok"


def test_layers_that_come_twice_are_a_warning() -> None:
    found = check(layers(GB, GB, GB, repeated=True))["layers"]

    assert (found.verdict, "1 of its 3 layers come twice" in found.finding) == ("warning", True)
    assert found.fix is not None
    assert found.fix.startswith("crane flatten us-central1-docker.pkg.dev/demo/")


def test_few_very_large_layers_are_reported_as_likely_weights() -> None:
    found = check(layers(GB, 14 * GB, 13 * GB))["weights"]

    assert (found.verdict, "At a guess" in found.finding) == ("warning", True)
    assert "96% of its 28.00 GB" in found.finding


def test_size_decides_whether_an_image_is_warmed() -> None:
    index = replace(GOOD, platforms=(), layers=(100,))

    def size(answer: Manifest | Unavailable, platform: Manifest | Unavailable) -> str:
        readings = ImageResponses(TEXT, SOURCE, answer, {AMD64: platform})
        return check_size(readings, 200_000_000).verdict

    assert size(GOOD, GOOD) == "ok"
    assert size(index, index) == "warning"
    assert size(Unavailable("x", "403"), Unavailable("x", "403")) == "unknown"


def place(reference: ImageReference) -> str:
    return check_place(TEXT, Source(reference, reference), NAME).verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        pytest.param(MIRROR, "ok", id="region"),
        pytest.param("us-docker.pkg.dev/demo/apps/app:1", "ok", id="multi-region"),
        pytest.param("gcr.io/demo/app:1", "ok", id="container-registry"),
        pytest.param("europe-docker.pkg.dev/demo/apps/app:1", "failed", id="elsewhere"),
        pytest.param("eu.gcr.io/demo/app:1", "failed", id="container-registry-elsewhere"),
        pytest.param("k8s.gcr.io/pause:3", "unknown", id="place-not-known"),
    ],
)
def test_image_must_lie_near_the_nodes(text: str, verdict: str) -> None:
    assert place(parse_reference(text)) == verdict


def test_command_copies_an_image_near_the_nodes() -> None:
    far = parse_reference("europe-docker.pkg.dev/demo/apps/app:1")

    assert check_place(TEXT, Source(far, far), NAME).fix == (
        "crane copy europe-docker.pkg.dev/demo/apps/app:1"
        " us-central1-docker.pkg.dev/demo/REPOSITORY/app:1"
    )


def test_image_that_may_not_be_mirrored_fails_with_the_hint() -> None:
    error = ImageError("not_allowed", "registry 'x' is not on the list", hint="Add x.")

    found = check_refused_name(TEXT, error)

    assert found.verdict == "failed"
    assert found.finding.endswith("Add x.")
