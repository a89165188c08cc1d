"""Find the mirror that an image is pulled through, make it if it is missing, and ask it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.domain.action import CreateMirror, UpdateMirror
from shared.domain.cluster import mirror_location
from shared.domain.image_reference import DOCKER_HUB, Digest, ImageReference
from shared.domain.manifest import (
    DamagedManifestError,
    InvalidManifestError,
    Manifest,
    RegistryRefusalError,
)
from shared.domain.mirror import (
    RemoteRepository,
    RepositoryName,
    UpstreamCredentials,
    UpstreamRefusedError,
    compare_repository,
    is_google_registry,
    make_repository_id,
    serves_images,
)
from shared.domain.mirror_reference import rewrite_reference, trace_upstream
from shared.domain.upstream import DEFAULT_PAUSE, Upstream
from shared.errors import ConfigurationError, ImageError, TransientError
from shared.pipeline.execute import Executor
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import Registry, Repositories

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429
_MAX_PLATFORMS = 8
_MAX_HOST = 253
"""Characters that a host's name may have."""

_OUR_PERMISSION = "artifactregistry."
_OUR_QUOTA = ("quota metric", "artifactregistry.googleapis.com")


class MissingMirrorError(Exception):
    """A dry run came to a mirror that would have to be made first."""

    def __init__(self, repository: RemoteRepository) -> None:
        super().__init__(str(repository.name))
        self.repository = repository


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image comes from, and what nodes pull in its stead."""

    image: ImageReference
    """The upstream's reference, or the image's own where it lies at Google."""
    mirror: ImageReference
    """The reference that nodes pull."""
    repository: RemoteRepository | None = None
    """The mirror's repository; None for an image that needs none."""


class Mirrors:
    """The mirrors of one deployment."""

    def __init__(
        self,
        settings: Settings,
        *,
        registry: "Registry",
        repositories: "Callable[[], Repositories]",
        execute: Executor,
    ) -> None:
        self._settings = settings
        self._execute = execute
        self._registry = registry
        self._repositories = repositories
        self._checked: set[RepositoryName] = set()
        self._hosts = settings.mirror_hosts

    def locate(self, reference: ImageReference, cluster_location: str) -> Source:
        """
        Find the mirror of an image for a cluster.

        A reference into one of our mirrors is traced back to its upstream, so that both names of
        one image mean the same.

        Raises:
            ImageError: The registry, or the path in it, is not on the list (``not_allowed``); or
                there is no such registry (``pull_failed``).
        """
        image = trace_upstream(reference, self._settings.project, self._hosts) or reference
        if is_google_registry(image.registry):
            if not serves_images(image.registry):
                raise _no_registry(image)
            return Source(image, image)
        host = image.registry.lower()
        upstream = self._settings.upstreams.get(host)
        if upstream is None:
            raise ImageError(
                "not_allowed",
                f"registry {image.registry!r} is not on the list of upstreams",
                hint=f"Add {host} to `upstreams` in prestream.yaml if its images may be mirrored.",
            )
        if not upstream.covers(image.repository):
            raise ImageError(
                "not_allowed",
                f"path {image.repository!r} of {host} is not on the list",
                hint=f"Add a pattern for it to `upstreams.{host}.paths` in prestream.yaml.",
            )
        repository = self._describe(host, upstream, cluster_location)
        return Source(image, rewrite_reference(image, repository.name), repository)

    def resolve(self, source: Source) -> Manifest:
        """
        Ask the mirror for an image's manifest; make or mend the mirror if that is what it lacks.

        Raises:
            ImageError: The image is at fault, or its mirror, or its upstream.
            MissingMirrorError: The mirror is missing, and this is a dry run.
            TransientError: A service is unavailable, or the mirror is still being made.
            ConfigurationError: Our own identity is refused.
        """
        repository = source.repository
        if repository is None:
            return self._fetch_known(source)
        # The registry does not miss credentials that came into the configuration later.
        was_changed = repository.credentials is not None and self._ensure_once(repository)
        try:
            return self._fetch(source.mirror)
        except RegistryRefusalError as refusal:
            if not _may_lack_repository(refusal):
                self.confirm(source)
                raise _judge(source, refusal) from refusal
        # Another delivery may have made the mirror meanwhile: the refusal is out of date then.
        was_changed |= self._ensure(repository)
        return self._fetch_again(source, repository, was_changed=was_changed)

    def confirm(self, source: Source) -> None:
        """
        Make sure that what answers for a mirror is one; asked once in an instance's life.

        A repository of that name that pulls from elsewhere answers as well, with another image.
        So nothing is made of an answer before, but what is known costs no look.

        Raises:
            ImageError: It is another repository (``misconfigured``).
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if source.repository is not None:
            self._ensure_once(source.repository)

    def fetch_platform(self, source: Source, index: Manifest, platform: str) -> Manifest:
        """
        Fetch the manifest of a platform out of an index; a single manifest is its own.

        Raises:
            ImageError: The index has none for the platform, or the registry refuses it.
            TransientError: The registry is unavailable.
        """
        if not index.is_index:
            return index
        digest = index.digest_for(platform)
        if digest is None:
            raise ImageError(
                "pull_failed",
                f"the image has no manifest for {platform}; it has {_list_platforms(index)}",
                hint=f"Build the image for {platform}, or run it on nodes of another platform.",
            )
        manifest = self._fetch_known(source, digest)
        if manifest.is_index:
            raise ImageError(
                "pull_failed",
                f"the image's manifest for {platform} is an index again",
                hint="Push the image again with one index over its manifests.",
            )
        return manifest

    def _describe(self, host: str, upstream: Upstream, cluster_location: str) -> RemoteRepository:
        credentials = None
        if upstream.username and upstream.password_secret_version:
            credentials = UpstreamCredentials(upstream.username, upstream.password_secret_version)
        return RemoteRepository(
            name=RepositoryName(
                self._settings.project,
                mirror_location(self._settings.location, cluster_location),
                upstream.repository or make_repository_id(host),
            ),
            upstream=host,
            uri=upstream.uri or (None if host == DOCKER_HUB else f"https://{host}"),
            credentials=credentials,
            cleanup_days=self._settings.cleanup_days,
        )

    def _fetch(self, reference: ImageReference) -> Manifest:
        try:
            return self._registry.fetch_manifest(reference)
        except DamagedManifestError as exc:
            raise TransientError(f"the manifest of {reference} came damaged: {exc}") from exc
        except InvalidManifestError as exc:
            raise ImageError(
                "pull_failed",
                f"the registry's answer for {reference} cannot be used: {exc}",
                hint="Push the image again with a current tool: nodes pull and stream only OCI and"
                " Docker schema 2 manifests.",
            ) from exc

    def _fetch_known(self, source: Source, digest: Digest | None = None) -> Manifest:
        """Ask for an image whose repository is there, or is not ours to make."""
        try:
            return self._fetch(source.mirror.at(digest) if digest else source.mirror)
        except RegistryRefusalError as refusal:
            raise _judge(source, refusal) from refusal

    def _fetch_again(
        self, source: Source, repository: RemoteRepository, *, was_changed: bool
    ) -> Manifest:
        """Ask a mirror that is there; one that was just made may need a moment to be known."""
        try:
            return self._fetch(source.mirror)
        except RegistryRefusalError as refusal:
            unknown = f'"{repository.name.repository_id}" not found' in refusal.message
            if unknown or (was_changed and _may_lack_repository(refusal)):
                raise TransientError(
                    f"mirror {repository.name} was just made and does not answer yet: {refusal}"
                ) from refusal
            raise _judge(source, refusal) from refusal

    def _ensure_once(self, repository: RemoteRepository) -> bool:
        """Do as ``_ensure`` does, but look at each mirror only once in an instance's life."""
        if repository.name in self._checked:
            return False
        is_changed = self._ensure(repository)
        self._checked.add(repository.name)
        return is_changed

    def _ensure(self, repository: RemoteRepository) -> bool:
        """Make a mirror, or give it its credentials; return whether anything was changed."""
        repositories = self._repositories()
        state = repositories.fetch_repository(repository.name)
        if state is None:
            self._create(repositories, repository)
            return True
        comparison = compare_repository(repository, state)
        if comparison == "another repository":
            raise _another(repository)
        if comparison == "same" or not state.is_ours:
            return False
        try:
            return self._execute.change_mirror(repositories, UpdateMirror(repository))
        except UpstreamRefusedError as exc:
            raise _refused(repository, exc) from exc

    def _create(self, repositories: "Repositories", repository: RemoteRepository) -> None:
        try:
            is_created = self._execute.change_mirror(repositories, CreateMirror(repository))
        except UpstreamRefusedError as exc:
            raise _refused(repository, exc) from exc
        if not is_created:
            raise MissingMirrorError(repository)
        state = repositories.fetch_repository(repository.name)
        if state is None:
            raise TransientError(f"mirror {repository.name} is being made")
        if compare_repository(repository, state) == "another repository":
            raise _another(repository)


def _no_registry(image: ImageReference) -> ImageError:
    return ImageError(
        "pull_failed",
        f"Google has no registry {image.registry[:_MAX_HOST]!r}",
        hint="Check the name: images lie at LOCATION-docker.pkg.dev or at gcr.io.",
    )


def _list_platforms(index: Manifest) -> str:
    """Name the platforms of an index, as many as a person reads."""
    names = [entry.platform for entry in index.platforms if entry.platform]
    more = len(names) - _MAX_PLATFORMS
    shown = ", ".join(names[:_MAX_PLATFORMS]) or "none that is named"
    return f"{shown} and {more} more" if more > 0 else shown


def _may_lack_repository(refusal: RegistryRefusalError) -> bool:
    """Whether a refusal may mean that there is no such repository; 403 hides what is absent."""
    if refusal.by_upstream:
        return False
    if refusal.status == _FORBIDDEN:
        return True
    return refusal.status == _NOT_FOUND and refusal.code == "NAME_UNKNOWN"


def _judge(source: Source, refusal: RegistryRefusalError) -> Exception:
    """Tell by whose fault a registry refuses an image whose repository is there."""
    image = source.image
    if refusal.status == _TOO_MANY:
        return _limited(source, refusal)
    if refusal.status == _NOT_FOUND:
        return ImageError(
            "pull_failed",
            f"there is no image {image}: {refusal}",
            hint="Check the name and the tag; if the image is private upstream, give its upstream"
            " credentials in prestream.yaml.",
        )
    if _is_ours(source, refusal):
        return ConfigurationError(
            f"the function's identity may not read {source.mirror.name}: {refusal}; grant it"
            " roles/artifactregistry.reader there"
        )
    hint = (
        f"Grant roles/artifactregistry.reader on {image.name} to the nodes' and to Prestream's"
        " service accounts, if it exists."
        if source.repository is None
        else f"Check the name; if the image is private, give credentials for {image.registry} in"
        " prestream.yaml."
    )
    return ImageError("pull_failed", f"image {image} is refused: {refusal}", hint=hint)


def _is_ours(source: Source, refusal: RegistryRefusalError) -> bool:
    """Whether it is our own identity that is refused, at a repository that is ours to read."""
    if refusal.by_upstream:
        return False
    return refusal.status == _UNAUTHORIZED or (
        refusal.status == _FORBIDDEN
        and source.repository is not None
        and _OUR_PERMISSION in refusal.message
    )


def _limited(source: Source, refusal: RegistryRefusalError) -> Exception:
    """Tell our own quota of Artifact Registry from an upstream's limit."""
    text = refusal.message.lower()
    ours = not refusal.by_upstream and any(word in text for word in _OUR_QUOTA)
    if source.repository is None or ours:
        return TransientError(f"Artifact Registry's quota is spent: {refusal}")
    upstream = source.repository.upstream
    return ImageError(
        "postponed",
        f"{upstream} limits pulls: {refusal}",
        hint=f"Give credentials for {upstream} in prestream.yaml to raise its limit.",
        not_before=refusal.retry_at or datetime.now(UTC) + DEFAULT_PAUSE,
    )


def _another(repository: RemoteRepository) -> ImageError:
    return ImageError(
        "misconfigured",
        f"repository {repository.name} is no mirror of {repository.upstream}",
        hint=f"Delete or rename it, or name another id in `upstreams.{repository.upstream}"
        ".repository` in prestream.yaml.",
    )


def _refused(repository: RemoteRepository, error: UpstreamRefusedError) -> ImageError:
    return ImageError(
        "misconfigured",
        f"Artifact Registry refuses {repository.upstream} as an upstream: {error}",
        hint=f"Check `upstreams.{repository.upstream}` in prestream.yaml: its uri, and its"
        " credentials if it needs them.",
    )
