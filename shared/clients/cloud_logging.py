"""Write facts to the log ``prestream``."""

import functools
from typing import Any

from shared.clients.errors import google_errors
from shared.domain.facts import Fact

LOG_NAME = "prestream"


class FactLog:
    """
    Writes facts, each before its delivery is acknowledged.

    Entries go straight over HTTP: what a background thread holds would be lost with the
    instance.
    """

    def __init__(self, project: str, *, emulator_host: str | None = None) -> None:
        self._project = project
        self._emulator_host = emulator_host

    def write(self, fact: Fact) -> None:
        """
        Write a fact; it is stored when this returns.

        Raises:
            TransientError: Cloud Logging is unavailable.
            ConfigurationError: It refuses our identity.
        """
        with google_errors(f"write to log {LOG_NAME} of project {self._project}"):
            self._logger.log_struct(
                dict(fact.payload),
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
