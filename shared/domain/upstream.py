"""A registry that may be mirrored, as the configuration describes it."""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

DEFAULT_PAUSE = timedelta(hours=1)
"""How long an upstream's limit is taken to last where it does not say: Docker Hub counts hours."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """
    How one registry of the allow-list is mirrored.

    What is None or empty has its default, which depends on the registry and on where the
    mirror lies.
    """

    repository: str | None = None
    """Id of the remote repository in Artifact Registry; None for one made of the host."""
    username: str | None = None
    """Given together with ``password_secret_version``, or not at all."""
    password_secret_version: str | None = None
    """``projects/P/secrets/S/versions/V``; the secret itself never passes through us."""
    paths: tuple[str, ...] = ()
    """Patterns of the repositories that may be mirrored; none for all of them."""
    uri: str | None = None
    """Where the registry answers, if not at ``https://HOST``."""

    @property
    def has_credentials(self) -> bool:
        """Whether Artifact Registry pulls from it with a username and a secret."""
        return self.password_secret_version is not None

    def covers(self, repository: str) -> bool:
        """
        Whether a repository of the registry may be mirrored.

        With credentials nothing is that is not listed, since every node could then read
        whatever the credentials can.

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
