"""
The vendors' errors, translated to ours; the vendor's own stays as the cause.

Which class a status belongs to follows from whose fault it is (see shared.errors). What is a
normal answer to a caller (already there, not found) is handled by the client before. Each call
begins here, so here it is seen whether a delivery has time left for it.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from shared.clients.deadline import check_time_left
from shared.clients.vendor_import import IMPORTING
from shared.errors import ConfigurationError, EventError, TransientError

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


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
        TransientError: The service is unavailable or slow, or our quota of it is spent; or no
            time is left.
        ConfigurationError: It refuses our identity, or what we ask for.
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
        # Something on the way answered in the service's stead, or cut its answer.
        raise TransientError(f"cannot {action}: the answer cannot be read: {exc}") from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc
    except OSError as exc:
        # Over REST the libraries let the errors of requests through, and these are OSErrors.
        raise _from_connection(action, exc) from exc


@contextmanager
def request_errors(action: str) -> Iterator[None]:
    """
    Translate what requests and google-auth raise where no answer came at all.

    Raises:
        TransientError: No connection, no answer in time, or half of one; or no time left.
        ConfigurationError: There are no credentials, or they are refused; or an address is none.
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
        # A body that is read as it comes breaks off with an error of urllib3, not of requests.
        raise _from_connection(action, exc) from exc


@contextmanager
def kubernetes_errors(action: str) -> Iterator[None]:
    """
    Translate what the Kubernetes client raises where no answer came at all.

    Raises:
        TransientError: No connection, no answer in time, or half of one; or no time left.
        ConfigurationError: There are no credentials, or they are refused; or an address is none.
    """
    with IMPORTING:
        import urllib3
        from google.auth import exceptions as auth

    check_time_left(action)
    try:
        yield
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as exc:
        raise _from_connection(action, exc) from exc
    except auth.GoogleAuthError as exc:
        raise _from_auth(action, exc) from exc


def _from_api(action: str, error: Exception) -> EventError:
    """Return the class of an API's refusal, by its status where it has one."""
    with IMPORTING:
        from google.api_core import exceptions as api

    # A conflict (ABORTED among them) is with somebody who changes the same thing just now.
    transient = (api.ServerError, api.Conflict, api.Cancelled, api.RetryError)
    if isinstance(error, transient):
        return TransientError(f"cannot {action}: {error}")
    return from_status(getattr(error, "code", None) or 0, f"cannot {action}: {error}")


def _from_auth(action: str, error: Exception) -> EventError:
    """Return the class of a failure to get a token: google-auth says whether to try again."""
    with IMPORTING:
        from google.auth import exceptions as auth

    transient = (auth.TransportError, auth.ResponseError, auth.TimeoutError)
    if isinstance(error, transient) or getattr(error, "retryable", False):
        return TransientError(f"cannot {action}: {error}")
    return ConfigurationError(f"cannot {action}: {error}")


def _from_connection(action: str, error: Exception) -> EventError:
    """Return the class of a request without an answer: an address may be none at all."""
    if isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError):
        return ConfigurationError(f"cannot {action}: {error}")
    return TransientError(f"cannot {action}: {error}")
