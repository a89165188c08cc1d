"""
The vendors' errors, translated to ours; the vendor's own stays as the cause.

Which class a status belongs to follows from whose fault it is (see shared.errors). What is a
normal answer to a caller (already there, not found) is handled by the client before.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import ConfigurationError, EventError, TransientError

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

TIMEOUT = (3.05, 10.0)
"""Seconds to connect and to wait for an answer; each delivery ends within seconds."""

RPC_TIMEOUT_S = 10.0


def from_status(status: int, message: str) -> EventError:
    """Return the error that an HTTP status of one of our APIs stands for."""
    if status in TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004
        return TransientError(message)
    return ConfigurationError(message)


@contextmanager
def google_errors(action: str) -> Iterator[None]:
    """
    Translate what Google's client libraries raise while doing ``action``.

    Raises:
        TransientError: The service is unavailable or slow, or our quota of it is spent.
        ConfigurationError: It refuses our identity, or what we ask for.
    """
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    transient = (api.ServerError, api.TooManyRequests, api.Aborted, api.RetryError)
    try:
        yield
    except transient as exc:
        raise TransientError(f"cannot {action}: {exc}") from exc
    except api.GoogleAPIError as exc:
        raise ConfigurationError(f"cannot {action}: {exc}") from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc
    except (ConnectionError, TimeoutError) as exc:
        raise TransientError(f"cannot {action}: {exc}") from exc


@contextmanager
def request_errors(action: str) -> Iterator[None]:
    """
    Translate what requests and google-auth raise where no answer came at all.

    Raises:
        TransientError: No connection, no answer in time, or half of one.
        ConfigurationError: There are no credentials, or they are refused.
    """
    import requests
    from google.auth import exceptions as auth

    try:
        yield
    except requests.RequestException as exc:
        raise TransientError(f"cannot {action}: {exc}") from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc


@contextmanager
def kubernetes_errors(action: str) -> Iterator[None]:
    """
    Translate what the Kubernetes client raises where no answer came at all.

    Raises:
        TransientError: No connection, no answer in time, or half of one.
        ConfigurationError: There are no credentials, or they are refused.
    """
    import urllib3
    from google.auth import exceptions as auth

    try:
        yield
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as exc:
        raise TransientError(f"cannot {action}: {exc}") from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc


def _from_auth(action: str, error: Exception) -> EventError:
    """Return the class of a failure to get a token: google-auth says whether to try again."""
    from google.auth import exceptions as auth

    if isinstance(error, auth.TransportError) or getattr(error, "retryable", False):
        return TransientError(f"cannot {action}: {error}")
    return ConfigurationError(f"cannot {action}: {error}")
