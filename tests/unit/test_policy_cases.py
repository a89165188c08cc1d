"""The rule in Python, held to the one table that the policy is held to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.connect.configuration import configured_mirrors
from shared.domain.image_fields import find_image_fields
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.mirror_reference import (
    rewrite_field,
    rewrite_image,
)
from shared.domain.proven_mirrors import InvalidProofError, Proof, ProvenMirrors
from shared.domain.workload import ORIGINALS_ANNOTATION, read_originals
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.settings.keys import Settings
from tests.contract.rewriting_cases import HUB, IMAGES, NVCR, PODS, PROVEN, ImageCase, PodCase
from tests.fakes.registries import FakeRegistry, FakeRepositories

MIRRORS = ProvenMirrors.from_data(PROVEN)


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.id)
def test_image_is_rewritten_as_in_the_table(case: ImageCase) -> None:
    rewrite = rewrite_image(case.image, MIRRORS.proofs)

    assert rewrite.mirror == case.mirror
    assert (rewrite.left is None) == (case.mirror is not None)


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.id)
def test_images_of_a_pod_are_rewritten_as_in_the_table(case: PodCase) -> None:
    mirrors = ProvenMirrors.from_data(case.data or {})

    rewrites = {
        "/" + "/".join(map(str, field.path)): rewrite_field(
            field, mirrors.proofs, mirrors.pull_secrets
        )
        for field in find_image_fields(case.pod)
        if isinstance(field.image, str)
    }

    mirrored = {path: each.mirror for path, each in rewrites.items() if each.mirror}
    assert mirrored == case.images


@given(st.text(alphabet="abcAZ019.:/@_-[] \n", max_size=40))
def test_rewritten_reference_is_stable(text: str) -> None:
    rewrite = rewrite_image(text, MIRRORS.proofs)

    if rewrite.mirror is None:
        return
    assert parse_reference(rewrite.mirror).version == parse_reference(text).version
    assert rewrite_image(rewrite.mirror, MIRRORS.proofs).mirror is None


def test_invalid_reference_is_reported_with_its_fault() -> None:
    with pytest.raises(InvalidReferenceError) as refusal:
        parse_reference("nginx:")

    assert rewrite_image("nginx:", MIRRORS.proofs).sentence == str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        NVCR,
        f"{NVCR} nvidia/* acme/app !nvidia/secret-*",
        f"on {NVCR} nvidia/*",
        f"off {NVCR}",
        "off",
    ],
)
def test_entry_is_written_as_it_was_read(text: str) -> None:
    assert str(Proof.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "not LOCATION-docker.pkg.dev/PROJECT/REPOSITORY: ''", id="empty"),
        pytest.param("on", "not LOCATION-docker.pkg.dev/PROJECT/REPOSITORY: ''", id="only-on"),
        pytest.param(f"https://{NVCR}", f"'https://{NVCR}'", id="scheme"),
        pytest.param(f"{NVCR} acme/[ab]", "not a pattern over repositories: 'acme/[ab]'", id="set"),
        pytest.param(f"{NVCR} !!acme", "'!!acme'", id="twice-off"),
        pytest.param(f"{NVCR}, acme/*", f"'{NVCR},'", id="comma"),
    ],
)
def test_entry_that_makes_no_sense_is_refused(text: str, fault: str) -> None:
    with pytest.raises(InvalidProofError) as refusal:
        Proof.parse(text)

    assert fault in str(refusal.value)


def test_broken_entry_does_not_spoil_the_others() -> None:
    mirrors = ProvenMirrors.from_data({"docker.io": HUB, "ghcr.io": "{", "pullSecrets": "ignore"})

    assert mirrors.proofs == {"docker.io": Proof(HUB)}
    assert list(mirrors.broken) == ["ghcr.io"]
    assert mirrors.pull_secrets == "ignore"


def test_parameter_is_written_as_it_was_read() -> None:
    data = {
        "pullSecrets": "skip",
        "docker.io": HUB,
        "registry.example.com_5000": f"on {NVCR} acme/*",
    }

    mirrors = ProvenMirrors.from_data(data)

    assert set(mirrors.proofs) == {"docker.io", "registry.example.com:5000"}
    assert mirrors.to_data() == data


@pytest.mark.parametrize(
    ("mirrored", "original"),
    [
        pytest.param(f"{HUB}/library/nginx:1", "nginx:2", id="other-tag"),
        pytest.param(f"{HUB}/library/nginx:1", "acme/nginx:1", id="other-path"),
        pytest.param("ghcr.io/acme/app:1", "acme/app:1", id="no-mirror"),
        pytest.param(f"{HUB}/library/nginx:1", "no image", id="no-reference"),
        pytest.param(f"{HUB}/library/nginx:1", 5, id="no-text"),
    ],
)
def test_original_that_cannot_be_one_is_not_believed(mirrored: str, original: Any) -> None:
    annotations = {ORIGINALS_ANNOTATION: json.dumps({mirrored: original})}

    assert read_originals({"metadata": {"annotations": annotations}}) == {}


@pytest.mark.parametrize("text", ["", "nginx", "[]", "5", '{"', '{"a":{"b":1}}', "[" * 100_000])
def test_foreign_annotation_names_no_original(text: str) -> None:
    assert read_originals({"metadata": {"annotations": {ORIGINALS_ANNOTATION: text}}}) == {}


def test_pods_pull_what_is_warmed() -> None:
    settings = Settings(project="demo", deployment_project="demo")
    proofs = configured_mirrors(settings, "us-central1")
    mirrors = Mirrors(
        settings,
        registry=FakeRegistry(),
        repositories=FakeRepositories,
        execute=Executor(dry_run=True),
        pause=lambda _: None,
    )
    # No node can pull from Docker.IO, and so nobody asks for it: the capitals make it a host.
    images = [case.image for case in IMAGES if case.id != "hub-upper-case"]

    pulled = {image: rewrite_image(image, proofs).mirror for image in images}

    warmed = {
        image: mirrors.locate(parse_reference(image), "us-central1-a").mirror
        for image, mirror in pulled.items()
        if mirror
    }
    assert len(warmed) > 20
    assert warmed == {image: parse_reference(name) for image, name in pulled.items() if name}
