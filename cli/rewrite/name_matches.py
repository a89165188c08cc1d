"""
Tools that replace images by their names: a changed name in a manifest would not match any more.

Kustomize replaces images with ``images[].name`` of a kustomization that includes the file, directly
or through other kustomizations; Skaffold replaces those that it builds.
"""

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from cli.input.yaml_documents import Document, DocumentError, read_documents
from shared.domain.json_access import field_at, list_of, mapping_of, text_of

KUSTOMIZATIONS: Final = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_SKAFFOLD: Final = "skaffold"
_MAX_FOLDERS: Final = 10_000
_NOT_SEARCHED: Final = frozenset({"node_modules"})
_LISTS: Final = ("resources", "bases", "components", "patches", "patchesStrategicMerge")


@dataclass(frozen=True, slots=True)
class NameMatch:
    """A place outside a file that matches an image of the file by its name."""

    tool: Literal["kustomize", "skaffold"]
    file: Path
    line: int
    name: str
    new_name: str | None = None
    """The name that replaces it, if the place has one."""

    def __str__(self) -> str:
        return f"{_shorten(self.file)}:{self.line}"

    @property
    def folder(self) -> str:
        """The folder of the file, for a command."""
        return shlex.quote(_shorten(self.file.parent))


@dataclass(frozen=True, slots=True)
class _Kustomization:
    """A kustomization: its entries, and the files that it includes."""

    entries: tuple[NameMatch, ...] = ()
    included: tuple[Path, ...] = ()
    components: tuple[Path, ...] = ()


@dataclass(slots=True)
class NameIndex:
    """
    The names that Kustomize and Skaffold match, by file.

    The repository of a file is searched once, otherwise the current folder or that of the file.
    """

    is_complete: bool = True
    """False if a repository has more folders than are searched."""
    _roots: set[Path] = field(default_factory=set)
    _kustomizations: dict[Path, _Kustomization] = field(default_factory=dict)
    _by_file: dict[Path, list[NameMatch]] = field(default_factory=dict)
    _built: list[NameMatch] = field(default_factory=list)

    def find(self, file: Path, image: str) -> tuple[NameMatch, ...]:
        """Return the places that match an image of a file by its name."""
        file = file.resolve()
        self._search(_root_of(file))
        entries = self._by_file.get(file, [])
        built = [each for each in self._built if each.file.parent in file.parents]
        return tuple(each for each in (*entries, *built) if _is_named(image, each.name))

    def _search(self, root: Path) -> None:
        if root in self._roots:
            return
        self._roots.add(root)
        for path in self._list_files(root):
            if path.name in KUSTOMIZATIONS:
                self._kustomizations.setdefault(path, _read_kustomization(path))
            else:
                self._built.extend(_read_artifacts(path))
        self._by_file.clear()
        for path in self._kustomizations:
            entries = [*self._entries_of(path)]
            for included in self._files_of(path) if entries else ():
                self._by_file.setdefault(included, []).extend(entries)

    def _list_files(self, root: Path) -> Iterator[Path]:
        for count, (folder, folders, names) in enumerate(os.walk(root)):
            if count >= _MAX_FOLDERS:
                self.is_complete = False
                return
            folders[:] = sorted(
                each for each in folders if not each.startswith(".") and each not in _NOT_SEARCHED
            )
            for name in names:
                if name in KUSTOMIZATIONS or name.startswith(_SKAFFOLD):
                    yield Path(folder, name).resolve()

    def _entries_of(self, path: Path, seen: frozenset[Path] = frozenset()) -> Iterator[NameMatch]:
        """Yield the entries of a kustomization, and of its components, which share its files."""
        found = self._kustomizations.get(path)
        if found is None or path in seen:
            return
        yield from found.entries
        for component in found.components:
            yield from self._entries_of(component, seen | {path})

    def _files_of(self, path: Path) -> set[Path]:
        """Return the files that a kustomization includes."""
        files: set[Path] = set()
        pending = [path]
        while pending:
            found = self._kustomizations.get(pending.pop(), _Kustomization())
            pending.extend(each for each in found.included if each not in files)
            files.update(found.included)
        return files


def _shorten(path: Path) -> str:
    """Return a path from the current folder, if it is in there."""
    current = Path.cwd()
    return str(path.relative_to(current)) if path.is_relative_to(current) else str(path)


def _root_of(file: Path) -> Path:
    """Return the folder to search for kustomizations that include a file."""
    for folder in file.parents:
        if (folder / ".git").exists():
            return folder
    current = Path.cwd()
    return current if current in file.parents else file.parent


def _is_named(image: str, name: str) -> bool:
    """
    Whether Kustomize finds an image by a name: exactly, apart from the tag and the digest.

    >>> _is_named("nginx:1", "nginx"), _is_named("nginx:1", "library/nginx")
    (True, False)
    """
    return image == name or image.startswith((f"{name}:", f"{name}@"))


def _read_kustomization(path: Path) -> _Kustomization:
    for document in _read(path):
        body = mapping_of(document.body)
        return _Kustomization(
            tuple(_read_entries(path, document, body)),
            tuple(_read_references(path, body, _LISTS)),
            tuple(_read_references(path, body, ("components",))),
        )
    return _Kustomization()


def _read_entries(path: Path, document: Document, body: Mapping[str, Any]) -> Iterator[NameMatch]:
    for index, entry in enumerate(list_of(body.get("images"))):
        name = text_of(mapping_of(entry).get("name"))
        if name:
            line = document.find(("images", index, "name")).line
            new_name = text_of(mapping_of(entry).get("newName"))
            yield NameMatch("kustomize", path, line, name, new_name)


def _read_references(
    path: Path, body: Mapping[str, Any], fields: tuple[str, ...]
) -> Iterator[Path]:
    """Yield the local files to which a kustomization refers; for a folder, its kustomization."""
    for name in fields:
        for item in list_of(body.get(name)):
            # An inline patch is a text of several lines.
            text = text_of(mapping_of(item).get("path")) or text_of(item) or ""
            if not text or "\n" in text or "://" in text:
                continue
            target = path.parent / text
            yield from _find_files(target, *(target / each for each in sorted(KUSTOMIZATIONS)))


def _find_files(*paths: Path) -> Iterator[Path]:
    for path in paths:
        # A text that is not a path, such as an inline patch, may be too long for one.
        with contextlib.suppress(OSError):
            if path.is_file():
                yield path.resolve()


def _read_artifacts(path: Path) -> Iterator[NameMatch]:
    """Yield the images that Skaffold builds, in any profile."""
    for document in _read(path):
        body = mapping_of(document.body)
        if not (text_of(body.get("apiVersion")) or "").startswith(f"{_SKAFFOLD}/"):
            continue
        builds: list[tuple[tuple[str | int, ...], Any]] = [(("build",), body.get("build"))]
        for index, profile in enumerate(list_of(body.get("profiles"))):
            builds.append((("profiles", index, "build"), mapping_of(profile).get("build")))
        for at, build in builds:
            for index, artifact in enumerate(list_of(mapping_of(build).get("artifacts"))):
                name = text_of(field_at(artifact, ("image",)))
                if name:
                    line = document.find((*at, "artifacts", index, "image")).line
                    yield NameMatch("skaffold", path, line, name)


def _read(path: Path) -> list[Document]:
    """Return the documents of a file; none if it cannot be read, which its own tool reports."""
    try:
        return read_documents(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, DocumentError):
        return []
