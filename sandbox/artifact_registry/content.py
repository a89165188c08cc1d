"""The manifests, tags and blobs in repositories."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.artifact_registry.package_name import PackageName
from sandbox.catalogue.image import Blob, Manifest


@dataclass(frozen=True, slots=True)
class Tag:
    """The manifest of a tag, and when its source was last asked for it."""

    digest: str
    checked_at: datetime


@dataclass(slots=True)
class _Package:
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)

    def copy(self) -> "_Package":
        return _Package(dict(self.manifests), dict(self.tags), dict(self.blobs))


class Contents:
    """All packages of all repositories; safe for threads."""

    def __init__(self) -> None:
        self._packages: dict[PackageName, _Package] = {}
        self._lock = threading.Lock()

    def put(self, name: PackageName, manifest: Manifest) -> None:
        """Store a manifest."""
        with self._lock:
            package = self._packages.setdefault(name, _Package())
            package.manifests[manifest.digest] = manifest

    def put_blob(self, name: PackageName, blob: Blob) -> None:
        """Store a layer or a configuration."""
        with self._lock:
            self._packages.setdefault(name, _Package()).blobs[blob.digest] = blob

    def set_tag(self, name: PackageName, tag: str, digest: str, now: datetime) -> None:
        """Set the manifest of a tag; the manifest must be stored."""
        with self._lock:
            self._packages[name].tags[tag] = Tag(digest, now)

    def tag(self, name: PackageName, tag: str) -> Tag | None:
        """Return a tag."""
        with self._lock:
            return self._packages.get(name, _Package()).tags.get(tag)

    def manifest(self, name: PackageName, digest: str) -> Manifest | None:
        """Return a manifest by its digest."""
        with self._lock:
            return self._packages.get(name, _Package()).manifests.get(digest)

    def blob(self, name: PackageName, digest: str) -> Blob | None:
        """Return a blob by its digest."""
        with self._lock:
            return self._packages.get(name, _Package()).blobs.get(digest)

    def size_bytes(self, repository_name: str) -> int:
        """Return the size of all images of a repository."""
        with self._lock:
            manifests = list(self._manifests(repository_name))
        return sum(each.image_bytes for each in manifests if each.platform is not None)

    def save(self) -> Callable[[], None]:
        """Return a function that restores the current contents."""
        with self._lock:
            saved = {name: package.copy() for name, package in self._packages.items()}

        def restore() -> None:
            with self._lock:
                self._packages = {name: package.copy() for name, package in saved.items()}

        return restore

    def clear(self, repository_name: str) -> None:
        """Delete all packages of a repository."""
        with self._lock:
            for name in [n for n in self._packages if n.repository_name == repository_name]:
                del self._packages[name]

    def _manifests(self, repository_name: str) -> Iterator[Manifest]:
        for name, package in self._packages.items():
            if name.repository_name == repository_name:
                yield from package.manifests.values()
