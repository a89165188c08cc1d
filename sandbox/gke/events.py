"""Kubernetes Events, recorded as client-go's recorder does."""

import threading

from sandbox.clock import Clock
from sandbox.gke.event_correlation import Correlator, Occurrence, Verdict
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, format_seconds
from sandbox.kubernetes.statuses import ApiError


class EventRecorder:
    """
    Records what one component has to say, as core/v1 Events.

    An Event that the API server refuses is lost, as it is for client-go.
    """

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        component: str,
        user: str,
        host: str = "",
        reports: bool = True,
    ) -> None:
        self._api = api
        self._clock = clock
        self._user = user
        self._source = {"component": component} | ({"host": host} if host else {})
        self._reporting = {"reportingComponent": component, "reportingInstance": host}
        if not reports:
            self._reporting = {"reportingComponent": "", "reportingInstance": ""}
        self._correlator = Correlator()
        self._lock = threading.Lock()

    def normal(self, about: Body, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something happened as it should."""
        self._record(about, "Normal", reason, message, field_path)

    def warning(self, about: Body, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something went wrong."""
        self._record(about, "Warning", reason, message, field_path)

    def _record(self, about: Body, kind: str, reason: str, message: str, field_path: str) -> None:
        reference = make_reference(about, field_path)
        namespace = reference.get("namespace") or "default"
        occurrence = Occurrence(
            (reference["kind"], namespace, reference["name"], reference.get("uid", "")),
            field_path,
            kind,
            reason,
            message,
        )
        now = self._clock.now()
        with self._lock:
            verdict = self._correlator.correlate(occurrence, now)
            if verdict is None:
                return
            body = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": verdict.name, "namespace": namespace},
                "involvedObject": reference,
                "reason": reason,
                "message": verdict.message,
                "source": self._source,
                "firstTimestamp": format_seconds(verdict.first),
                "lastTimestamp": format_seconds(now),
                "count": verdict.count,
                "type": kind,
                **self._reporting,
            }
            self._send(body, namespace, verdict)

    def _send(self, body: Body, namespace: str, verdict: Verdict) -> None:
        try:
            if verdict.count > 1 and self._patch(body, namespace, verdict.name):
                return
            self._api.create("events", body, namespace, user=self._user)
        except ApiError:
            self._correlator.forget(verdict)

    def _patch(self, body: Body, namespace: str, name: str) -> bool:
        """Count a repeat in its Event; False if that Event is gone."""
        changed = {key: body[key] for key in ("count", "lastTimestamp", "message")}
        try:
            self._api.patch("events", name, changed, namespace, user=self._user)
        except ApiError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True


def make_reference(about: Body, field_path: str = "") -> Body:
    """Return an ObjectReference to an object."""
    metadata = about["metadata"]
    reference = {
        "kind": about["kind"],
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": metadata.get("uid"),
        "apiVersion": about["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion"),
        "fieldPath": field_path,
    }
    return {key: value for key, value in reference.items() if value}
