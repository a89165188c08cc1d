"""
Repositories in Artifact Registry: their names, and the mirrors that we create.

A mirror is a remote repository that pulls through from one upstream registry:
https://docs.cloud.google.com/artifact-registry/docs/repositories/remote-overview
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NewType, Self

from shared.domain.image_reference import DOCKER_HUB, ImageReference

RepositoryId = NewType("RepositoryId", str)
"""An ID that Artifact Registry accepts: 63 characters of a-z, 0-9 and hyphens."""

OWNER_LABEL = ("managed-by", "prestream")
DESCRIPTION = "Pull-through mirror of {upstream}, made and used by Prestream."

GCR_LOCATIONS: Final = {
    "gcr.io": "us",
    "us.gcr.io": "us",
    "eu.gcr.io": "europe",
    "asia.gcr.io": "asia",
}
"""
The locations of the repositories that serve gcr.io; each has the host's name.

https://docs.cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo
"""

_MAX_ID = 63
_DOCKER_HOST = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev")
_IMAGE_HOST = re.compile(r"[a-z0-9-]{1,40}-docker\.pkg\.dev|(?:[a-z0-9-]{1,40}\.)?gcr\.io")


class UpstreamRefusedError(Exception):
    """Artifact Registry could not validate an upstream, and did not create the repository."""


@dataclass(frozen=True, slots=True)
class UpstreamCredentials:
    """A login to the upstream; the password is the name of a secret version, never its value."""

    username: str
    password_secret_version: str


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """The name of a repository: a project, a location and an ID."""

    project: str
    location: str
    repository_id: str

    def __str__(self) -> str:
        return f"{self.parent}/repositories/{self.repository_id}"

    @property
    def parent(self) -> str:
        """``projects/P/locations/L``."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def registry(self) -> str:
        """The host from which images are pulled."""
        return f"{self.location}-docker.pkg.dev"

    @property
    def path(self) -> str:
        """
        The prefix of an image's path; a domain-scoped project contains a slash.

        >>> RepositoryName("example.com:ml", "us", "apps").path
        'example.com/ml/apps'
        """
        return f"{self.project.replace(':', '/')}/{self.repository_id}"


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """The desired state of a mirror."""

    name: RepositoryName
    upstream: str
    """The upstream registry's host."""
    uri: str | None
    """The address from which Artifact Registry pulls; ``None`` for its preset of Docker Hub."""
    credentials: UpstreamCredentials | None = None
    cleanup_days: int = 90

    @property
    def description(self) -> str:
        """The description for people who find the repository."""
        return DESCRIPTION.format(upstream=self.upstream)


@dataclass(frozen=True, slots=True)
class Source:
    """An image at its upstream, and the reference that nodes pull instead."""

    image: ImageReference
    """The reference at the upstream; an image at Google is its own upstream."""
    mirror: ImageReference
    """The reference that nodes pull."""
    repository: RemoteRepository | None = None
    """The repository of the mirror; None for an image that is pulled under its own name."""

    @property
    def has_upstream(self) -> bool:
        """Whether the image comes from a registry that is not Google's."""
        return not is_google_registry(self.image.registry)


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """The properties of an existing repository that matter for a mirror."""

    is_docker_remote: bool
    uri: str | None = None
    """The address of the upstream; ``None`` for the preset of Docker Hub."""
    credentials: UpstreamCredentials | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether Prestream created the repository, and so may change it."""
        key, value = OWNER_LABEL
        return self.labels.get(key) == value


Comparison = Literal["same", "credentials differ", "another repository"]


def compare_repository(wanted: RemoteRepository, state: RepositoryState) -> Comparison:
    """Compare the existing repository with the desired mirror."""
    same_upstream = _comparable(wanted.uri) == _comparable(state.uri)
    if not state.is_docker_remote or not same_upstream:
        return "another repository"
    # Also if the credentials were removed from the configuration: the paths were removed with them,
    # so the mirror would serve everything that the old login can read.
    if wanted.credentials != state.credentials:
        return "credentials differ"
    return "same"


def _comparable(uri: str | None) -> str:
    """Return a normal form, in which two URIs of one upstream are equal."""
    host = (uri or f"https://{DOCKER_HUB}").rstrip("/").lower()
    host = host.removesuffix("/v2")
    hub = {"https://registry-1.docker.io", "https://index.docker.io", f"https://{DOCKER_HUB}"}
    return f"https://{DOCKER_HUB}" if host in hub else host


def make_repository_id(upstream: str) -> RepositoryId:
    """
    Return the ID of an upstream registry's mirror.

    >>> make_repository_id("docker.io"), make_repository_id("registry.k8s.io")
    ('dockerhub-mirror', 'registry-k8s-io-mirror')
    """
    if upstream == DOCKER_HUB:
        return RepositoryId("dockerhub-mirror")
    suffix = "-mirror"
    host = re.sub(r"[^a-z0-9]+", "-", upstream.lower()).strip("-")
    if not host[:1].isalpha():
        host = f"r-{host}"
    return RepositoryId(host[: _MAX_ID - len(suffix)].rstrip("-") + suffix)


def is_google_registry(registry: str) -> bool:
    """Whether a registry is Google's own; its images stream without a mirror."""
    host = registry.lower()
    return host.endswith((".pkg.dev", ".gcr.io")) or host == "gcr.io"


def serves_images(registry: str) -> bool:
    """
    Whether a host of Google's domains can serve images.

    A tenant can name any host. A host that cannot serve images must not be called: the missing
    answer would count as a transient error.

    >>> serves_images("us-central1-docker.pkg.dev"), serves_images("eu.gcr.io")
    (True, True)
    >>> serves_images("us-python.pkg.dev"), serves_images("a.b.gcr.io")
    (False, False)
    """
    return _IMAGE_HOST.fullmatch(registry.lower()) is not None


@dataclass(frozen=True, slots=True)
class ArtifactPath:
    """An image in Artifact Registry: its repository, and its path in the repository."""

    repository: RepositoryName
    path: str

    @classmethod
    def split(cls, registry: str, repository: str) -> Self | None:
        """
        Split the path of an image on ``LOCATION-docker.pkg.dev``; ``None`` for other hosts.

        >>> ArtifactPath.split("us-docker.pkg.dev", "example.com/ml/apps/vllm").repository.project
        'example.com:ml'
        """
        host = _DOCKER_HOST.fullmatch(registry.lower())
        project, *parts = _split_project(repository)
        if host is None or len(parts) < 2:  # noqa: PLR2004
            return None
        repository_id, *path = parts
        return cls(RepositoryName(project, host[1], repository_id), "/".join(path))


SERVERLESS_REPOSITORIES = frozenset(
    {"prestream-functions", "gcf-artifacts", "cloud-run-source-deploy"}
)
"""
Repositories of images that Google builds for functions and services; no node pulls these.

The first holds our own functions, so that a deployment of Prestream does not trigger Prestream.
https://docs.cloud.google.com/run/docs/deploy-functions
"""


def is_serverless_build(image: ImageReference) -> bool:
    """
    Whether an image was built for Cloud Functions or Cloud Run.

    >>> from shared.domain.image_reference import parse_reference
    >>> is_serverless_build(parse_reference("us-docker.pkg.dev/demo/gcf-artifacts/resize:1"))
    True
    >>> is_serverless_build(parse_reference("us-docker.pkg.dev/demo/vision/gcf-artifacts:1"))
    False
    """
    artifact = ArtifactPath.split(image.registry, image.repository)
    return artifact is not None and artifact.repository.repository_id in SERVERLESS_REPOSITORIES


def _split_project(path: str) -> list[str]:
    """Return the project at the begin of a path, and the other parts of the path."""
    parts = path.split("/")
    return [":".join(parts[:2]), *parts[2:]] if "." in parts[0] else parts


def project_of(image: ImageReference) -> str:
    """
    Return the project that an image at Google belongs to.

    >>> project_of(ImageReference("gcr.io", "example.com/ml/vllm", "1"))
    'example.com:ml'
    """
    return _split_project(image.repository)[0]


def location_of(image: ImageReference) -> str | None:
    """
    Return the location of the repository of an image; None if it is not in Artifact Registry.

    >>> location_of(ImageReference("europe-west4-docker.pkg.dev", "demo/ml/app", "1"))
    'europe-west4'
    >>> location_of(ImageReference("gcr.io", "demo/app", "1"))
    'us'
    """
    artifact = ArtifactPath.split(image.registry, image.repository)
    return artifact.repository.location if artifact else GCR_LOCATIONS.get(image.registry.lower())
