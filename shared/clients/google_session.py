"""HTTP sessions with the function's own identity, for APIs without a Google client library."""

from typing import Any

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
    with IMPORTING:
        import requests

    if emulator_host is not None:
        return requests.Session()
    with IMPORTING:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession

    with request_errors("find the function's credentials"):
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    return AuthorizedSession(credentials)
