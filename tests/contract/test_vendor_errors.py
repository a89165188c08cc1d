"""Every error of the libraries that we call has a class of ours: none is let through as a bug."""

import inspect
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import google.api_core.exceptions
import google.auth.exceptions
import pytest
import requests.exceptions
import urllib3.exceptions
from google.protobuf import json_format

from shared.clients.vendor_error import (
    TRANSIENT_STATUSES,
    from_status,
    google_errors,
    kubernetes_errors,
    request_errors,
)
from shared.errors import (
    ClusterUnavailableError,
    ConfigurationError,
    EventError,
    TransientError,
)

Translation = Callable[[str], AbstractContextManager[None]]

API_BASE = google.api_core.exceptions.GoogleAPIError
AUTH_BASE = google.auth.exceptions.GoogleAuthError
REQUESTS_BASE = requests.exceptions.RequestException
URLLIB3_BASE = urllib3.exceptions.HTTPError


def classes(module: ModuleType, base: type[Exception]) -> list[type[Exception]]:
    """List the exceptions that a library defines and raises."""
    return [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, base) and each.__module__ == module.__name__
    ]


def instance(error: type[Exception]) -> Exception:
    """Make an error, with any arguments that its constructor requires."""
    made = error.__new__(error)
    made.args = ("what went wrong",)
    # Constructors set these, and the text of an error needs them.
    vars(made).update(message="what went wrong", _errors=[], _details=[], _response=None)
    vars(made).update(_retryable=False, _cause=None, _error_info=None)
    vars(made).update(partial=0, expected=1, length=b"")
    return made


def translate(translation: Translation, error: Exception) -> EventError:
    with pytest.raises(EventError) as caught, translation("do it"):
        raise error
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("cannot do it: ")
    return caught.value


API = [
    pytest.param(google_errors, error, id=f"api_core-{error.__name__}")
    for error in classes(google.api_core.exceptions, API_BASE)
]
AUTH = [
    pytest.param(translation, error, id=f"auth-{error.__name__}-{translation.__name__}")
    for error in classes(google.auth.exceptions, AUTH_BASE)
    for translation in (google_errors, request_errors, kubernetes_errors)
]
REQUESTS = [
    pytest.param(translation, error, id=f"requests-{error.__name__}-{translation.__name__}")
    for error in classes(requests.exceptions, REQUESTS_BASE)
    for translation in (google_errors, request_errors)
]
URLLIB3 = [
    pytest.param(translation, error, id=f"urllib3-{error.__name__}-{translation.__name__}")
    for error in classes(urllib3.exceptions, URLLIB3_BASE)
    for translation in (request_errors, kubernetes_errors)
]


@pytest.mark.parametrize(("translation", "error"), [*API, *AUTH, *REQUESTS, *URLLIB3])
def test_errors_of_libraries_are_translated(
    translation: Translation, error: type[Exception]
) -> None:
    expected = {TransientError, ConfigurationError}
    if translation is kubernetes_errors:
        expected.add(ClusterUnavailableError)

    assert type(translate(translation, instance(error))) in expected


def test_libraries_have_the_errors_that_are_walked() -> None:
    assert len(API) > 30
    assert len(AUTH) > 30
    assert len(REQUESTS) > 30
    assert len(URLLIB3) > 40


@pytest.mark.parametrize(
    "translation",
    [google_errors, request_errors, kubernetes_errors],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset"), BrokenPipeError("pipe"), TimeoutError("late")]
)
def test_broken_connection_is_the_world_s_fault(translation: Translation, error: Exception) -> None:
    assert isinstance(translate(translation, error), TransientError)


@pytest.mark.parametrize(
    "translation",
    [google_errors, request_errors, kubernetes_errors],
    ids=lambda each: each.__name__,
)
def test_bug_is_let_through(translation: Translation) -> None:
    with pytest.raises(KeyError), translation("do it"):
        raise KeyError("a bug")


api = google.api_core.exceptions
TRANSIENT_API = {
    api.Aborted,
    api.AlreadyExists,
    api.BadGateway,
    api.Cancelled,
    api.Conflict,
    api.DataLoss,
    api.DeadlineExceeded,
    api.GatewayTimeout,
    api.InternalServerError,
    api.MethodNotImplemented,
    api.ResourceExhausted,
    api.RetryError,
    api.ServerError,
    api.ServiceUnavailable,
    api.TooManyRequests,
    api.Unknown,
}


@pytest.mark.parametrize("error", classes(api, API_BASE))
def test_api_s_refusal_is_the_deployment_s_fault_unless_it_passes(
    error: type[Exception],
) -> None:
    expected = TransientError if error in TRANSIENT_API else ConfigurationError

    assert type(translate(google_errors, instance(error))) is expected


@pytest.mark.parametrize("status", [*range(400, 419), *range(421, 432), 451, *range(500, 512), 599])
def test_status_means_the_same_over_every_way(status: int) -> None:
    expected = (
        TransientError if status >= 500 or status in TRANSIENT_STATUSES else ConfigurationError
    )
    by_library = translate(google_errors, api.from_http_status(status, "what went wrong"))

    # A conflict over one of Google's APIs is with somebody who writes at the same time.
    assert type(by_library) is (TransientError if status in {409, 499} else expected)
    assert type(from_status(status, "what went wrong")) is expected


auth = google.auth.exceptions


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (auth.TransportError("no route"), TransientError),
        (auth.RefreshError("invalid_grant"), ConfigurationError),
        (auth.RefreshError("internal_failure", retryable=True), TransientError),
        (auth.TimeoutError("late"), TransientError),
        (auth.ResponseError("half"), TransientError),
        (auth.DefaultCredentialsError("none found"), ConfigurationError),
        (auth.MalformedError("no key"), ConfigurationError),
        (auth.OSError("no such file"), ConfigurationError),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
@pytest.mark.parametrize("translation", [google_errors, request_errors, kubernetes_errors])
def test_missing_token_is_the_deployment_s_fault_unless_it_passes(
    translation: Translation, error: Exception, expected: type[EventError]
) -> None:
    assert type(translate(translation, error)) is expected


@pytest.mark.parametrize(
    ("translation", "error", "expected"),
    [
        (google_errors, requests.exceptions.ConnectionError("refused"), TransientError),
        (google_errors, requests.exceptions.ReadTimeout("late"), TransientError),
        (google_errors, requests.exceptions.InvalidURL("no host"), ConfigurationError),
        (request_errors, requests.exceptions.ConnectTimeout("late"), TransientError),
        (request_errors, requests.exceptions.ChunkedEncodingError("half"), TransientError),
        (request_errors, requests.exceptions.SSLError("expired"), TransientError),
        (request_errors, requests.exceptions.MissingSchema("no scheme"), ConfigurationError),
        (request_errors, requests.exceptions.InvalidProxyURL("no host"), ConfigurationError),
        (request_errors, urllib3.exceptions.ProtocolError("half"), TransientError),
        (request_errors, urllib3.exceptions.DecodeError("no gzip"), TransientError),
        (kubernetes_errors, urllib3.exceptions.SSLError("expired"), ClusterUnavailableError),
        (kubernetes_errors, urllib3.exceptions.LocationParseError("[::1"), ConfigurationError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_missing_answer_is_transient_unless_no_service_was_found(
    translation: Translation, error: Exception, expected: type[EventError]
) -> None:
    assert type(translate(translation, error)) is expected


def test_half_an_answer_is_the_world_s_fault() -> None:
    try:
        json.loads("{")
    except json.JSONDecodeError as exc:
        half: Any = requests.exceptions.JSONDecodeError(exc.msg, exc.doc, exc.pos)
    else:
        raise AssertionError

    assert isinstance(translate(request_errors, half), TransientError)


@pytest.mark.parametrize("error", [json_format.ParseError, json_format.SerializeToJsonError])
def test_answer_that_is_no_message_is_the_world_s_fault(error: type[Exception]) -> None:
    assert isinstance(translate(google_errors, error("no JSON")), TransientError)
