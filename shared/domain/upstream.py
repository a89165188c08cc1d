"""A registry that may be mirrored, from the configuration."""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from shared.domain.image_reference import DOCKER_HUB

DEFAULT_PAUSE = timedelta(hours=1)
"""The assumed window of an upstream's rate limit, if it names none: Docker Hub counts hours."""

_DOCKER_HUB_PULLS = 8
"""
Half of the 100 pulls that Docker Hub allows an anonymous address in six hours, for each hour.

https://docs.docker.com/docker-hub/usage/
"""


@dataclass(frozen=True, slots=True)
class Upstream:
    """
    The settings for the mirror of one registry in the allow-list.

    A value that is ``None`` or empty means the default, which depends on the registry and on the
    location of the mirror.
    """

    repository: str | None = None
    """ID of the remote repository in Artifact Registry; ``None`` to derive it from the host."""
    username: str | None = None
    """The user, which requires ``password_secret_version``."""
    password_secret_version: str | None = None
    """``projects/P/secrets/S/versions/V``; we never read the secret itself."""
    paths: tuple[str, ...] = ()
    """Patterns of the repositories that may be mirrored; empty for all of them."""
    uri: str | None = None
    """The address of the registry, if it is not ``https://HOST``."""
    anonymous_pulls: int | None = None
    """The number of pulls that a sweep may cause without credentials; 0 for no limit."""
    is_mirrored: bool = True
    """Whether nodes pull from a mirror, or else from the registry itself."""

    @property
    def has_credentials(self) -> bool:
        """Whether Artifact Registry pulls with a username and a secret."""
        return self.password_secret_version is not None

    def max_pulls(self, host: str) -> int | None:
        """
        Return the number of pulls from the host that a sweep may cause; None for no limit.

        >>> Upstream().max_pulls("docker.io"), Upstream().max_pulls("ghcr.io")
        (8, None)
        >>> Upstream(anonymous_pulls=0).max_pulls("docker.io")
        """
        if self.has_credentials:
            return None
        default = _DOCKER_HUB_PULLS if host == DOCKER_HUB else 0
        return (default if self.anonymous_pulls is None else self.anonymous_pulls) or None

    def covers(self, repository: str) -> bool:
        """
        Whether a repository of the registry may be mirrored.

        With credentials, only listed repositories may be, because every node can then read
        everything that the credentials can.

        >>> Upstream(paths=("nvidia/*",)).covers("nvidia/pytorch")
        True
        >>> Upstream(paths=("nvidia/*",)).covers("acme/secret-sauce")
        False
        >>> Upstream().covers("acme/app")
        True
        """
        if not self.paths:
            return not self.has_credentials
        return any(fnmatchcase(repository, pattern) for pattern in self.paths)
