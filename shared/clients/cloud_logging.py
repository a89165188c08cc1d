"""Write facts to the log ``prestream``."""

import functools
from datetime import datetime
from typing import Any, Protocol

from shared.clients.errors import google_errors

LOG_NAME = "prestream"


class Entry(Protocol):
    """What is written: a payload that is known by its insert id, at the time it happened."""

    @property
    def payload(self) -> dict[str, Any]: ...
    @property
    def insert_id(self) -> str: ...
    @property
    def timestamp(self) -> datetime: ...
    @property
    def severity(self) -> str: ...


class FactLog:
    """
    Writes facts, each before its delivery is acknowledged.

    Entries go straight over HTTP: what a background thread holds would be lost with the
    instance.
    """

    def __init__(self, project: str, *, emulator_host: str | None = None) -> None:
        self._project = project
        self._emulator_host = emulator_host

    def write(self, fact: Entry) -> None:
        """
        Write a fact; it is stored when this returns.

        Raises:
            TransientError: Cloud Logging is unavailable.
            ConfigurationError: It refuses our identity.
        """
        with google_errors(f"write to log {LOG_NAME} of project {self._project}"):
            self._logger.log_struct(
                fact.payload,
                insert_id=fact.insert_id,
                timestamp=fact.timestamp,
                severity=fact.severity,
            )

    @functools.cached_property
    def _logger(self) -> Any:
        from google.cloud.logging_v2.client import Client

        if self._emulator_host is None:
            client = Client(project=self._project, _use_grpc=False)
        else:
            from google.auth.credentials import AnonymousCredentials

            client = Client(
                project=self._project,
                credentials=AnonymousCredentials(),
                client_options={"api_endpoint": f"http://{self._emulator_host}"},
                _use_grpc=False,
            )
        return client.logger(LOG_NAME)
