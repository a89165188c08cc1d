"""
Read resources of Google's services, and record why a read failed.

Half of these resources lack a client library, and REST is enough to read a few fields: https://docs.cloud.google.com/apis/docs/http
"""

import functools
import json
import threading
from collections.abc import Mapping
from typing import Any

from cli.connect.service_error import explain
from cli.doctor.check import command
from cli.doctor.response import Body, GoogleRequest, NotFound, Response, Service, Unavailable
from shared.clients.deadline import TIMEOUT
from shared.clients.endpoint import Endpoints
from shared.clients.google_session import make_session
from shared.clients.vendor_error import request_errors
from shared.domain.json_access import mapping_of, mappings_of, text_of
from shared.errors import EventError

_OK, _UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_MAX_MESSAGE = 300

_OFF = "SERVICE_DISABLED"
"""The reason in an answer of 403 whose cause is that the API is off in the caller's project."""

_LOG_IN = "gcloud auth application-default login"


class GoogleReader:
    """
    Reads resources with the identity of the person who runs the command.

    Args:
        endpoints: The local services, if any. With a local cloud, no service without a
            local service is asked: a request that is meant for a local cloud never goes to Google.
        bases: Addresses of services, with their scheme, before those of ``endpoints``.
    """

    def __init__(self, endpoints: Endpoints, *, bases: Mapping[Service, str] | None = None) -> None:
        self._bases: dict[Service, str] = {**_local_bases(endpoints), **(bases or {})}
        self._is_local = bool(self._bases or endpoints.pubsub or endpoints.logging)
        self._known: dict[GoogleRequest, Response] = {}
        self._lock = threading.Lock()

    def read(self, look: GoogleRequest) -> Response:
        """Return the response to a request; each is sent once."""
        with self._lock:
            if look in self._known:
                return self._known[look]
        reading = self._read(look)
        with self._lock:
            return self._known.setdefault(look, reading)

    def _read(self, look: GoogleRequest) -> Response:
        base = self._bases.get(look.service)
        if base is None and self._is_local:
            return Unavailable(str(look), "it has no local service")
        session = self._session
        if isinstance(session, str):
            return Unavailable(str(look), session, fix=_LOG_IN)
        address = f"{base or f'https://{look.service}.googleapis.com'}/{look.path}"
        try:
            with request_errors(f"read {look}"):
                answer = session.request(look.method, address, timeout=TIMEOUT)
                return _parse(look, answer.status_code, answer.content)
        except EventError as exc:
            # The error repeats the request.
            return Unavailable(str(look), f"no answer: {exc.__cause__ or exc}"[:_MAX_MESSAGE])

    @functools.cached_property
    def _session(self) -> Any:
        """
        Return the session, or the reason why it cannot be made.

        Both are remembered, because each vain search for credentials takes seconds.
        """
        try:
            return make_session("local" if self._is_local else None)
        except EventError as exc:
            return explain(exc)[:_MAX_MESSAGE]


def _local_bases(endpoints: Endpoints) -> dict[Service, str]:
    """Return the local services that describe resources; those for messages and logs do not."""
    given: dict[Service, str | None] = {
        "artifactregistry": endpoints.artifact_registry,
        "container": endpoints.gke,
    }
    return {service: f"http://{host}" for service, host in given.items() if host}


def _parse(look: GoogleRequest, status: int, content: bytes) -> Response:
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        body = None
    if status == _OK and isinstance(body, dict):
        return body
    error = mapping_of(mapping_of(body).get("error"))
    message = (text_of(error.get("message")) or "")[:_MAX_MESSAGE]
    # A server without the path answers with an error of another form than the API's.
    if status == _NOT_FOUND and error:
        return NotFound(str(look))
    said = f"{status} {message}".strip()
    if status == _UNAUTHENTICATED:
        return Unavailable(str(look), said, fix=_LOG_IN)
    if status != _FORBIDDEN:
        return Unavailable(str(look), said)
    if enable := _enable(error):
        return Unavailable(str(look), said, fix=enable)
    return Unavailable(str(look), said, look.permission, _grant(look))


def _enable(error: Body) -> str | None:
    """
    Return the command that enables an API, if it is off in the caller's project.

    https://docs.cloud.google.com/apis/design/errors#error_info
    """
    for each in mappings_of(error.get("details")):
        metadata = mapping_of(each.get("metadata"))
        service, consumer = text_of(metadata.get("service")), text_of(metadata.get("consumer"))
        if each.get("reason") == _OFF and service and consumer:
            project = consumer.removeprefix("projects/")
            return command("gcloud", "services", "enable", service, f"--project={project}")
    return None


def _grant(look: GoogleRequest) -> str:
    granting = command(
        "gcloud", "projects", "add-iam-policy-binding", look.project, f"--role={look.role}"
    )
    return f'{granting} --member="user:$(gcloud config get account)"'
