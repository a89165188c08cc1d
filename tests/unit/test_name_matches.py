"""Images that Kustomize or Skaffold replaces by name stay as they are in the files."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import Result

from tests.contract.rewriting_cases import HUB
from tests.fakes.command_line import run_command

WHERE = ("--project", "demo", "--location", "us-central1")
POD = "kind: Pod\nspec:\n  containers:\n  - image: nginx:1\n"
NGINX = f"{HUB}/library/nginx"


def write(folder: Path, **files: str) -> None:
    """Write files; in a name, two underscores mean a slash."""
    (folder / ".git").mkdir()
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run(environ: Mapping[str, str], *arguments: str | Path) -> Result:
    return run_command(environ, "rewrite", *WHERE, *arguments)


def images_of(result: Result) -> list[tuple[str | None, str | None]]:
    (file,) = json.loads(result.stdout)["files"]
    return [(each["mirror"], each["left"]) for each in file["images"]]


BASE = "resources: [app.yaml]\n"
BY_NAME = "images: [{name: nginx, newTag: '2'}]\n"


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"base__kustomization": BASE + BY_NAME}, id="own-folder"),
        pytest.param(
            {
                "base__kustomization": BASE,
                "overlays__prod__kustomization": f"resources: [../../base]\n{BY_NAME}",
            },
            id="overlay",
        ),
        pytest.param(
            {
                "base__kustomization": BASE,
                "all__kustomization": "bases: [../base]\n",
                "prod__kustomization": f"resources: [../all]\n{BY_NAME}",
            },
            id="overlay-of-an-overlay",
        ),
        pytest.param(
            {
                "base__kustomization": f"{BASE}components: [../pinned]\n",
                "pinned__kustomization": f"kind: Component\n{BY_NAME}",
            },
            id="component",
        ),
        pytest.param(
            {"base__kustomization": f"patches: [{{path: app.yaml}}]\n{BY_NAME}"}, id="patch"
        ),
        pytest.param(
            {
                "base__kustomization": BASE,
                "loop__kustomization": f"resources: [../base, ../loop]\ncomponents: [.]\n{BY_NAME}",
            },
            id="loop",
        ),
    ],
)
def test_image_that_a_kustomization_matches_is_kept(
    environ: dict[str, str], tmp_path: Path, files: dict[str, str]
) -> None:
    write(tmp_path, base__app=POD, **files)
    app = tmp_path / "base" / "app.yaml"

    checked, written = run(environ, "--check", app), run(environ, "--in-place", app)

    assert (checked.exit_code, checked.stdout) == (1, "")
    assert f"set newName: {NGINX} there" in checked.stderr
    assert "kubectl kustomize" in checked.stderr
    assert written.exit_code == 0
    assert app.read_text("utf-8") == POD
    assert images_of(run(environ, "--json", app)) == [(None, "kustomize")]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"base__kustomization": BASE}, id="without-images"),
        pytest.param({"other__kustomization": f"resources: [x.yaml]\n{BY_NAME}"}, id="of-others"),
        pytest.param(
            {"base__kustomization": f"{BASE}images: [{{name: library/nginx}}, {{name: ngin}}]\n"},
            id="other-names",
        ),
        pytest.param({"base__kustomization": f"{BASE}images: [nginx, {{newTag: x}}]\n"}, id="odd"),
        pytest.param({"base__kustomization": "resources: [\n"}, id="broken"),
        pytest.param({"base__kustomization": f"patches: ['{'x' * 300}']\n{BY_NAME}"}, id="long"),
    ],
)
def test_image_that_no_kustomization_matches_is_rewritten(
    environ: dict[str, str], tmp_path: Path, files: dict[str, str]
) -> None:
    write(tmp_path, base__app=POD, **files)

    result = run(environ, "--json", tmp_path / "base" / "app.yaml")

    assert images_of(result) == [(f"{NGINX}:1", None)]


@pytest.mark.parametrize(
    ("new_name", "code", "words"),
    [
        pytest.param(NGINX, 0, "", id="mirror"),
        pytest.param("registry.example.com/nginx", 0, "", id="registry-without-a-mirror"),
        pytest.param(
            "acme/nginx", 1, "replaces it by acme/nginx: rewrite that file", id="upstream"
        ),
    ],
)
def test_new_name_decides_whether_an_edit_is_missing(
    environ: dict[str, str], tmp_path: Path, new_name: str, code: int, words: str
) -> None:
    entry = f"images: [{{name: nginx, newName: {new_name}}}]\n"
    write(tmp_path, base__app=POD, base__kustomization=BASE + entry)

    result = run(environ, "--check", tmp_path / "base" / "app.yaml")

    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert bool(result.stderr) == bool(words)


def test_new_name_of_a_kustomization_is_rewritten(environ: dict[str, str], tmp_path: Path) -> None:
    entry = "images:\n- {name: nginx, newName: acme/nginx, newTag: '2'}\n"
    write(tmp_path, base__app=POD, base__kustomization=BASE + entry)
    file = tmp_path / "base" / "kustomization.yaml"

    result = run(environ, "--in-place", file)

    assert (result.exit_code, result.stderr) == (0, "")
    assert file.read_text("utf-8") == BASE + entry.replace("acme/nginx", f"{HUB}/acme/nginx")


def test_new_name_that_an_overlay_matches_is_kept(environ: dict[str, str], tmp_path: Path) -> None:
    inner = f"{BASE}images: [{{name: app, newName: nginx}}]\n"
    outer = f"resources: [../base]\n{BY_NAME}"
    write(tmp_path, base__kustomization=inner, prod__kustomization=outer)

    result = run(environ, "--check", tmp_path / "base" / "kustomization.yaml")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "matches it by name" in result.stderr


@pytest.mark.parametrize(
    "build",
    [
        pytest.param("build: {artifacts: [{image: nginx}]}\n", id="build"),
        pytest.param("profiles: [{build: {artifacts: [{image: nginx}]}}]\n", id="profile"),
    ],
)
def test_image_that_skaffold_builds_is_kept(
    environ: dict[str, str], tmp_path: Path, build: str
) -> None:
    write(tmp_path, k8s__app=POD, skaffold=f"apiVersion: skaffold/v4beta11\n{build}")

    result = run(environ, "--check", tmp_path / "k8s" / "app.yaml")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "skaffold.yaml:2 builds it" in result.stderr


def test_skaffold_of_another_folder_changes_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    skaffold = "apiVersion: skaffold/v4beta11\nbuild: {artifacts: [{image: nginx}]}\n"
    write(tmp_path, k8s__app=POD, other__skaffold=skaffold)

    result = run(environ, "--json", tmp_path / "k8s" / "app.yaml")

    assert images_of(result) == [(f"{NGINX}:1", None)]


def test_rendered_text_is_rewritten(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skaffold = "apiVersion: skaffold/v4beta11\nbuild: {artifacts: [{image: nginx}]}\n"
    write(tmp_path, app=POD, kustomization=BASE + BY_NAME, skaffold=skaffold)
    monkeypatch.chdir(tmp_path)

    result = run_command(environ, "rewrite", *WHERE, "-", text=POD)

    assert result.stdout == POD.replace("nginx", NGINX)


def test_search_that_is_too_large_is_noted(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.rewrite.name_matches._MAX_FOLDERS", 1)
    write(tmp_path, base__app=POD)

    assert "too many folders" in run(environ, tmp_path / "base" / "app.yaml").stderr
