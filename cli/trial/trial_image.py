"""The image of a trial: its names at the upstream and in the mirror, its digest, its size."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from shared.domain.cluster import ClusterName
from shared.domain.image_reference import DOCKER_HUB, ImageReference, WrittenImage, parse_reference
from shared.domain.ladder import WantedImage
from shared.domain.manifest import Manifest
from shared.domain.mirror import RemoteRepository, RepositoryName, RepositoryState, Source
from shared.errors import EventError, TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors, MissingMirrorError, plan_mirror
from shared.pipeline.ports import Registry
from shared.settings.keys import Settings


class RemovableRepositories(Protocol):
    """The repositories of Artifact Registry, with their deletion."""

    def fetch_repository(self, name: RepositoryName) -> RepositoryState | None: ...  # noqa: D102
    def create_repository(self, repository: RemoteRepository) -> None: ...  # noqa: D102
    def update_credentials(self, repository: RemoteRepository) -> None: ...  # noqa: D102
    def delete_repository(self, name: RepositoryName) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class TrialImage:
    """An image; the digest and the size are unknown until its mirror exists."""

    written: WrittenImage
    source: Source
    manifest: Manifest | None = None
    image_bytes: int | None = None
    lacks_mirror: bool = False
    """Whether the mirror is created by the trial."""

    @property
    def upstream(self) -> str | None:
        """The host of the upstream; None for an image that needs no mirror."""
        return self.source.image.registry if self.source.repository else None

    @property
    def direct(self) -> Source:
        """The image under its own name, without the mirror."""
        return Source(self.source.image, self.source.image)

    @property
    def wanted(self) -> WantedImage:
        """The properties that decide on nodes."""
        names = frozenset({self.source.image.name, self.source.mirror.name})
        digest = self.manifest.digest if self.manifest else None
        return WantedImage(digest, self.image_bytes, names)


class TrialImages:
    """
    Reads images, and creates the mirrors that they need.

    Args:
        settings: The configuration; every upstream is mirrored, whatever it says.
        cluster: The cluster that decides on the location of the mirrors.
        registry: Returns manifests.
        repositories: Artifact Registry.
    """

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterName,
        registry: Registry,
        repositories: RemovableRepositories,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._repositories = repositories
        self._mirrors, self._readable = (
            Mirrors(
                settings,
                registry=registry,
                repositories=lambda: repositories,
                execute=Executor(repositories=lambda: repositories, dry_run=dry_run),
            )
            for dry_run in (False, True)
        )

    def read(self, written: WrittenImage, platform: str) -> TrialImage:
        """
        Return an image as far as it can be read without a change.

        Raises:
            ImageError: The image, its mirror or its upstream is at fault.
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        image = TrialImage(
            written, self._readable.locate(written.reference, self._cluster.location)
        )
        repository = image.source.repository
        if repository is not None:
            state = self._repositories.fetch_repository(repository.name)
            plan_mirror(repository, state)
            if state is None:
                return replace(self._read_upstream(image, platform), lacks_mirror=True)
        try:
            return self._resolve(image, self._readable, platform)
        except MissingMirrorError:
            return replace(image, lacks_mirror=True)

    def _read_upstream(self, image: TrialImage, platform: str) -> TrialImage:
        """
        Return an image with the digest and the size at Docker Hub; unknown for other upstreams.

        Raises:
            ImageError: Docker Hub refuses the image.
        """
        repository = image.source.repository
        if image.upstream != DOCKER_HUB or repository is None or repository.credentials:
            return image
        try:
            found = self._resolve(replace(image, source=image.direct), self._readable, platform)
        except EventError:
            return image
        return replace(found, source=image.source)

    def create(self, image: TrialImage, platform: str, pause: Callable[[], bool]) -> TrialImage:
        """
        Create the mirror of an image, and return the image with its digest and size.

        Args:
            image: The image.
            platform: The platform of the nodes.
            pause: Waits between two attempts; False if the time is over.

        Raises:
            ImageError: The image, its mirror or its upstream is at fault.
            TransientError: A service is unavailable, or a new mirror does not answer in time.
            ConfigurationError: It refuses our identity.
        """
        while True:
            try:
                return self._resolve(image, self._mirrors, platform)
            except TransientError:
                if not pause():
                    raise

    def find_helper(self, image: TrialImage) -> ImageReference:
        """
        Return the reference of the helper image.

        It comes from the mirror of the image if that has the same upstream. A trial creates no
        mirror for the helper alone.
        """
        helper = parse_reference(self._settings.helper_image)
        if image.source.repository and helper.registry == image.source.repository.upstream:
            return self._mirrors.locate(helper, self._cluster.location).mirror
        return helper

    def _resolve(self, image: TrialImage, mirrors: Mirrors, platform: str) -> TrialImage:
        manifest = mirrors.resolve(image.source)
        mirrors.confirm(image.source)
        own = mirrors.fetch_platform(image.source, manifest, platform)
        return replace(image, manifest=manifest, image_bytes=own.image_bytes)
