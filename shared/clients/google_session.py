"""HTTP sessions with the function's own identity, for APIs without a Google client library."""

import http.client
import io
from typing import Any

from shared.clients.deadline import limit_wait
from shared.clients.vendor_error import request_errors
from shared.clients.vendor_import import IMPORTING

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def make_session(emulator_host: str | None) -> Any:
    """
    Return a session of ``requests``; the session for a local service has no credentials.

    Raises:
        TransientError: The credentials are temporarily unavailable.
        ConfigurationError: The credentials are missing.
    """
    if emulator_host is not None:
        return make_anonymous_session()
    with IMPORTING:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

    with request_errors("find the function's credentials"):
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    return _limit(AuthorizedSession(credentials))


def make_anonymous_session() -> Any:
    """Return a session without credentials."""
    with IMPORTING:
        import requests

    return _limit(requests.Session())


def _limit(session: Any) -> Any:
    """
    Limit each read of a session to the time of its exchange, and let it follow no redirect.

    A timeout of ``requests`` restarts with each byte. And before ``requests`` follows a redirect,
    or leaves it to the caller, it reads the whole body of the redirect.
    """
    with IMPORTING:
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    pools = {
        scheme: type(f"Timed{pool.__name__}", (pool,), {"ConnectionCls": _timed(pool)})
        for scheme, pool in (("http", HTTPConnectionPool), ("https", HTTPSConnectionPool))
    }
    for adapter in session.adapters.values():
        adapter.poolmanager.pool_classes_by_scheme = pools
    session.get_redirect_target = lambda _: None
    return session


def _timed(pool: Any) -> type:
    """Return the connections of a pool, as a class whose reads are limited."""
    connection = pool.ConnectionCls
    return type(f"Timed{connection.__name__}", (connection,), {"response_class": _TimedResponse})


class _TimedResponse(http.client.HTTPResponse):
    """A response whose status, headers and body have to arrive before the exchange ends."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))


class _TimedReader(io.RawIOBase):
    """Reads from a socket, and waits no longer than the exchange may take."""

    def __init__(self, sock: Any, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(limit_wait(self._timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
