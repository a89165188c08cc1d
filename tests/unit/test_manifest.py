"""Manifests and indexes, sound and hostile."""

import hashlib
import json
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import Digest
from shared.domain.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA_1,
    OCI_INDEX,
    OCI_MANIFEST,
    DamagedManifestError,
    InvalidManifestError,
    Manifest,
    RegistryRefusalError,
    parse_manifest,
)

FIRST, SECOND, THIRD = (Digest(f"sha256:{digit * 64}") for digit in "123")
INT64 = 2**63 - 1


def parse(content: Any, media_type: str = OCI_MANIFEST, digest: str | None = None) -> Manifest:
    return parse_manifest(json.dumps(content).encode(), media_type, digest)


def image(*sizes: Any, **fields: Any) -> dict[str, Any]:
    layers = [{"digest": FIRST, "size": size} for size in sizes]
    return {"schemaVersion": 2, "layers": layers, **fields}


def index(*entries: tuple[str, Digest], **fields: Any) -> dict[str, Any]:
    names = ("os", "architecture", "variant")
    manifests = [
        {"digest": digest, "platform": dict(zip(names, platform.split("/"), strict=False))}
        for platform, digest in entries
    ]
    return {"schemaVersion": 2, "manifests": manifests, **fields}


def sha256(content: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(content).encode()).hexdigest()}"


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_image_weighs_what_its_layers_and_its_configuration_do(media_type: str) -> None:
    manifest = parse(image(100, 20, config={"size": 3}), media_type)

    assert manifest.layers == (100, 20)
    assert manifest.image_bytes == 123
    assert not manifest.is_index


def test_image_may_have_no_layers_and_no_configuration() -> None:
    manifest = parse(image())

    assert manifest.image_bytes == 0
    assert not manifest.is_index


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST, "application/json"])
def test_index_lists_its_platforms(media_type: str) -> None:
    manifest = parse(index(("linux/amd64", FIRST), ("linux/arm64/v8", SECOND)), media_type)

    assert manifest.is_index
    assert [entry.platform for entry in manifest.platforms] == ["linux/amd64", "linux/arm64/v8"]
    assert manifest.digest_for("linux/amd64") == FIRST
    assert manifest.digest_for("linux/arm64") == SECOND
    assert manifest.digest_for("linux/arm64/v8") == SECOND
    assert manifest.digest_for("windows/amd64") is None
    assert manifest.digest_for("linux/arm") is None


def test_body_s_own_type_counts_before_the_header() -> None:
    body = index(("linux/amd64", FIRST), mediaType=OCI_INDEX)

    assert parse(body, OCI_MANIFEST).is_index


def test_attestations_are_no_platforms() -> None:
    manifest = parse(index(("linux/amd64", FIRST), ("unknown/unknown", SECOND)))

    assert [entry.digest for entry in manifest.platforms] == [FIRST]


@pytest.mark.parametrize("order", [0, 1])
def test_platform_that_is_named_exactly_comes_before_its_variants(order: int) -> None:
    entries = [("linux/amd64/v3", FIRST), ("linux/amd64", SECOND)]
    manifest = parse(index(*(entries[::-1] if order else entries)))

    assert manifest.digest_for("linux/amd64") == SECOND
    assert manifest.digest_for("linux/amd64/v3") == FIRST


def test_single_manifest_without_a_platform_serves_all_that_no_other_does() -> None:
    body = index(("linux/arm64", FIRST))
    body["manifests"].append({"digest": SECOND})

    manifest = parse(body)

    assert manifest.digest_for("linux/amd64") == SECOND
    assert manifest.digest_for("linux/arm64") == FIRST


def test_two_manifests_without_a_platform_are_ambiguous() -> None:
    body = {"manifests": [{"digest": FIRST}, {"digest": SECOND, "platform": None}]}

    assert parse(body).digest_for("linux/amd64") is None


@pytest.mark.parametrize("flavour", ["oci", "docker"])
def test_whole_images_are_read_as_they_were_made(flavour: Any) -> None:
    made = Image((5, 70), ("linux/amd64", "linux/arm64"), flavour=flavour, attestations=True)

    parsed = {
        manifest.digest: parse_manifest(manifest.body, manifest.media_type, manifest.digest)
        for manifest in made.manifests
    }

    for platform in made.platforms:
        digest = parsed[Digest(made.digest)].digest_for(platform)
        assert digest == made.manifest_for(platform).digest
        assert parsed[digest].image_bytes == made.manifest_for(platform).image_bytes


def test_missing_digest_is_computed() -> None:
    body = image(1)

    assert parse(body).digest == sha256(body)
    assert parse(body, digest="").digest == sha256(body)


def test_digest_that_is_true_is_kept() -> None:
    body = image(1)
    sha512 = f"sha512:{hashlib.sha512(json.dumps(body).encode()).hexdigest()}"

    assert parse(body, digest=sha256(body)).digest == sha256(body)
    assert parse(body, digest=sha512).digest == sha512


def test_bytes_of_another_digest_came_damaged() -> None:
    with pytest.raises(DamagedManifestError, match="digest"):
        parse(image(1), digest=f"sha256:{'1' * 64}")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"layers": [{"si', b'{"a": "\xff"}'])
def test_invalid_json_without_a_digest_is_transient(body: bytes) -> None:
    with pytest.raises(DamagedManifestError, match="not JSON"):
        parse_manifest(body, OCI_MANIFEST, None)


@pytest.mark.parametrize(
    ("body", "has_digest"),
    [
        pytest.param(b"<html>", True, id="text"),
        pytest.param(b'{"layers": [], "annotations": {"a": "\xff"}}', True, id="byte"),
        pytest.param(b'{"layers": [], "a": ' + b"9" * 5_000 + b"}", True, id="number"),
        pytest.param(b'{"layers": [], "a": ' + b"9" * 5_000 + b"}", False, id="valid-json"),
        pytest.param(b'{"layers": [], "a": ' + b"[" * 200_000, True, id="depth"),
    ],
)
def test_manifest_that_was_pushed_unreadable_is_the_fault_of_the_image(
    body: bytes, *, has_digest: bool
) -> None:
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}" if has_digest else None

    with pytest.raises(InvalidManifestError) as caught:
        parse_manifest(body, OCI_MANIFEST, digest)

    assert not isinstance(caught.value, DamagedManifestError)


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param(FIRST, id="other"),
        pytest.param(f"sha512:{'1' * 128}", id="other-algorithm"),
        pytest.param("sha256:1", id="short"),
        pytest.param("md5:d41d8cd98f00b204e9800998ecf8427e", id="weak"),
        pytest.param(f"sha256:{'1' * 64}\n", id="line-feed"),
    ],
)
def test_digest_that_is_not_true_is_refused(digest: str) -> None:
    with pytest.raises(InvalidManifestError, match="digest"):
        parse(image(1), digest=digest)


@pytest.mark.parametrize("media_type", sorted(DOCKER_SCHEMA_1))
def test_schema_1_cannot_be_streamed(media_type: str) -> None:
    with pytest.raises(InvalidManifestError, match="schema version 1"):
        parse({"fsLayers": []}, media_type)
    with pytest.raises(InvalidManifestError, match="schema version 1"):
        parse({"schemaVersion": 1, "fsLayers": []}, "")


def test_ambiguous_manifest_is_refused() -> None:
    body = image(1) | index(("linux/amd64", FIRST))

    with pytest.raises(InvalidManifestError, match="both"):
        parse(body)


@pytest.mark.parametrize(
    "size",
    [-1, 1.5, True, "12", None, [], INT64 + 1, 10**400],
    ids=lambda value: repr(value)[:12],
)
def test_invalid_size_is_refused(size: object) -> None:
    with pytest.raises(InvalidManifestError, match="size"):
        parse(image(size))
    with pytest.raises(InvalidManifestError, match="size"):
        parse(image(1, config={"size": size}))


def test_sizes_that_are_possible_alone_may_be_impossible_together() -> None:
    assert parse(image(INT64)).image_bytes == INT64
    with pytest.raises(InvalidManifestError, match="size"):
        parse(image(INT64, 1))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"layers"', id="text"),
        pytest.param(b"{", id="half"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"[" * 200_000, id="deep-list"),
        pytest.param(b'{"a":' * 200_000, id="deep-object"),
        pytest.param(b'{"layers": [{"size": ' + b"9" * 5_000 + b"}]}", id="endless-number"),
        pytest.param(b'{"layers": [{"size": NaN}]}', id="nan"),
        pytest.param(b'{"layers": [{"size": 1e400}]}', id="infinity"),
        pytest.param(b"{}", id="nothing"),
        pytest.param(b'{"layers": null}', id="no-layers"),
        pytest.param(b'{"layers": {"size": 1}}', id="layers-object"),
        pytest.param(b'{"layers": ""}', id="layers-text"),
        pytest.param(b'{"layers": ["a"]}', id="layer-text"),
        pytest.param(b'{"layers": [null]}', id="layer-null"),
        pytest.param(b'{"layers": [], "config": 5}', id="config-number"),
        pytest.param(b'{"manifests": null}', id="no-manifests"),
        pytest.param(b'{"manifests": []}', id="empty-index"),
        pytest.param(b'{"manifests": ["a"]}', id="entry-text"),
        pytest.param(b'{"manifests": [{"platform": "linux"}]}', id="platform-text"),
        pytest.param(b'{"manifests": [{"platform": {"os": 5}}]}', id="os-number"),
        pytest.param(b'{"manifests": [{"platform": {"os": "linux"}}]}', id="no-digest"),
        pytest.param(b'{"manifests": [{"digest": 5}]}', id="digest-number"),
        pytest.param(b'{"manifests": [{"digest": "sha256:1"}]}', id="digest-short"),
    ],
)
def test_invalid_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidManifestError):
        parse_manifest(body, OCI_MANIFEST, None)


def test_index_without_entries_is_refused_by_its_type() -> None:
    with pytest.raises(InvalidManifestError):
        parse({"layers": []}, OCI_INDEX)


def test_platform_s_name_may_not_fill_a_log() -> None:
    body = index(("linux/" + "x" * 1_000_000, FIRST), ("linux/amd64", SECOND))

    assert [entry.digest for entry in parse(body).platforms] == [SECOND]


def test_type_may_not_fill_a_log() -> None:
    with pytest.raises(InvalidManifestError) as caught:
        parse({"mediaType": "x" * 1_000_000})

    assert len(str(caught.value)) < 300


def test_refusal_has_status_code_and_message() -> None:
    refusal = RegistryRefusalError(404, "NAME_UNKNOWN", "no such repository")

    assert str(refusal) == "404 NAME_UNKNOWN: no such repository"
    assert refusal.retry_at is None
    assert not refusal.by_upstream
