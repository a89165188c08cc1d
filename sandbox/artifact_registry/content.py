"""The manifests, tags and blobs in repositories."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from sandbox.artifact_registry.package_name import PackageName
from sandbox.catalogue.image import Blob, Manifest


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest in a package."""

    manifest: Manifest
    stored_at: datetime
    tags: tuple[str, ...] = ()
    """Filled in where packages are listed."""


@dataclass(frozen=True, slots=True)
class Tag:
    """The manifest of a tag, and when its source was last asked for it."""

    name: str
    digest: str
    checked_at: datetime


@dataclass(slots=True)
class _Package:
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)

    def copy(self) -> "_Package":
        return _Package(dict(self.manifests), dict(self.tags), dict(self.blobs))


class Contents:
    """All packages of all repositories; safe for threads."""

    def __init__(self) -> None:
        self._packages: dict[PackageName, _Package] = {}
        self._lock = threading.Lock()

    def put(self, name: PackageName, manifest: Manifest, now: datetime) -> None:
        """Store a manifest."""
        with self._lock:
            package = self._packages.setdefault(name, _Package())
            package.manifests.setdefault(manifest.digest, StoredManifest(manifest, now))

    def put_blob(self, name: PackageName, blob: Blob) -> None:
        """Store a layer or a configuration."""
        with self._lock:
            self._packages.setdefault(name, _Package()).blobs[blob.digest] = blob

    def point(self, name: PackageName, tag: str, digest: str, now: datetime) -> None:
        """Set the manifest of a tag; the manifest must be stored."""
        with self._lock:
            self._packages[name].tags[tag] = Tag(tag, digest, now)

    def tag(self, name: PackageName, tag: str) -> Tag | None:
        """Return where a tag points."""
        with self._lock:
            return self._packages.get(name, _Package()).tags.get(tag)

    def manifest(self, name: PackageName, digest: str) -> Manifest | None:
        """Return a manifest by its digest."""
        with self._lock:
            stored = self._packages.get(name, _Package()).manifests.get(digest)
        return None if stored is None else stored.manifest

    def blob(self, name: PackageName, digest: str) -> Blob | None:
        """Return a blob by its digest."""
        with self._lock:
            return self._packages.get(name, _Package()).blobs.get(digest)

    def packages(self, repository_name: str) -> list[PackageName]:
        """List the packages of a repository, in order."""
        with self._lock:
            names = [n for n in self._packages if n.repository_name == repository_name]
        return sorted(names, key=lambda name: name.package)

    def tags(self, name: PackageName) -> list[Tag]:
        """List the tags of a package, in order."""
        with self._lock:
            return sorted(self._packages.get(name, _Package()).tags.values(), key=lambda t: t.name)

    def manifests(self, name: PackageName) -> Iterator[StoredManifest]:
        """List the manifests of a package, with the tags that point at them."""
        tags = self.tags(name)
        with self._lock:
            stored = list(self._packages.get(name, _Package()).manifests.values())
        for item in stored:
            pointing = tuple(tag.name for tag in tags if tag.digest == item.manifest.digest)
            yield replace(item, tags=pointing)

    def size_bytes(self, repository_name: str) -> int:
        """Return what a repository's images weigh together."""
        return sum(
            stored.manifest.image_bytes
            for name in self.packages(repository_name)
            for stored in self.manifests(name)
            if stored.manifest.platform is not None
        )

    def save(self) -> Callable[[], None]:
        """Return what puts everything back as it is now."""
        with self._lock:
            saved = {name: package.copy() for name, package in self._packages.items()}

        def restore() -> None:
            with self._lock:
                self._packages = {name: package.copy() for name, package in saved.items()}

        return restore

    def clear(self, repository_name: str) -> None:
        """Forget everything in a repository."""
        with self._lock:
            for name in [n for n in self._packages if n.repository_name == repository_name]:
                del self._packages[name]
