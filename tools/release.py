"""
Make a release: ``make release``, after the archives and the SBOM.

It dates the section of the version in CHANGELOG.md, commits and tags it, and gathers the files of
the release in ``build/release``. It publishes nothing.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cli.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
UNRELEASED = "## [Unreleased]\n"


class ReleaseError(Exception):
    """The release cannot be made."""


def date_changes(text: str, version: str, day: str) -> str:
    r"""
    Return the changelog with the unreleased changes as those of a version.

    Raises:
        ReleaseError: There are no changes, or the version is there already.

    >>> date_changes("## [Unreleased]\n\n- New.\n", "1.0.0", "2026-01-31")
    '## [Unreleased]\n\n## [1.0.0] - 2026-01-31\n\n- New.\n'
    """
    if f"## [{version}]" in text:
        raise ReleaseError(f"CHANGELOG.md has {version} already: raise VERSION in cli/version.py")
    before, heading, after = text.partition(UNRELEASED)
    changes = re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    if not heading or not changes.strip():
        raise ReleaseError("CHANGELOG.md has no unreleased changes")
    return f"{before}{UNRELEASED}\n## [{version}] - {day}\n{after}"


def tag_release(root: Path, version: str, day: str) -> None:
    """
    Date the changes, commit them, and tag the commit.

    Raises:
        ReleaseError: The work tree has changes, the tag exists, or there is nothing to release.
    """
    if _git(root, "status", "--porcelain"):
        raise ReleaseError("the work tree has changes: commit them first")
    if _git(root, "tag", "--list", f"v{version}"):
        raise ReleaseError(f"the tag v{version} exists: raise VERSION in cli/version.py")
    path = root / "CHANGELOG.md"
    path.write_text(date_changes(path.read_text("utf-8"), version, day), encoding="utf-8")
    _git(root, "commit", "--quiet", "--message", f"Release {version}", "CHANGELOG.md")
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")


def gather_files(root: Path, folder: Path) -> list[Path]:
    """Build the wheel, and put it beside the archives and the SBOM, with their checksums."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in [*sorted((root / "build" / "functions").glob("*.zip")), root / "build/sbom.json"]:
        shutil.copy2(path, folder)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)  # noqa: S603  # our build
    files = sorted(folder.iterdir())
    sums = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in files]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return files


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(  # noqa: S603  # git
        command, cwd=root, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def main() -> int:
    """Make the release, and return the exit status."""
    try:
        tag_release(ROOT, VERSION, datetime.now(UTC).date().isoformat())
    except ReleaseError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 1
    for path in gather_files(ROOT, ROOT / "build" / "release"):
        sys.stdout.write(f"{path.relative_to(ROOT)} {path.stat().st_size} bytes\n")
    sys.stdout.write(f"tagged v{VERSION}; to publish it: git push --follow-tags\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
