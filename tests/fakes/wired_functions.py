"""One service that replaces all that a function is wired to, and a valid message for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.domain.cluster import Cluster, ClusterName
from shared.domain.disposition import Outcome, ignored
from tests.fakes.node_reports import log_entry, node_event
from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import ServedFunction


@dataclass
class Wired:
    """Replaces the services of a function: raises ``error``, or returns ``outcome``."""

    error: Exception | None = None
    step_error: Exception | None = None
    """Raised by the step alone."""
    outcome: Outcome = field(default_factory=lambda: Outcome("handled", {"image": "a:1"}))

    def __call__(self) -> "Wired":
        if self.error is not None:
            raise self.error
        return self

    def publish(self, requests: Any) -> None:
        """Replace the publisher."""

    def warm(self, *delivery: Any) -> Outcome:
        """Replace the step of image_reference."""
        self._fail()
        return self.outcome if delivery else ignored("nothing was delivered")

    def fetch_cluster(self, name: ClusterName) -> Cluster:
        """Replace the Container API."""
        return Cluster(name, has_accelerators=True)

    def connect(self, cluster: Any) -> Any:
        """Replace the directory of clusters."""
        return cluster

    def sweep(self, *cluster: Any) -> Outcome:
        """Replace the step of scheduled_sweep."""
        self._fail()
        return self.outcome if cluster else ignored("no cluster was named")

    def observe(self, event: Any) -> Outcome:
        """Replace the step of pull_event."""
        self._fail()
        return self.outcome if event else ignored("nothing was delivered")

    def report_refusal(self, *refusal: Any) -> Outcome:
        """Replace the report of scheduled_sweep about a cluster."""
        return ignored(str(refusal[-1]))

    def _fail(self) -> None:
        if self.step_error is not None:
            raise self.step_error


REFERENCE = {"image": "a:1", "cluster": "projects/demo/locations/us-central1/clusters/gpu"}
PUSHED = {
    "action": "INSERT",
    "digest": f"us-central1-docker.pkg.dev/demo/apps/a@sha256:{'0' * 64}",
    "tag": "us-central1-docker.pkg.dev/demo/apps/a:1",
}
STREAMED = log_entry(node_event("Image gcr.io/a/b:1 is backed by image streaming."))
TICK = {"cluster": "projects/demo/locations/us-central1/clusters/gpu"}
WIRING: dict[str, tuple[tuple[str, ...], Any]] = {
    "audit_log": (("publisher",), load_event("audit-deployment-create")),
    "build_notification": (("publisher",), load_event("build-success")),
    "image_reference": (("warmer", "directory"), REFERENCE),
    "pull_event": (("observer",), STREAMED),
    "registry_push": (("publisher",), PUSHED),
    "scheduled_sweep": (("sweeper", "directory"), TICK),
}
"""By function: the attributes of its wiring, and a message that it handles."""

Serve = Callable[[str], ServedFunction]
Lines = Callable[[], list[dict[str, Any]]]
