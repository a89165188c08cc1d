"""The registries upstream of Artifact Registry, and how each of them behaves."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.catalogue.image import Blob, Image, Manifest

_ALIASES = {"index.docker.io": "docker.io", "registry-1.docker.io": "docker.io"}
_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_LIMIT_TEXTS = {
    "docker.io": (
        "You have reached your unauthenticated pull rate limit. "
        "https://www.docker.com/increase-rate-limit"
    )
}


def canonical_registry(host: str) -> str:
    """
    Return the name by which a registry's images are known.

    >>> canonical_registry("registry-1.docker.io")
    'docker.io'
    """
    return _ALIASES.get(host, host)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a remote repository logs in upstream."""

    username: str
    secret_version: str
    """``projects/P/secrets/S/versions/V``, which holds the password."""


class UpstreamError(Exception):
    """An upstream's refusal or failure; ``status`` is its HTTP status."""

    def __init__(
        self, status: int, url: str, message: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.url = url
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass(slots=True)
class _Behaviour:
    """How a registry treats its clients."""

    required: Credentials | None = None
    remaining: int | None = None
    """Manifests that clients may still fetch; None without a limit."""
    retry_after_s: int = 0


@dataclass(slots=True)
class _Repository:
    tags: dict[str, str] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    """By the digest that a tag resolves to; an image outlives the tag that moved on."""

    def copy(self) -> "_Repository":
        return _Repository(dict(self.tags), dict(self.images))


class Catalogue:
    """
    All upstream images, and the behaviour of their registries.

    Names are full ones, ``docker.io/library/busybox``. ``fetch`` and ``fetch_blob`` act as
    a client of the registry; the other methods set images and behaviour.
    """

    def __init__(self) -> None:
        self._repositories: dict[str, _Repository] = {}
        self._behaviours: dict[str, _Behaviour] = {}
        self._lock = threading.Lock()

    def add(self, reference_name: str, tag: str, image: Image) -> str:
        """Publish an image under a name and a tag, and return its digest."""
        with self._lock:
            repository = self._repositories.setdefault(reference_name, _Repository())
            repository.images[image.digest] = image
            repository.tags[tag] = image.digest
            self._behaviours.setdefault(reference_name.partition("/")[0], _Behaviour())
        return image.digest

    def move_tag(self, reference_name: str, tag: str, image: Image) -> str:
        """Move a tag to another image; the former image keeps its digest."""
        return self.add(reference_name, tag, image)

    def save(self) -> Callable[[], None]:
        """Return a function that restores the current images and tags; behaviour stays."""
        with self._lock:
            saved = {name: each.copy() for name, each in self._repositories.items()}

        def restore() -> None:
            with self._lock:
                self._repositories = {name: each.copy() for name, each in saved.items()}

        return restore

    def require_credentials(self, registry: str, username: str, secret_version: str) -> None:
        """Refuse clients with other credentials; clients with these have no limit."""
        self._behaviour(registry).required = Credentials(username, secret_version)

    def limit(self, registry: str, after: int, retry_after_s: int = 600) -> None:
        """Answer 429 once ``after`` more manifests were fetched."""
        behaviour = self._behaviour(registry)
        behaviour.remaining, behaviour.retry_after_s = after, retry_after_s

    def restore(self, registry: str) -> None:
        """Add a registry without images, or reset the behaviour of a registry."""
        with self._lock:
            self._behaviours[registry] = _Behaviour()

    def login(self, registry: str, credentials: Credentials | None) -> None:
        """
        Reach a registry, and log in if credentials are given.

        Raises:
            UpstreamError: The registry is unknown, or refuses the credentials.
        """
        behaviour = self._reach(registry, url := f"https://{_host(registry)}/v2/")
        if credentials and behaviour.required and credentials != behaviour.required:
            raise UpstreamError(401, url, "incorrect username or password")

    def fetch(
        self,
        registry: str,
        repository: str,
        reference: str,
        credentials: Credentials | None = None,
    ) -> Manifest:
        """
        Fetch a manifest by tag or digest, as a client of that registry.

        Raises:
            UpstreamError: The registry has no such manifest, or does not give it.
        """
        url = f"https://{_host(registry)}/v2/{repository}/manifests/{reference}"
        self._admit(registry, credentials, url, counted=True)
        with self._lock:
            found = self._repositories.get(f"{registry}/{repository}", _Repository())
            digest = found.tags.get(reference, reference)
            for image in found.images.values():
                for manifest in image.manifests:
                    if manifest.digest == digest:
                        return manifest
        raise UpstreamError(404, url, "manifest unknown")

    def fetch_blob(
        self, registry: str, repository: str, digest: str, credentials: Credentials | None = None
    ) -> Blob:
        """
        Fetch a layer or a configuration, as a client of that registry; it counts for no limit.

        Raises:
            UpstreamError: The registry has no such blob, or does not give it.
        """
        url = f"https://{_host(registry)}/v2/{repository}/blobs/{digest}"
        self._admit(registry, credentials, url, counted=False)
        with self._lock:
            found = self._repositories.get(f"{registry}/{repository}", _Repository())
            for image in found.images.values():
                if digest in image.blobs:
                    return image.blobs[digest]
        raise UpstreamError(404, url, "blob unknown to registry")

    def _behaviour(self, registry: str) -> _Behaviour:
        with self._lock:
            return self._behaviours.setdefault(registry, _Behaviour())

    def _reach(self, registry: str, url: str) -> _Behaviour:
        with self._lock:
            behaviour = self._behaviours.get(registry)
        if behaviour is None:
            raise UpstreamError(502, url, f"no such host: {registry}")
        return behaviour

    def _admit(
        self, registry: str, credentials: Credentials | None, url: str, *, counted: bool
    ) -> None:
        behaviour = self._reach(registry, url)
        if behaviour.required is not None:
            if credentials != behaviour.required:
                raise UpstreamError(401, url, "authentication required")
            return
        with self._lock:
            if not counted or behaviour.remaining is None:
                return
            if behaviour.remaining > 0:
                behaviour.remaining -= 1
                return
        text = _LIMIT_TEXTS.get(registry, "too many requests")
        raise UpstreamError(429, url, text, behaviour.retry_after_s)


def _host(registry: str) -> str:
    return _API_HOSTS.get(registry, registry)
