"""Write facts to the log ``prestream``."""

import functools
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from shared.clients.deadline import TIMEOUT
from shared.clients.vendor_error import google_errors
from shared.clients.vendor_import import IMPORTING
from shared.errors import InvalidEventError

if TYPE_CHECKING:
    from shared.domain.fact import Fact

LOG_NAME = "prestream"


def leave_out_grpc(environ: MutableMapping[str, str]) -> None:
    """
    Make Google's library skip its gRPC part, which halves its import time.

    Facts are written over HTTP. Only this library reads the variable, at its first import:
    https://docs.cloud.google.com/python/docs/reference/logging/latest/google.cloud.logging_v2.client.Client
    """
    environ.setdefault("GOOGLE_CLOUD_DISABLE_GRPC", "true")


class FactLog:
    """
    Writes facts, each before its delivery is acknowledged.

    Entries are sent at once over HTTP: entries of a background thread would be lost with the
    instance.
    """

    def __init__(self, project: str, *, emulator_host: str | None = None) -> None:
        self._project = project
        self._emulator_host = emulator_host

    def write(self, fact: "Fact") -> None:
        """
        Write a fact; it is stored when this returns.

        Raises:
            TransientError: Cloud Logging is unavailable.
            ConfigurationError: Cloud Logging refuses our identity.
            InvalidEventError: Cloud Logging refuses the fact: an event may have any time, and
                entries far from now are not accepted.
        """
        with IMPORTING:
            from google.api_core.exceptions import BadRequest

        with google_errors(f"write to log {LOG_NAME} of project {self._project}"):
            try:
                # A Logger would add an entry about the library to our log.
                self._api.write_entries([self._entry(fact)])
            except BadRequest as exc:
                raise InvalidEventError(f"Cloud Logging refuses the fact: {exc}") from exc

    def _entry(self, fact: "Fact") -> dict[str, Any]:
        with IMPORTING:
            from google.cloud.logging_v2.entries import StructEntry

        entry: Any = StructEntry
        known: dict[str, Any] = entry(
            log_name=f"projects/{self._project}/logs/{LOG_NAME}",
            payload=dict(fact.payload),
            insert_id=fact.insert_id,
            timestamp=fact.timestamp,
            severity=fact.severity,
        ).to_api_repr()
        return known

    @functools.cached_property
    def _api(self) -> Any:
        api = self._client.logging_api
        # The library's own timeout is one minute.
        api.api_request = functools.partial(api.api_request, timeout=TIMEOUT)
        return api

    @functools.cached_property
    def _client(self) -> Any:
        with IMPORTING:
            from google.cloud.logging_v2.client import Client

        if self._emulator_host is None:
            return Client(project=self._project, _use_grpc=False)
        with IMPORTING:
            from google.auth.credentials import AnonymousCredentials

        return Client(
            project=self._project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": f"http://{self._emulator_host}"},
            _use_grpc=False,
        )
