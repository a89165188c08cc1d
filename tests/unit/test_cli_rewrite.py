"""The command ``prestream rewrite``: files, options, and exit codes."""

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from typer.testing import Result

from tests.contract.rewriting_cases import HUB
from tests.fakes.command_line import run_command

WHERE = ("--project", "demo", "--location", "us-central1")


def run(
    environ: Mapping[str, str], *arguments: str | Path, text: str | bytes | None = None
) -> Result:
    return run_command(environ, "rewrite", *arguments, text=text)


POD = "kind: Pod\nspec:\n  containers:\n  - image: nginx:1 # old\n"
MIRRORED_POD = POD.replace("nginx:1", f"{HUB}/library/nginx:1")


def test_file_is_printed_with_the_mirrors(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(POD, encoding="utf-8")

    result = run(environ, *WHERE, file)

    assert (result.exit_code, result.stdout, result.stderr) == (0, MIRRORED_POD, "")
    assert file.read_text(encoding="utf-8") == POD


def test_standard_input_is_read(environ: dict[str, str]) -> None:
    result = run(environ, *WHERE, "-", text=POD)

    assert (result.exit_code, result.stdout) == (0, MIRRORED_POD)


def test_several_files_become_one_stream(environ: dict[str, str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.yaml", "b.json", "c.yaml")]
    for file, text in zip(files, [POD, '{"kind": "Pod"}', POD], strict=True):
        file.write_text(text, encoding="utf-8")

    result = run(environ, *WHERE, *files)

    assert result.stdout == f'{MIRRORED_POD}---\n{{"kind": "Pod"}}\n---\n{MIRRORED_POD}'


def test_check_prints_the_difference_and_fails(environ: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(POD, encoding="utf-8")

    result = run(environ, *WHERE, "--check", file)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == [f"--- a/{file}", f"+++ b/{file}"]
    assert "-  - image: nginx:1 # old" in result.stdout
    assert f"+  - image: {HUB}/library/nginx:1 # old" in result.stdout
    assert file.read_text(encoding="utf-8") == POD


def test_check_of_a_mirrored_file_passes(environ: dict[str, str]) -> None:
    result = run(environ, *WHERE, "--check", "-", text=MIRRORED_POD)

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

    result = run(environ, *WHERE, "--in-place", changed, unchanged)

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

    result = run(environ, *WHERE, "--in-place", good, bad)

    assert result.exit_code == 3
    assert re.search(rf"{bad}:\d: neither YAML nor JSON", result.stderr)
    assert good.read_text(encoding="utf-8") == POD


def test_file_that_cannot_be_written_stays_as_it_was(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "app.yaml"
    file.write_text(POD, encoding="utf-8")
    (tmp_path / ".app.yaml.prestream").mkdir()

    result = run(environ, *WHERE, "--in-place", file)

    assert result.exit_code == 3
    assert result.stderr == f"error: {file}: Is a directory\n"
    assert file.read_text(encoding="utf-8") == POD


def test_json_lists_images_and_why_they_were_left(environ: dict[str, str]) -> None:
    text = POD + "  - {image: us-docker.pkg.dev/a/b/c}\n  - {image: 'a:'}\n"

    result = run(environ, *WHERE, "--json", "-", text=text)

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


def test_check_with_a_report_fails_as_well(environ: dict[str, str]) -> None:
    result = run(environ, *WHERE, "--check", "--json", "-", text=POD)

    assert result.exit_code == 1
    assert json.loads(result.stdout)["files"][0]["changed"] is True


def test_invalid_image_is_reported_with_file_line_and_value(environ: dict[str, str]) -> None:
    result = run(environ, *WHERE, "-", text="containers:\n- image: 'nginx:'\n")

    assert result.exit_code == 0
    assert result.stderr.startswith("standard input:2: left 'nginx:': invalid tag")


def test_pods_with_pull_secrets_are_skipped_by_default(
    environ: dict[str, str],
) -> None:
    text = "spec:\n  imagePullSecrets: [{name: hub}]\n  containers: [{image: nginx}]\n"

    skipped = run(environ, *WHERE, "-", text=text)
    ignored = run(environ, *WHERE, "--pull-secrets", "ignore", "-", text=text)

    assert skipped.stdout == text
    assert "left 'nginx': the pod has imagePullSecrets" in skipped.stderr
    assert ignored.stdout == text.replace("nginx", f"{HUB}/library/nginx")


def test_project_and_location_come_from_the_file(environ: dict[str, str]) -> None:
    config = Path(environ["PRESTREAM_CONFIG"])
    config.write_text("project: team\nlocation: europe\n", encoding="utf-8")

    result = run(environ, "-", text=POD)

    assert "image: europe-docker.pkg.dev/team/dockerhub-mirror/library/nginx:1" in result.stdout


def test_options_go_before_the_file(environ: dict[str, str]) -> None:
    config = Path(environ["PRESTREAM_CONFIG"])
    config.write_text("project: team\nlocation: europe\n", encoding="utf-8")

    result = run(environ, *WHERE, "-", text=POD)

    assert result.stdout == MIRRORED_POD


def test_only_the_upstreams_and_paths_of_the_file_are_rewritten(environ: dict[str, str]) -> None:
    upstreams = "upstreams:\n  docker.io: {repository: hub, paths: [acme/*]}\n"
    Path(environ["PRESTREAM_CONFIG"]).write_text(upstreams, encoding="utf-8")
    text = "containers: [{image: acme/app}, {image: nginx}, {image: ghcr.io/a/b}]\n"

    result = run(environ, *WHERE, "-", text=text)

    assert result.stdout == text.replace("acme/app", "us-central1-docker.pkg.dev/demo/hub/acme/app")


def test_project_must_be_known(environ: dict[str, str]) -> None:
    del environ["GOOGLE_CLOUD_PROJECT"]

    result = run(environ, "-", text=POD)

    assert result.exit_code == 4
    assert "GOOGLE_CLOUD_PROJECT" in result.stderr
