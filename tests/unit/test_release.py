"""A release: its changelog, its tag, and its files."""

import subprocess
from pathlib import Path

import pytest

from tools.release import ReleaseError, date_changes, tag_release

CHANGES = "# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [0.0.1] - 2026-01-01\n\n- Old.\n"
DAY = "2026-02-01"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Changelog\n\n## [Unreleased]\n\n## [0.0.1] - 2026-01-01\n\n- Old.\n", "no unreleased"),
        ("# Changelog\n", "no unreleased"),
        (CHANGES.replace("0.0.1", "0.1.0"), "has 0.1.0 already"),
    ],
)
def test_changelog_without_new_changes_is_refused(text: str, words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        date_changes(text, "0.1.0", DAY)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "dev")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "dev@example.com")
    (tmp_path / "CHANGELOG.md").write_text(CHANGES, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "Start")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603  # git
        ["git", *arguments],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_release_is_dated_committed_and_tagged(repository: Path) -> None:
    tag_release(repository, "0.1.0", DAY)

    text = git(repository, "show", "v0.1.0:CHANGELOG.md")
    assert "## [Unreleased]\n\n## [0.1.0] - 2026-02-01\n\n- New.\n\n## [0.0.1]" in text
    assert git(repository, "status", "--porcelain") == ""


def test_release_needs_a_clean_work_tree(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text(CHANGES + "- More.\n", encoding="utf-8")

    with pytest.raises(ReleaseError, match="commit them first"):
        tag_release(repository, "0.1.0", DAY)


def test_release_is_made_once(repository: Path) -> None:
    git(repository, "tag", "v0.1.0")

    with pytest.raises(ReleaseError, match=r"v0\.1\.0 exists"):
        tag_release(repository, "0.1.0", DAY)
