"""Rewriting YAML and JSON: the images change, and no other character does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.rewrite.found_image import Rules
from cli.rewrite.rewritten_files import rewrite_text
from shared.domain.image_fields import find_image_fields
from shared.domain.mirror_reference import rewrite_field, rewrite_image
from shared.domain.proven_mirrors import ProvenMirrors
from tests.contract.rewriting_cases import DIGEST, HUB, IMAGES, PROVEN

MIRRORS = ProvenMirrors.from_data(PROVEN)


def rewritten(text: str) -> str:
    return rewrite_text(text, "app.yaml", Rules(MIRRORS.proofs)).after


FORMATTED = """\
# Source: chart/templates/app.yaml   (kept)

---
apiVersion: apps/v1
kind:   Deployment        # odd spaces
metadata: {name: app, labels: {image: nginx}}
spec:
    template:
        spec:
            initContainers: [{image: IMAGE_1, name: "x"}, {name: y, image: 'IMAGE_2'}]
            containers:
            -   name: app
                image:    "IMAGE_3"   # the image: nginx
                args: ["--image=nginx", nginx]
                env:
                - {name: IMAGE, value: nginx}
            -
                image: >-
                    IMAGE_4
            - "image": !!str IMAGE_5
            - image: "\\u0049MAGE_6"
            volumes:
            - {name: model, image: {reference: IMAGE_7}}
---
# nothing here
---
kind: ConfigMap
data:
  image: nginx
  pod.yaml: |
    spec:
      containers:
      - image: nginx
...
---
{"kind": "List", "items": [{"kind": "Pod", "note": "\\ud83d\\ude00",
\t"spec": {"containers": [{"image": "IMAGE_8"}], "café": "é"}}]}
"""


def test_only_the_text_of_images_changes() -> None:
    images = ["nginx", "redis:7", f"ghcr.io/a/b@{DIGEST}", "acme/app", "a/b:1", "c", "d:1", "e/f"]
    before = after = FORMATTED
    for index, image in enumerate(images, start=1):
        mirror = rewrite_image(image, MIRRORS.proofs).mirror or ""
        escaped = f"\\u{ord(image[0]):04x}{image[1:]}"
        before = before.replace(f"\\u0049MAGE_{index}", escaped).replace(f"IMAGE_{index}", image)
        after = after.replace(f"\\u0049MAGE_{index}", mirror).replace(f"IMAGE_{index}", mirror)

    assert rewritten(before) == after


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="line-endings-of-windows"),
        pytest.param(lambda text: f"\ufeff{text}", id="byte-order-mark"),
        pytest.param(lambda text: text.rstrip("\n"), id="no-line-feed-at-the-end"),
    ],
)
def test_bytes_around_are_kept(change: Any) -> None:
    text = "# é\nkind: Pod\nspec:\n  containers:\n  - image: nginx\n"

    after = rewritten(change(text))

    assert after == change(text.replace("nginx", f"{HUB}/library/nginx"))


names = st.sampled_from(
    ["image", "reference", "containers", "spec", "template", "model", "volumes", "items", "on", "x"]
)
images = st.sampled_from([case.image for case in IMAGES]) | st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | images
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
containers = st.fixed_dictionaries(
    {"name": st.just("app"), "image": images},
    optional={
        "imagePullPolicy": st.sampled_from(["Always", "Never", "IfNotPresent"]),
        "env": st.lists(st.fixed_dictionaries({"name": names, "value": images}), max_size=2),
        "args": st.lists(images, max_size=2),
    },
)
volumes = st.fixed_dictionaries({"image": st.fixed_dictionaries({"reference": images})})
pod_specs = st.fixed_dictionaries(
    {"containers": st.lists(containers, min_size=1, max_size=3)},
    optional={
        "initContainers": st.lists(containers, max_size=2),
        "volumes": st.lists(volumes, max_size=2),
        "imagePullSecrets": st.lists(st.just({"name": "hub"}), max_size=1),
        "more": anything,
    },
)
marks = st.dictionaries(
    st.sampled_from(["prestream.dev/rewrite", "image"]), st.sampled_from(["disabled", "nginx"])
)
metadata = st.fixed_dictionaries({"labels": marks, "annotations": marks})
templates = st.fixed_dictionaries({"spec": pod_specs}, optional={"metadata": metadata})
objects = (
    templates
    | st.fixed_dictionaries({"spec": st.fixed_dictionaries({"template": templates})})
    | st.fixed_dictionaries({"items": st.lists(templates, max_size=3)})
    | st.fixed_dictionaries({"data": st.dictionaries(names, images)})
    | anything
)
styles: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([None, True, False]),
        "default_style": st.sampled_from([None, "'", '"', "|", ">"]),
        "width": st.sampled_from([20, 80, 1000]),
        "indent": st.sampled_from([2, 4]),
        "allow_unicode": st.booleans(),
        "explicit_start": st.just(True),  # noqa: FBT003  # PyYAML's name for the value
    }
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Make up a file as Helm, Kustomize, kubectl or a person writes it."""
    # A copy without shared parts: PyYAML would make anchors of them.
    bodies = [json.loads(json.dumps(each)) for each in draw(st.lists(objects, max_size=3))]
    if len(bodies) == 1 and draw(st.booleans()):
        return json.dumps(bodies[0], indent=draw(st.sampled_from([None, 2])))
    parts = [yaml.safe_dump(each, sort_keys=False, **draw(styles)) for each in bodies]
    comment = draw(st.sampled_from(["", "# Source: a: [b\n", "---\n"]))
    return comment + comment.join(parts)


def list_texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """List everything in a body that holds nothing else, with its path."""
    if isinstance(value, dict):
        yield path, sorted(map(str, value))
        for name, each in value.items():
            yield from list_texts(each, (*path, name))
    elif isinstance(value, list):
        yield path, len(value)
        for index, each in enumerate(value):
            yield from list_texts(each, (*path, index))
    else:
        yield path, value


@settings(max_examples=300, deadline=None)
@given(files())
def test_only_images_that_the_rule_rewrites_change(text: str) -> None:
    after = rewritten(text)

    bodies_before, bodies_after = (list(yaml.safe_load_all(each)) for each in (text, after))
    expected = [dict(list_texts(body)) for body in bodies_before]
    for body, values in zip(bodies_before, expected, strict=True):
        for field in find_image_fields(body):
            if isinstance(field.image, str):
                mirror = rewrite_field(field, MIRRORS.proofs, "skip").mirror
                values[field.path] = mirror or field.image
    assert [dict(list_texts(body)) for body in bodies_after] == expected
    assert after.count("\n") == text.count("\n") or ">" in text or "|" in text


@settings(max_examples=100, deadline=None)
@given(files())
def test_rewriting_twice_changes_nothing_more(text: str) -> None:
    once = rewritten(text)

    assert rewritten(once) == once


def test_anchor_whose_uses_are_all_images_is_rewritten_once() -> None:
    text = "containers:\n- image: &nginx nginx\n- image: *nginx\n- &b {image: redis}\n- *b\n"

    assert rewritten(text) == (
        f"containers:\n- image: &nginx {HUB}/library/nginx\n- image: *nginx\n"
        f"- &b {{image: {HUB}/library/redis}}\n- *b\n"
    )


def test_anchor_with_other_uses_is_left_alone_and_reported() -> None:
    text = "containers:\n- image: &app nginx\n  args: [*app]\n"

    file = rewrite_text(text, "app.yaml", Rules(MIRRORS.proofs))

    assert file.after == text
    assert [each.remark for each in file.found] == [
        "an anchor shares it with a text that must stay"
    ]


def test_merged_value_counts_as_written() -> None:
    text = "containers:\n- &base {image: nginx, name: a}\n- {<<: *base, name: b}\n"
    own = "containers:\n- &base {image: nginx, name: a}\n- {<<: *base, image: redis}\n"

    assert rewritten(text) == text.replace("nginx", f"{HUB}/library/nginx")
    assert rewritten(own) == own.replace("nginx", f"{HUB}/library/nginx").replace(
        "redis", f"{HUB}/library/redis"
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "kind: Deployment\nspec:\n  template:\n    metadata: {MARK}\n"
            "    spec: {containers: [{image: nginx}]}\n",
            id="template",
        ),
        pytest.param(
            "kind: List\nitems:\n- metadata: {MARK}\n  spec: {containers: [{image: nginx}]}\n",
            id="list",
        ),
        pytest.param(
            "kind: Workflow\nspec:\n  templates:\n  - metadata: {MARK}\n"
            "    container: {image: nginx}\n",
            id="argo",
        ),
    ],
)
@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_template_that_opts_out_is_left_alone(text: str, field: str) -> None:
    opted_out = text.replace("MARK", f"{field}: {{prestream.dev/rewrite: disabled}}")
    another = text.replace("MARK", f"{field}: {{prestream.dev/rewrite: enabled}}")

    assert rewritten(opted_out) == opted_out
    assert rewritten(another) == another.replace("nginx", f"{HUB}/library/nginx")


def test_deployment_that_is_marked_does_not_mark_its_pods() -> None:
    text = (
        "kind: Deployment\nmetadata: {labels: {prestream.dev/rewrite: disabled}}\n"
        "spec: {template: {spec: {containers: [{image: nginx}]}}}\n"
    )

    assert rewritten(text) == text.replace("nginx", f"{HUB}/library/nginx")
