"""Who calls: bearer tokens, and those who may act as others."""

import base64
import secrets
import threading
from collections.abc import Iterable

from sandbox.kubernetes.calls import Caller
from sandbox.kubernetes.statuses import ApiError, failure

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ANONYMOUS = Caller("system:anonymous", ("system:unauthenticated",))
"""Who shows no credentials; GKE serves them nothing but health and the version."""
ADMIN_TOKEN = secrets.token_hex(16)
"""Made anew in each process; its user may do everything."""


def unauthorized() -> ApiError:
    """Nobody is known by these credentials."""
    return failure(401, "Unauthorized", "Unauthorized")


def _token(authorization: str) -> str:
    """
    Return the token of an Authorization header.

    It may also be the password of basic authentication: kubectl sends no bearer token without
    TLS, but it does send what stands in the server's URL.
    """
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials).decode().partition(":")[2]
    except ValueError:
        return ""


class Tokens:
    """The users of a cluster, by token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.add(ADMIN_TOKEN, "kubernetes-admin", (MASTERS,))

    def add(self, token: str, name: str, groups: Iterable[str] = ()) -> None:
        """Know a user by a token."""
        with self._lock:
            self._users[token] = (name, (*groups, AUTHENTICATED))

    def caller(self, authorization: str, user_agent: str, source_ip: str) -> Caller:
        """
        Return who sent an Authorization header.

        Raises:
            ApiError: 401.
        """
        user = self._users.get(_token(authorization))
        if user is None:
            raise unauthorized()
        return Caller(user[0], user[1], user_agent, source_ip)
