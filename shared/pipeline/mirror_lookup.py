"""Look up an image in the mirror that nodes pull it from."""

import time
from collections.abc import Callable
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
    RepositoryState,
    Source,
    UpstreamCredentials,
    UpstreamRefusedError,
    compare_repository,
    is_google_registry,
    make_repository_id,
    project_of,
    serves_images,
)
from shared.domain.mirror_reference import rewrite_reference, trace_upstream
from shared.domain.placement import DEFAULT_PLATFORM
from shared.domain.upstream import Upstream
from shared.errors import ImageError, ManifestUnavailableError, TransientError
from shared.pipeline.ttl_cache import KeyedLock, TtlCache

if TYPE_CHECKING:
    from shared.pipeline.execute import Executor
    from shared.pipeline.ports import Registry, Repositories
    from shared.settings.keys import Settings

_FORBIDDEN, _NOT_FOUND = 403, 404
_MAX_PLATFORMS = 8

_PAUSES_S = (0.25, 0.25, 0.5, 1.0, 2.0, 4.0)
"""
The pauses between reads of a mirror that is being created, in seconds.

Their sum is below the time for which other deliveries wait for the first one.
"""
_REQUESTED_S = 300.0
"""How long an instance does not request the creation of a mirror again."""

_MAX_HOST = 253
"""The longest name of a host, in characters."""


class MissingMirrorError(Exception):
    """The mirror does not exist, and nothing creates it: a dry run, or a step that only reads."""

    def __init__(self, repository: RemoteRepository) -> None:
        super().__init__(str(repository.name))
        self.repository = repository


class Mirrors:
    """
    The mirrors of a deployment.

    Args:
        settings: The configuration.
        registry: Answers for the images in the mirrors.
        repositories: Makes the client of Artifact Registry when it is first needed.
        execute: Creates and updates mirrors; in a dry run, mirrors are only read.
        pause: Lets seconds pass until a mirror that is being created is read again.
    """

    def __init__(
        self,
        settings: "Settings",
        *,
        registry: "Registry",
        repositories: "Callable[[], Repositories]",
        execute: "Executor",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._repositories = repositories
        self._execute = execute
        self._projects = {settings.project, settings.deployment_project, *settings.projects}
        self._pause = pause
        self._checked: set[RepositoryName] = set()
        self._creating = KeyedLock()
        self._requested = TtlCache[bool](_REQUESTED_S)
        """The mirrors whose creation this instance requested."""
        self._created: set[RepositoryName] = set()
        """The mirrors that this instance created."""
        self._hosts = {
            repository: host
            for repository, host in settings.mirror_hosts.items()
            if settings.upstreams[host].is_mirrored
        }

    def locate(self, reference: ImageReference, cluster_location: str) -> Source:
        """
        Return the mirror of an image for a cluster; no service is asked.

        A reference into one of our mirrors is traced back to its upstream, so that both names of
        an image have the same meaning.

        Raises:
            ImageError: The registry or the path is not on the allow-list (``not_allowed``), or
                Google has no such registry (``pull_failed``).
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
        if not upstream.is_mirrored:
            return Source(image, image)
        repository = self._describe(host, upstream, cluster_location)
        return Source(image, rewrite_reference(image, repository.name), repository)

    def may_be_limited(self, source: Source) -> bool:
        """Whether an upstream, or the owner of another project, may limit pulls of an image."""
        return source.has_upstream or project_of(source.image) not in self._projects

    def resolve(self, source: Source) -> Manifest:
        """
        Return the manifest of an image; create or update its mirror if that is needed first.

        Raises:
            ImageError: The image, its mirror or its upstream is at fault.
            MissingMirrorError: The mirror does not exist, and is not created.
            TransientError: A service is unavailable, or the mirror is being created.
            ConfigurationError: Our identity is refused.
        """
        repository = source.repository
        if repository is None:
            return self._fetch_known(source)
        # The registry also answers with outdated credentials.
        was_changed = repository.credentials is not None and self._ensure_once(repository)
        try:
            return self._fetch(source.mirror)
        except RegistryRefusalError as refusal:
            if not _may_lack_repository(refusal):
                self.confirm(source)
                raise self._judge(source, refusal) from refusal
        # If another delivery has created the mirror, the refusal is out of date.
        was_changed |= self._ensure(repository)
        return self._fetch_again(source, repository, was_changed=was_changed)

    def confirm(self, source: Source) -> None:
        """
        Check that the repository of a mirror is a mirror; an instance checks each one once.

        A repository of that name with another upstream also answers, with another image. So no
        warmup is created from an answer before this check; an existing warmup needs no check.

        Raises:
            ImageError: It is another repository (``misconfigured``).
            MissingMirrorError: The mirror does not exist, and is not created.
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if source.repository is not None:
            self._ensure_once(source.repository)

    def fetch_platform(self, source: Source, index: Manifest, platform: str) -> Manifest:
        """
        Return the manifest of a platform in an index; a single manifest is its own.

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

    def measure(self, source: Source, index: Manifest, platform: str | None) -> int | None:
        """
        Return the compressed size of an image before its node is known.

        None if no platform is requested and the image lacks the default one.

        Raises:
            ImageError: The image has no manifest for the requested platform.
            TransientError: The registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if platform is None and index.is_index and not index.digest_for(DEFAULT_PLATFORM):
            return None
        return self.fetch_platform(source, index, platform or DEFAULT_PLATFORM).image_bytes

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
            raise ManifestUnavailableError(
                f"the registry sent a damaged manifest of {reference}: {exc}"
            ) from exc
        except InvalidManifestError as exc:
            raise ImageError(
                "pull_failed",
                f"the registry's answer for {reference} cannot be used: {exc}",
                hint="Push the image again with a current tool: nodes pull and stream only OCI and"
                " Docker schema 2 manifests.",
            ) from exc

    def _fetch_known(self, source: Source, digest: Digest | None = None) -> Manifest:
        """Return a manifest from a repository that exists, or that we do not create."""
        try:
            return self._fetch(source.mirror.at(digest) if digest else source.mirror)
        except RegistryRefusalError as refusal:
            raise self._judge(source, refusal) from refusal

    def _fetch_again(
        self, source: Source, repository: RemoteRepository, *, was_changed: bool
    ) -> Manifest:
        """Return a manifest from a mirror that exists; a new one may not answer at once."""
        try:
            return self._fetch(source.mirror)
        except RegistryRefusalError as refusal:
            unknown = f'"{repository.name.repository_id}" not found' in refusal.message
            if unknown or (was_changed and _may_lack_repository(refusal)):
                raise TransientError(
                    f"mirror {repository.name} was just created and does not answer yet: {refusal}"
                ) from refusal
            raise self._judge(source, refusal) from refusal

    def _judge(self, source: Source, refusal: RegistryRefusalError) -> Exception:
        # Only a refusal needs the module.
        from shared.pipeline.registry_refusal import judge_refusal

        return judge_refusal(source, refusal, self._projects)

    def _ensure_once(self, repository: RemoteRepository) -> bool:
        """As ``_ensure``, but an instance checks each mirror once."""
        return repository.name not in self._checked and self._ensure(repository, is_once=True)

    def _ensure(self, repository: RemoteRepository, *, is_once: bool = False) -> bool:
        """
        Create or update a mirror if needed; return whether anything changed.

        The deliveries of an instance share one creation.
        """
        was_created = repository.name in self._created
        with self._creating.hold(repository.name):
            if is_once and repository.name in self._checked:
                return False
            state = self._repositories().fetch_repository(repository.name)
            if state is None:
                self._create(repository)
                self._created.add(repository.name)
                is_changed = True
            else:
                is_changed = self._perform(repository, plan_mirror(repository, state))
            self._checked.add(repository.name)
            # A delivery that waited for the creation has a refusal from before it.
            return is_changed or (repository.name in self._created and not was_created)

    def _create(self, repository: RemoteRepository) -> None:
        """Request a mirror, unless this instance has done so, and wait for it for some seconds."""
        if not self._requested.get(repository.name):
            if not self._perform(repository, plan_mirror(repository, None)):
                raise MissingMirrorError(repository)
            self._requested.put(repository.name, value=True)
        created = self._await(repository.name)
        self._requested.put(repository.name, value=False)
        if compare_repository(repository, created) == "another repository":
            raise _another_repository(repository)

    def _await(self, name: RepositoryName) -> RepositoryState:
        """Return a mirror that is being created, as soon as it exists."""
        for seconds in (0.0, *_PAUSES_S):
            self._pause(seconds)
            created = self._repositories().fetch_repository(name)
            if created is not None:
                return created
        raise TransientError(f"mirror {name} is being made")

    def _perform(
        self, repository: RemoteRepository, actions: tuple[CreateMirror | UpdateMirror, ...]
    ) -> bool:
        try:
            return bool(self._execute.perform(actions))
        except UpstreamRefusedError as exc:
            raise _refused_upstream(repository, exc) from exc


def plan_mirror(
    repository: RemoteRepository, state: RepositoryState | None
) -> tuple[CreateMirror | UpdateMirror, ...]:
    """
    Return the action that a mirror needs before images are pulled from it; else none.

    A repository that Prestream did not create keeps its credentials.

    Raises:
        ImageError: A repository of that name is not this mirror (``misconfigured``).
    """
    if state is None:
        return (CreateMirror(repository),)
    comparison = compare_repository(repository, state)
    if comparison == "another repository":
        raise _another_repository(repository)
    return (UpdateMirror(repository),) if comparison != "same" and state.is_ours else ()


def _list_platforms(index: Manifest) -> str:
    """Return the platforms of an index, shortened for a person."""
    names = [entry.platform for entry in index.platforms if entry.platform]
    more = len(names) - _MAX_PLATFORMS
    shown = ", ".join(names[:_MAX_PLATFORMS]) or "none that is named"
    return f"{shown} and {more} more" if more > 0 else shown


def _no_registry(image: ImageReference) -> ImageError:
    """Return the error for a host of Google's that serves no images."""
    return ImageError(
        "pull_failed",
        f"Google has no registry {image.registry[:_MAX_HOST]!r}",
        hint="Check the name: images are at LOCATION-docker.pkg.dev or at gcr.io.",
    )


def _may_lack_repository(refusal: RegistryRefusalError) -> bool:
    """Whether the repository may not exist: the registry also answers 403 for a missing one."""
    if refusal.by_upstream:
        return False
    if refusal.status == _FORBIDDEN:
        return True
    return refusal.status == _NOT_FOUND and refusal.code == "NAME_UNKNOWN"


def _another_repository(repository: RemoteRepository) -> ImageError:
    """Return the error for a repository that has the name of a mirror but another upstream."""
    return ImageError(
        "misconfigured",
        f"repository {repository.name} is not a mirror of {repository.upstream}",
        hint=f"Delete or rename it, or name another id in `upstreams.{repository.upstream}"
        ".repository` in prestream.yaml.",
    )


def _refused_upstream(repository: RemoteRepository, error: UpstreamRefusedError) -> ImageError:
    """Return the error for an upstream that Artifact Registry does not accept for a mirror."""
    return ImageError(
        "misconfigured",
        f"Artifact Registry refuses {repository.upstream} as an upstream: {error}",
        hint=f"Check `upstreams.{repository.upstream}` in prestream.yaml: its uri, and its"
        " credentials if it needs them.",
    )
