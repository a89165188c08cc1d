"""Who calls: bearer tokens, and those who may act as others."""

import secrets
import threading
from collections.abc import Iterable

from sandbox.kubernetes.calls import Caller
from sandbox.kubernetes.statuses import ApiError, failure

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ADMIN_TOKEN = secrets.token_hex(16)
"""Made anew in each process; its user may do everything."""


def unauthorized() -> ApiError:
    """Nobody is known by these credentials."""
    return failure(401, "Unauthorized", "Unauthorized")


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
        scheme, _, token = authorization.partition(" ")
        user = self._users.get(token.strip())
        if scheme.lower() != "bearer" or user is None:
            raise unauthorized()
        return Caller(user[0], user[1], user_agent, source_ip)
