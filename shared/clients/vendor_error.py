"""
The vendors' errors, translated to ours; the vendor's error is kept as the cause.

The class of an error depends on who is at fault (see shared.errors). Clients handle normal answers
(already exists, not found) before. Each call begins here, which checks that the delivery has time
left for it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from shared.clients.deadline import check_time_left
from shared.clients.vendor_import import IMPORTING
from shared.errors import (
    ClusterUnavailableError,
    ConfigurationError,
    EventError,
    TransientError,
)

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


def from_status(status: int, message: str) -> EventError:
    """Return the error for an HTTP status of one of our APIs."""
    if status in TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004
        return TransientError(message)
    return ConfigurationError(message)


@contextmanager
def google_errors(action: str) -> Iterator[None]:
    """
    Translate the errors of Google's client libraries during ``action``.

    Raises:
        TransientError: The service is unavailable or slow, our quota is exhausted, or the
            delivery has no time left.
        ConfigurationError: The service refuses our identity or our request.
    """
    with IMPORTING:
        from google.api_core import exceptions as api
        from google.auth import exceptions as auth
        from google.protobuf import json_format

    check_time_left(action)
    try:
        yield
    except api.GoogleAPIError as exc:
        raise _from_api(action, exc) from exc
    except json_format.Error as exc:
        # A proxy answered in place of the service, or cut its answer.
        raise TransientError(f"cannot {action}: the answer cannot be read: {exc}") from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc
    except OSError as exc:
        # Over REST the libraries do not catch the errors of requests, which are OSErrors.
        raise _from_connection(action, exc) from exc


@contextmanager
def request_errors(action: str) -> Iterator[None]:
    """
    Translate the errors of requests and google-auth for a missing answer.

    Raises:
        TransientError: No connection, no answer in time, a partial answer, or no time left.
        ConfigurationError: Credentials are missing or refused, or an address is invalid.
    """
    with IMPORTING:
        import urllib3
        from google.auth import exceptions as auth

    check_time_left(action)
    try:
        yield
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc
    except (OSError, urllib3.exceptions.HTTPError) as exc:
        # A streamed body that breaks off raises an error of urllib3, not of requests.
        raise _from_connection(action, exc) from exc


@contextmanager
def kubernetes_errors(action: str) -> Iterator[None]:
    """
    Translate the errors of the Kubernetes client for a missing answer.

    Raises:
        ClusterUnavailableError: No connection, no answer in time, or a partial answer.
        TransientError: The delivery has no time left, or the request for a token was not answered.
        ConfigurationError: Credentials are missing or refused, or an address is invalid.
    """
    with IMPORTING:
        import urllib3
        from google.auth import exceptions as auth

    check_time_left(action)
    try:
        yield
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as exc:
        error = _from_connection(action, exc)
        if isinstance(error, TransientError):
            error = ClusterUnavailableError(str(error))
        raise error from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc


def _from_api(action: str, error: Exception) -> EventError:
    """Return the class of an API's refusal, by its status if it has one."""
    with IMPORTING:
        from google.api_core import exceptions as api

    # A conflict (also ABORTED) means that the same resource is being changed.
    transient = (api.ServerError, api.Conflict, api.Cancelled, api.RetryError)
    if isinstance(error, transient):
        return TransientError(f"cannot {action}: {error}")
    return from_status(getattr(error, "code", None) or 0, f"cannot {action}: {error}")


def _from_auth(action: str, error: Exception) -> EventError:
    """Return the class of a failure to get a token; google-auth marks those worth a retry."""
    with IMPORTING:
        from google.auth import exceptions as auth

    transient = (auth.TransportError, auth.ResponseError, auth.TimeoutError)
    if isinstance(error, transient) or getattr(error, "retryable", False):
        return TransientError(f"cannot {action}: {error}")
    return ConfigurationError(f"cannot {action}: {error}")


def _from_connection(action: str, error: Exception) -> EventError:
    """Return the class of a request without an answer; the address may be invalid."""
    if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
        return ConfigurationError(f"cannot {action}: {error}")
    return TransientError(f"cannot {action}: {error}")
