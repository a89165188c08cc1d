"""
Build the archives that are uploaded as functions.

An archive holds ``main.py`` at its root, because the framework imports from that folder only, and
beside it the modules that ``main.py`` imports, directly or not. The bytes of an archive depend on
its content alone, so that an unchanged function is not deployed again.
"""

import ast
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BESIDE_MAIN = ("requirements.txt", "prestream.yaml")
_PACKAGED = "shared"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


def function_names(root: Path = ROOT) -> list[str]:
    """Return the names of the functions, which are those of their folders."""
    return sorted(path.parent.name for path in root.glob("functions/*/main.py"))


def assemble(name: str, root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Yield the content of a function's archive: the path in the archive, and the file."""
    main = root / "functions" / name / "main.py"
    yield "main.py", main
    for file in BESIDE_MAIN:
        yield file, root / file
    for path in sorted(find_import_closure(main, root)):
        yield path.relative_to(root).as_posix(), path


def write_archive(name: str, folder: Path, root: Path = ROOT) -> Path:
    """
    Write a function's archive into a folder, and return its path.

    The archive appears complete: a reader at the same time reads the old one or the new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.zip"
    unfinished = folder.parent / f"{name}.{os.getpid()}"
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, file in assemble(name, root):
            entry = zipfile.ZipInfo(path, _EPOCH)
            entry.external_attr = _MODE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return unfinished.replace(target)


def find_import_closure(main: Path, root: Path = ROOT) -> set[Path]:
    """
    Return the files below ``shared`` that a source file imports, directly or not.

    Imports inside functions count, because they run later. Imports for type checking never run.
    """
    found: set[Path] = set()
    unread = [main]
    while unread:
        tree = ast.parse(unread.pop().read_bytes())
        imported = {file for module in imported_names(tree) for file in _files_of(module, root)}
        unread.extend(imported - found)
        found |= imported
    return found


def imported_names(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a tree imports; some are attributes of a module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and _is_for_type_checking(child.test):
            for statement in child.orelse:
                yield from imported_names(ast.Module([statement], []))
        else:
            yield from imported_names(child)


def _is_for_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in {getattr(test, "id", None), getattr(test, "attr", None)}


def _files_of(name: str, root: Path) -> Iterator[Path]:
    """Yield the files that an import of a dotted name runs: packages, then the module."""
    parts = name.split(".")
    if parts[0] != _PACKAGED:
        return
    for end in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:end])
        yield from (
            file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()
        )


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "functions"
    for each in function_names():
        path = write_archive(each, folder)
        sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")
