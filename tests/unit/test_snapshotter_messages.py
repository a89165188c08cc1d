"""Messages of the node's snapshotter: parsing, and the match of an image with a pull."""

import pytest

from shared.domain.snapshotter_messages import is_same_image, parse_layer_failure, parse_statement

DIGEST = "sha256:" + "5f2d" * 16
OTHER = "sha256:" + "0bad" * 16


@pytest.mark.parametrize(
    ("stated", "pulled", "digest", "expected"),
    [
        pytest.param("r.io/a:1", "r.io/a:1", None, True, id="same-tag"),
        pytest.param("r.io/a:2", "r.io/a:1", None, False, id="other-tag"),
        pytest.param("r.io/a:2", "r.io/a:1", DIGEST, False, id="other-tag-known-digest"),
        pytest.param("r.io/b:1", "r.io/a:1", None, False, id="other-repository"),
        pytest.param("q.io/a:1", "r.io/a:1", None, False, id="other-registry"),
        pytest.param(f"r.io/a@{DIGEST}", f"r.io/a@{DIGEST}", None, True, id="same-digest"),
        pytest.param(f"r.io/a@{OTHER}", f"r.io/a@{DIGEST}", None, False, id="other-digest"),
        pytest.param(f"r.io/a@{DIGEST}", f"r.io/a:1@{DIGEST}", None, True, id="tag-dropped"),
        pytest.param(f"r.io/a:1@{DIGEST}", f"r.io/a@{DIGEST}", None, True, id="tag-added"),
        pytest.param(f"r.io/a@{DIGEST}", "r.io/a:1", DIGEST, True, id="resolved-digest"),
        pytest.param(f"r.io/a@{DIGEST}", "r.io/a:1", OTHER, False, id="resolved-to-another"),
        pytest.param(f"r.io/a@{DIGEST}", "r.io/a:1", None, False, id="digest-not-known"),
        pytest.param("r.io/a:1", f"r.io/a@{DIGEST}", DIGEST, False, id="tag-for-a-digest"),
        pytest.param("r.io/a:1", f"r.io/a:1@{DIGEST}", None, False, id="tag-beside-a-digest"),
        pytest.param("nginx", "docker.io/library/nginx:latest", None, True, id="short-form"),
        pytest.param("A b", "A b", None, True, id="no-reference-but-the-same"),
        pytest.param("A b", "r.io/a:1", None, False, id="no-reference"),
    ],
)
def test_image_is_matched_by_name_and_version(
    *, stated: str, pulled: str, digest: str | None, expected: bool
) -> None:
    assert is_same_image(stated, pulled, digest) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Layer was garbage collected. Layer id: sha256:00",
        "Image r.io/a:1 is backed by the local disk.",
        "prepared snapshot",
    ],
)
def test_other_texts_state_nothing(text: str) -> None:
    assert parse_statement(text) is None
    assert parse_layer_failure(text) is None


def test_figures_of_streaming_alone_are_read() -> None:
    found = parse_statement("Image r.io/a:1 is backed by image streaming by 50.0% (1/2 layers).")

    assert found is not None
    assert (found.streamed_layers, found.layers, found.disk_layers) == (1, 2, None)
    assert not found.is_on_disk
