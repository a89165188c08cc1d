"""prestream rewrite and prestream policy: what a person gets, and that nothing else changes."""

import json
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from cli.app import app
from cli.input.yaml_documents import DocumentError, read_documents
from cli.rewrite.rewritten_files import rewrite_text
from shared.domain.image_fields import find_image_fields
from shared.domain.mirror_reference import rewrite_field, rewrite_image
from shared.domain.proven_mirrors import ProvenMirrors
from tests.contract.rewriting_cases import DIGEST, HUB, IMAGES, PROVEN

MIRRORS = ProvenMirrors.from_data(PROVEN)
WHERE = ("--project", "demo", "--location", "us-central1")
NOT_UTF_8 = b"image: nginx\nname: \xff\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    config = tmp_path / "prestream.yaml"
    config.write_text("", encoding="utf-8")
    return {"PRESTREAM_CONFIG": str(config)}


def run(
    environ: Mapping[str, str], *arguments: str | Path, text: str | bytes | None = None
) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], input=text, obj=environ)


def rewritten(text: str) -> str:
    return rewrite_text(text, "app.yaml", MIRRORS.proofs, "skip").after


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


def test_nothing_but_the_text_of_images_is_changed() -> None:
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
def test_the_bytes_around_are_kept(change: Any) -> None:
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
def test_nothing_changes_but_the_images_that_the_rule_rewrites(text: str) -> None:
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


def test_an_anchor_whose_uses_are_all_images_is_rewritten_once() -> None:
    text = "containers:\n- image: &nginx nginx\n- image: *nginx\n- &b {image: redis}\n- *b\n"

    assert rewritten(text) == (
        f"containers:\n- image: &nginx {HUB}/library/nginx\n- image: *nginx\n"
        f"- &b {{image: {HUB}/library/redis}}\n- *b\n"
    )


def test_an_anchor_that_is_also_something_else_is_left_alone_and_told() -> None:
    text = "containers:\n- image: &app nginx\n  args: [*app]\n"

    file = rewrite_text(text, "app.yaml", MIRRORS.proofs)

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
def test_a_template_that_opts_out_is_left_alone(text: str, field: str) -> None:
    opted_out = text.replace("MARK", f"{field}: {{prestream.dev/rewrite: disabled}}")
    another = text.replace("MARK", f"{field}: {{prestream.dev/rewrite: enabled}}")

    assert rewritten(opted_out) == opted_out
    assert rewritten(another) == another.replace("nginx", f"{HUB}/library/nginx")


def test_a_deployment_that_is_marked_does_not_mark_its_pods() -> None:
    text = (
        "kind: Deployment\nmetadata: {labels: {prestream.dev/rewrite: disabled}}\n"
        "spec: {template: {spec: {containers: [{image: nginx}]}}}\n"
    )

    assert rewritten(text) == text.replace("nginx", f"{HUB}/library/nginx")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a: 1\nimage: {{ .Values.image }}\nb: [", 3, id="template-of-helm"),
        pytest.param("a: 1\nb: *c\n", 2, id="alias-of-nothing"),
        pytest.param("a: 1\nb: &c [*c]\n", 2, id="alias-in-itself"),
        pytest.param('{"a": 1,\n"b" 2}', 2, id="json"),
        pytest.param("a: \x00", None, id="control-character"),
        pytest.param(f"a:\n  {'[' * 200_000}", 2, id="deep"),
        pytest.param("- " * 200_000, 1, id="deep-in-one-line"),
        pytest.param("a: &a {<<: *a}", None, id="merge-in-itself"),
        pytest.param(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)),
            None,
            id="aliases-of-aliases",
        ),
    ],
)
def test_invalid_yaml_is_refused_with_its_line(text: str, line: int | None) -> None:
    with pytest.raises(DocumentError) as refusal:
        read_documents(text)

    assert refusal.value.line == line


POD = "kind: Pod\nspec:\n  containers:\n  - image: nginx:1 # old\n"
MIRRORED_POD = POD.replace("nginx:1", f"{HUB}/library/nginx:1")


def test_a_file_is_printed_with_the_mirrors(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(POD, encoding="utf-8")

    result = run(environ, "rewrite", *WHERE, file)

    assert (result.exit_code, result.stdout, result.stderr) == (0, MIRRORED_POD, "")
    assert file.read_text(encoding="utf-8") == POD


def test_standard_input_is_read(environ: dict[str, str]) -> None:
    result = run(environ, "rewrite", *WHERE, "-", text=POD)

    assert (result.exit_code, result.stdout) == (0, MIRRORED_POD)


def test_several_files_become_one_stream(environ: dict[str, str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.yaml", "b.json", "c.yaml")]
    for file, text in zip(files, [POD, '{"kind": "Pod"}', POD], strict=True):
        file.write_text(text, encoding="utf-8")

    result = run(environ, "rewrite", *WHERE, *files)

    assert result.stdout == f'{MIRRORED_POD}---\n{{"kind": "Pod"}}\n---\n{MIRRORED_POD}'


def test_a_check_prints_the_difference_and_fails(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(POD, encoding="utf-8")

    result = run(environ, "rewrite", *WHERE, "--check", file)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == [f"--- a/{file}", f"+++ b/{file}"]
    assert "-  - image: nginx:1 # old" in result.stdout
    assert f"+  - image: {HUB}/library/nginx:1 # old" in result.stdout
    assert file.read_text(encoding="utf-8") == POD


def test_a_check_of_what_names_the_mirrors_passes(environ: dict[str, str]) -> None:
    result = run(environ, "rewrite", *WHERE, "--check", "-", text=MIRRORED_POD)

    assert (result.exit_code, result.stdout) == (0, "")


def identity(file: Path) -> tuple[int, int]:
    """Return what changes with each write of a file, but not with a read."""
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


def test_files_are_written_in_place_and_keep_their_mode(
    environ: dict[str, str], tmp_path: Path
) -> None:
    changed, unchanged = tmp_path / "a.yaml", tmp_path / "b.yaml"
    changed.write_text(POD, encoding="utf-8")
    unchanged.write_text("kind: Pod\n", encoding="utf-8")
    changed.chmod(0o640)
    before = identity(unchanged)

    result = run(environ, "rewrite", *WHERE, "--in-place", changed, unchanged)

    assert (result.exit_code, result.stdout) == (0, "")
    assert changed.read_text(encoding="utf-8") == MIRRORED_POD
    assert stat.S_IMODE(changed.stat().st_mode) == 0o640
    assert identity(unchanged) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "a.yaml",
        "b.yaml",
        "prestream.yaml",
    ]


def test_no_file_is_written_if_one_cannot_be_read(environ: dict[str, str], tmp_path: Path) -> None:
    good, bad = tmp_path / "a.yaml", tmp_path / "b.yaml"
    good.write_text(POD, encoding="utf-8")
    bad.write_text("a: [\n", encoding="utf-8")

    result = run(environ, "rewrite", *WHERE, "--in-place", good, bad)

    assert result.exit_code == 3
    assert re.search(rf"{bad}:\d: neither YAML nor JSON", result.stderr)
    assert good.read_text(encoding="utf-8") == POD


def test_a_file_that_cannot_be_written_stays_as_it_was(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(POD, encoding="utf-8")
    (tmp_path / ".app.yaml.prestream").mkdir()

    result = run(environ, "rewrite", *WHERE, "--in-place", file)

    assert result.exit_code == 3
    assert result.stderr == f"error: {file}: Is a directory\n"
    assert file.read_text(encoding="utf-8") == POD


def test_the_report_tells_each_image_and_why_it_was_left(environ: dict[str, str]) -> None:
    text = POD + "  - {image: us-docker.pkg.dev/a/b/c}\n  - {image: 'a:'}\n"

    result = run(environ, "rewrite", *WHERE, "--json", "-", text=text)

    (file,) = json.loads(result.stdout)["files"]
    assert (file["file"], file["changed"]) == ("standard input", True)
    assert [
        (each["line"], each["column"], each["image"], each["mirror"], each["left"])
        for each in file["images"]
    ] == [
        (4, 12, "nginx:1", f"{HUB}/library/nginx:1", None),
        (5, 13, "us-docker.pkg.dev/a/b/c", None, "at_google"),
        (6, 13, "a:", None, "invalid"),
    ]


def test_a_check_with_a_report_fails_as_well(environ: dict[str, str]) -> None:
    result = run(environ, "rewrite", *WHERE, "--check", "--json", "-", text=POD)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["files"][0]["changed"] is True


def test_an_invalid_image_is_told_with_file_line_and_value(environ: dict[str, str]) -> None:
    result = run(environ, "rewrite", *WHERE, "-", text="containers:\n- image: 'nginx:'\n")

    assert result.exit_code == 0
    assert result.stderr.startswith("standard input:2: left 'nginx:': invalid tag")


def test_pods_with_pull_secrets_are_skipped_unless_told_otherwise(
    environ: dict[str, str],
) -> None:
    text = "spec:\n  imagePullSecrets: [{name: hub}]\n  containers: [{image: nginx}]\n"

    skipped = run(environ, "rewrite", *WHERE, "-", text=text)
    ignored = run(environ, "rewrite", *WHERE, "--pull-secrets", "ignore", "-", text=text)

    assert skipped.stdout == text
    assert "left 'nginx': the pod has imagePullSecrets" in skipped.stderr
    assert ignored.stdout == text.replace("nginx", f"{HUB}/library/nginx")


def test_project_and_location_come_from_the_file(environ: dict[str, str]) -> None:
    config = Path(environ["PRESTREAM_CONFIG"])
    config.write_text("project: team\nlocation: europe\n", encoding="utf-8")

    result = run(environ, "rewrite", "-", text=POD)

    assert "image: europe-docker.pkg.dev/team/dockerhub-mirror/library/nginx:1" in result.stdout


def test_options_go_before_the_file(environ: dict[str, str]) -> None:
    config = Path(environ["PRESTREAM_CONFIG"])
    config.write_text("project: team\nlocation: europe\n", encoding="utf-8")

    result = run(environ, "rewrite", *WHERE, "-", text=POD)

    assert result.stdout == MIRRORED_POD


def test_only_the_upstreams_and_paths_of_the_file_are_rewritten(environ: dict[str, str]) -> None:
    upstreams = "upstreams:\n  docker.io: {repository: hub, paths: [acme/*]}\n"
    Path(environ["PRESTREAM_CONFIG"]).write_text(upstreams, encoding="utf-8")
    text = "containers: [{image: acme/app}, {image: nginx}, {image: ghcr.io/a/b}]\n"

    result = run(environ, "rewrite", *WHERE, "-", text=text)

    assert result.stdout == text.replace("acme/app", "us-central1-docker.pkg.dev/demo/hub/acme/app")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--check", "--in-place", "a"], 2, "exclude each other", id="two-modes"),
        pytest.param(["--in-place", "-"], 2, "standard input", id="input-in-place"),
        pytest.param(["--pull-secrets", "no", "-"], 2, "'no'", id="pull-secrets"),
        pytest.param(["--location", "US!", "-"], 2, "'US!'", id="location"),
        pytest.param([], 2, "Missing argument", id="no-file"),
        pytest.param(["/no/such/file"], 3, "/no/such/file: No such file", id="no-such-file"),
        pytest.param(["-"], 3, "-:2: not UTF-8: b'\\xff'", id="not-utf-8"),
    ],
)
def test_each_fault_has_its_exit_code(
    environ: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    result = run(environ, "rewrite", *WHERE, *arguments, text=NOT_UTF_8)

    assert result.exit_code == code
    assert words in result.stderr


def test_a_configuration_that_says_too_little_is_told(environ: dict[str, str]) -> None:
    project = run(environ, "rewrite", "-", text=POD)
    location = run(environ, "rewrite", "--project", "demo", "-", text=POD)

    assert (project.exit_code, location.exit_code) == (4, 4)
    assert "GOOGLE_CLOUD_PROJECT" in project.stderr
    assert "--location" in location.stderr


def test_the_policy_is_printed_as_it_is_applied(environ: dict[str, str]) -> None:
    bodies = list(yaml.safe_load_all(run(environ, "policy").stdout))
    listed = json.loads(run(environ, "policy", "--json").stdout)

    assert [each["kind"] for each in bodies] == [
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ConfigMap",
    ]
    assert (listed["kind"], listed["items"]) == ("List", bodies)


def test_the_parameter_that_is_printed_proves_nothing(environ: dict[str, str]) -> None:
    *_, parameter = yaml.safe_load_all(run(environ, "policy").stdout)

    assert ProvenMirrors.from_data(parameter["data"]) == ProvenMirrors()
