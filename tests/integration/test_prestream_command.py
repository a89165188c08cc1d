"""The script at the root: the prestream command as a person calls it, from any folder."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
POD = "spec:\n  containers:\n  - image: nginx:1  # old\n"


def run(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own script
        [ROOT / "prestream", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "GOOGLE_CLOUD_PROJECT": "demo"},
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_command_runs_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('this is not PyYAML')", encoding="utf-8")
    (tmp_path / "cli.py").write_text(
        "raise SystemExit('this is not the command')", encoding="utf-8"
    )

    ended = run(tmp_path, "rewrite", "--location", "us", "-", text=POD)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == POD.replace(
        "nginx", "us-docker.pkg.dev/demo/dockerhub-mirror/library/nginx"
    )


def test_check_fails_with_its_exit_code(tmp_path: Path) -> None:
    ended = run(tmp_path, "rewrite", "--location", "us", "--check", "-", text=POD)

    assert ended.returncode == 1
    assert ended.stdout.startswith("--- a/standard input\n")


def test_command_is_called_prestream(tmp_path: Path) -> None:
    assert run(tmp_path, "--help").stdout.strip().startswith("Usage: prestream ")
