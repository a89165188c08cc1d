"""What the scheduler says: Events of the newer form, whose repeats are a series."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox.clock import Clock, format_time
from sandbox.gke.events import make_reference
from sandbox.kubernetes.api import Api, ApiError
from sandbox.kubernetes.bodies import Body

_REPORTER = "default-scheduler"
_USER = "system:kube-scheduler"
_SERIES = timedelta(minutes=6)
"""After which a series that is not repeated has ended, and one that is repeated is written."""


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    last: datetime
    written: datetime


class SchedulerEvents:
    """
    Records in the way of ``events.k8s.io``: eventTime, no counts, no source.

    client-go's ``tools/events`` writes the first repeat as a series of two, and later ones only
    every six minutes.
    """

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._series: dict[tuple[str, str], _Series] = {}

    def scheduled(self, pod: Body, node: str) -> None:
        """Say where a pod goes."""
        metadata = pod["metadata"]
        text = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        self._record(pod, "Normal", "Scheduled", "Binding", text)

    def failed(self, pod: Body, message: str) -> None:
        """Say why a pod cannot go anywhere."""
        self._record(pod, "Warning", "FailedScheduling", "Scheduling", message)

    def _record(self, pod: Body, kind: str, reason: str, action: str, message: str) -> None:
        now = self._clock.now()
        key = (pod["metadata"]["uid"], reason)
        series = self._series.get(key)
        try:
            if series is not None and now - series.last < _SERIES:
                self._repeat(pod, series, now)
                return
            name = f"{pod['metadata']['name']}.{int(now.timestamp() * 1e6) * 1000:x}"
            self._series[key] = _Series(name, 1, now, now)
            body = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": pod["metadata"]["namespace"]},
                "involvedObject": make_reference(pod),
                "type": kind,
                "reason": reason,
                "action": action,
                "message": message,
                "eventTime": format_time(now),
                "reportingComponent": _REPORTER,
                "reportingInstance": f"{_REPORTER}-0",
            }
            self._api.create("events", body, pod["metadata"]["namespace"], user=_USER)
        except ApiError:
            self._series.pop(key, None)

    def _repeat(self, pod: Body, series: _Series, now: datetime) -> None:
        series.count += 1
        series.last = now
        if series.count > 2 and now - series.written < _SERIES:  # noqa: PLR2004
            return
        series.written = now
        counted = {"count": series.count, "lastObservedTime": format_time(now)}
        self._api.patch(
            "events",
            series.name,
            {"series": counted},
            pod["metadata"]["namespace"],
            user=_USER,
        )
