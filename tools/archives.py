"""
Assemble the archives that are uploaded as functions.

The framework imports from the folder of ``main.py`` only, so ``shared/`` must lie beside it. The
bytes of an archive depend on its content alone, so that an unchanged function is not deployed
again.
"""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BESIDE_MAIN = ("requirements.txt", "prestream.yaml")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


def function_names(root: Path = ROOT) -> list[str]:
    """Return the names of the functions, which are those of their folders."""
    return sorted(path.parent.name for path in root.glob("functions/*/main.py"))


def assemble(name: str, root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Yield what is in a function's archive: the path there, and the file."""
    yield "main.py", root / "functions" / name / "main.py"
    for file in BESIDE_MAIN:
        yield file, root / file
    for path in sorted((root / "shared").rglob("*.py")):
        yield path.relative_to(root).as_posix(), path


def write_archive(name: str, folder: Path, root: Path = ROOT) -> Path:
    """Write a function's archive into a folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in assemble(name, root):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = _MODE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return target


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "functions"
    for each in function_names():
        path = write_archive(each, folder)
        sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")
