"""Read facts from the log ``prestream``, or the entries of another log, page by page."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from shared.clients.deadline import FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S
from shared.clients.fact_log import LOG_NAME, FactLog
from shared.clients.vendor_error import google_errors
from shared.clients.vendor_import import IMPORTING
from shared.domain.timestamp import format_time

PAGE_SIZE = 1000
"""The largest page of Cloud Logging."""


class FactReader(FactLog):
    """Reads the log of facts."""

    def __init__(
        self,
        project: str,
        *,
        emulator_host: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """
        Describe the log to read.

        Args:
            project: The project of the log.
            emulator_host: The address of a local server in place of Cloud Logging.
            patience_s: How long one read retries; a caller that polls needs little.
        """
        super().__init__(project, emulator_host=emulator_host)
        self._patience_s = patience_s

    def read(
        self, since: datetime, more: str = "", log: str = LOG_NAME
    ) -> Iterator[Mapping[str, Any]]:
        """
        Yield the entries since a time, oldest first, holding one page at a time.

        Args:
            since: The earliest timestamp.
            more: Further conditions of the filter, in the logging query language.
            log: The ID of the log.

        Raises:
            TransientError: Cloud Logging is unavailable, or our quota of it stays spent.
            ConfigurationError: It refuses our identity, or the filter.
        """
        with IMPORTING:
            from google.api_core import exceptions
            from google.api_core.retry import Retry, if_exception_type

        name = f"projects/{self._project}/logs/{log}"
        terms = [f'logName="{name}"', f'timestamp>="{format_time(since)}"', more]
        query = {
            "resourceNames": [f"projects/{self._project}"],
            "filter": " AND ".join(term for term in terms if term),
            "orderBy": "timestamp asc",
            "pageSize": PAGE_SIZE,
        }
        retry = Retry(
            predicate=if_exception_type(exceptions.TooManyRequests, exceptions.ServerError),
            initial=FIRST_PAUSE_S,
            maximum=LONGEST_PAUSE_S,
            timeout=self._patience_s,
        )
        with google_errors(f"read log {log} of project {self._project}"):
            fetch = retry(self._api.api_request)
            while True:
                page = fetch(method="POST", path="/entries:list", data=query)
                yield from page.get("entries", ())
                token = page.get("nextPageToken")
                if not token:
                    return
                query["pageToken"] = token
