"""Artifact Registry and the registries upstream of it, in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sandbox.catalogue.image import Image
from sandbox.catalogue.image import Manifest as StoredManifest
from shared.domain.image_reference import DOCKER_HUB, ImageReference
from shared.domain.manifest import OCI_MANIFEST, Manifest, RegistryRefusalError, parse_manifest
from shared.domain.mirror import (
    OWNER_LABEL,
    ArtifactPath,
    RemoteRepository,
    RepositoryName,
    RepositoryState,
    UpstreamCredentials,
    UpstreamRefusedError,
)
from shared.domain.rate_limit import Allowance

HUB_HOSTS = {"registry-1.docker.io", "index.docker.io"}


def state_of(repository: RemoteRepository) -> RepositoryState:
    """Return how Artifact Registry describes a mirror that is as it was asked for."""
    return RepositoryState(
        is_docker_remote=True,
        uri=repository.uri,
        credentials=repository.credentials,
        labels=dict([OWNER_LABEL]),
    )


@dataclass
class FakeRepositories:
    """The repositories of all projects, and what was asked of them."""

    states: dict[RepositoryName, RepositoryState] = field(default_factory=dict)
    fetched: list[RepositoryName] = field(default_factory=list)
    created: list[RemoteRepository] = field(default_factory=list)
    updated: list[RemoteRepository] = field(default_factory=list)
    running: list[RemoteRepository] = field(default_factory=list)
    """Creations that go on, if ``is_slow``; their names are taken."""
    is_slow: bool = False
    accepted_login: UpstreamCredentials | None = None
    """The only credentials that an upstream accepts; None for any."""
    upstream_refusal: str | None = None
    """Why no upstream is accepted."""
    error: Exception | None = None
    """The error of every call."""
    reads_until_it_exists: int = 0
    """How many reads a slow creation takes, if it ends by itself."""
    before_creation: Callable[[], object] = lambda: None
    """The change by another client just before a creation arrives."""

    def fetch_repository(self, name: RepositoryName) -> RepositoryState | None:
        self._answer()
        self.fetched.append(name)
        if self.running and self.reads_until_it_exists:
            self.reads_until_it_exists -= 1
            if not self.reads_until_it_exists:
                self.finish()
        return self.states.get(name)

    def create_repository(self, repository: RemoteRepository) -> None:
        self._answer()
        self.before_creation()
        if repository.name in self.states or repository.name in {r.name for r in self.running}:
            return
        self._validate(repository)
        self.created.append(repository)
        if self.is_slow:
            self.running.append(repository)
        else:
            self.states[repository.name] = state_of(repository)

    def update_credentials(self, repository: RemoteRepository) -> None:
        self._answer()
        self._validate(repository)
        self.updated.append(repository)
        before = self.states[repository.name]
        self.states[repository.name] = replace(before, credentials=repository.credentials)

    def finish(self) -> None:
        """Let the running creations end."""
        self.states |= {repository.name: state_of(repository) for repository in self.running}
        self.running.clear()

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    def _validate(self, repository: RemoteRepository) -> None:
        if repository.credentials and self.accepted_login not in {None, repository.credentials}:
            raise UpstreamRefusedError("Failed to validate remote upstream: unauthenticated")
        if self.upstream_refusal is not None:
            raise UpstreamRefusedError(self.upstream_refusal)


@dataclass
class FakeRegistry:
    """
    Every registry: those upstream by their own names, Artifact Registry through its repositories.

    A repository that does not exist is unknown; a remote one serves what its upstream has.
    """

    repositories: FakeRepositories = field(default_factory=FakeRepositories)
    images: dict[str, dict[str, Image]] = field(default_factory=dict)
    """By full name, then by tag."""
    asked: list[ImageReference] = field(default_factory=list)
    refusals: dict[str, RegistryRefusalError] = field(default_factory=dict)
    """By upstream registry, or by registry where there is none; or by digest."""
    allowances: dict[str, Allowance] = field(default_factory=dict)
    """The remaining requests that registries state, by upstream; each manifest takes one."""
    errors: dict[str, Exception] = field(default_factory=dict)
    """The errors of calls that reach an upstream, by registry or by image."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """Manifests that are served as they are, by image."""
    error: Exception | None = None
    """The error of every call."""
    hides_unknown: bool = False
    """Whether 403 is answered for a repository that does not exist, instead of 404."""

    def add(self, name: str, tag: str, image: Image) -> str:
        """Publish an image, and return its digest."""
        self.images.setdefault(name, {})[tag] = image
        return image.digest

    def fetch_manifest(self, reference: ImageReference) -> Manifest:
        self.asked.append(reference)
        if self.error is not None:
            raise self.error
        name = self._upstream_name(reference)
        registry = name.partition("/")[0]
        names = (reference.digest or "", registry)
        refusals = [self.refusals.get(each) for each in names]
        errors = [self.errors.get(each) for each in (registry, name)]
        refusal = next(filter(None, (*refusals, *errors)), None)
        if refusal is not None:
            raise refusal
        if name in self.bodies:
            body = self.bodies[name]
            return parse_manifest(body, OCI_MANIFEST, f"sha256:{sha256(body).hexdigest()}")
        found = self._find(name, reference)
        if not found:
            message = f'Failed to fetch "{reference.version}"'
            raise RegistryRefusalError(404, "MANIFEST_UNKNOWN", message)
        manifest = parse_manifest(found[0].body, found[0].media_type, found[0].digest)
        allowance = self.allowances.get(registry)
        if allowance is not None:
            allowance = replace(allowance, remaining=allowance.remaining - 1)
            self.allowances[registry] = allowance
        return replace(manifest, allowance=allowance)

    def _find(self, name: str, reference: ImageReference) -> Sequence[StoredManifest]:
        tagged = self.images.get(name, {})
        if reference.digest is None:
            image = tagged.get(reference.version)
            return image.manifests[:1] if image else ()
        every = [manifest for image in tagged.values() for manifest in image.manifests]
        return [manifest for manifest in every if manifest.digest == reference.digest]

    def _upstream_name(self, reference: ImageReference) -> str:
        artifact = ArtifactPath.split(reference.registry, reference.repository)
        if artifact is None:
            return reference.name
        state = self.repositories.states.get(artifact.repository)
        if state is None:
            raise self._unknown(artifact.repository)
        if not state.is_docker_remote:
            return reference.name
        host = (state.uri or f"https://{DOCKER_HUB}").removeprefix("https://").rstrip("/")
        return f"{DOCKER_HUB if host in HUB_HOSTS else host}/{artifact.path}"

    def _unknown(self, name: RepositoryName) -> RegistryRefusalError:
        if self.hides_unknown:
            permission = "artifactregistry.repositories.downloadArtifacts"
            message = f'Permission "{permission}" denied on resource "{name}" (or it may not exist)'
            return RegistryRefusalError(403, "DENIED", message)
        message = f'Repository "{name.repository_id}" not found'
        return RegistryRefusalError(404, "NAME_UNKNOWN", message)
