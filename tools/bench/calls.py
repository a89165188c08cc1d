"""Count the calls that the functions make, as the servers see them."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.fault import Fault, Faults
from sandbox.messaging import AUDIT, GKE_EVENTS

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_JOB = re.compile(r"/jobs/[^/?]+")
_OF_THE_CLOUD = re.compile(rf"Push |Publish projects/[^/]+/topics/(?:{AUDIT}|{GKE_EVENTS})$")
_QUERY = re.compile(r"\?.*")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that reached a service, and when that was."""

    service: str
    text: str
    """``METHOD /path?query``, or the method and the resource of a gRPC call."""
    at: float

    @property
    def kind(self) -> str:
        """The kind of the call, without names that change each time."""
        text = _QUERY.sub("", self.text)
        text = _DIGEST.sub("DIGEST", _JOB.sub("/jobs/NAME", text))
        return f"{self.service}: {text}"


class CountedCalls(Faults):
    """
    No faults unless they are added, but a record of what was called.

    Deliveries of Pub/Sub and messages of the log router are not calls of a function.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[Call] = []
        self._changed = threading.Condition()

    def hit(self, service: str, call: str) -> Fault | None:
        """Take note of a call."""
        if not _OF_THE_CLOUD.match(call):
            with self._changed:
                self._calls.append(Call(service, call, time.perf_counter()))
                self._changed.notify_all()
        return super().hit(service, call)

    def take(self) -> list[Call]:
        """Return the calls since this was asked last."""
        with self._changed:
            calls, self._calls = self._calls, []
        return calls

    def wait_for(self, matches: Callable[[Call], bool], timeout_s: float) -> Call | None:
        """Wait for a call that matches, and return it; None if none came in time."""

        def find() -> Call | None:
            return next((call for call in self._calls if matches(call)), None)

        with self._changed:
            return self._changed.wait_for(find, timeout_s)


def is_manifest_request(call: Call) -> bool:
    """Whether a registry is asked for a manifest."""
    return call.service == "registry" and "/manifests/" in call.text


def is_job_post(call: Call) -> bool:
    """Whether a Job is made."""
    return call.service == "kubernetes" and bool(re.match(r"POST \S+/jobs(\?|$)", call.text))


def count_services(calls: list[Call]) -> dict[str, int]:
    """Return how many calls each service had."""
    return dict(sorted(Counter(call.service for call in calls).items()))
