"""The measured scenarios: a function and the delivery that it receives."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sandbox.clock import format_time

EVENTS = Path(__file__).resolve().parents[2] / "tests" / "events"
"""Messages in the shapes and sizes that Google really sends."""

NODE = "gke-gpu-l4-spot-7c1e44d0-x2bq"
"""The node that the payloads speak of."""

POD = "trainer-6d9f7c5b8-qk4zt"
"""The pod that pulls its image there."""

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}

KNOWN = "anyscale/ray-ml:2.7.0"

BLANK, NAIVE = "blank", "naive"
DETECTORS = ("build_notification", "registry_push", "audit_log")

Kind = Literal[
    "ignored",
    "published",
    "new reference",
    "known reference",
    "fact written",
    "reference spread",
    "ticks sent",
    "cluster swept",
]


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A delivery, and the ending without which its figures count for nothing.

    ``evidence`` is a field that the delivery's log line must have. The blank function writes no
    line, so it has neither; the naive one says what it did under ``done``.
    """

    function: str
    kind: Kind
    data: Mapping[str, Any]
    disposition: str | None = None
    evidence: str | None = None

    @property
    def name(self) -> str:
        """Its unique name."""
        return f"{self.function}: {self.kind}"

    @property
    def is_new(self) -> bool:
        """Whether each delivery must name an image that none has named before."""
        return self.kind == "new reference"

    def of_image(self, image: str) -> "Scenario":
        """Return the same delivery of another image."""
        return replace(self, data={**self.data, "image": image})

    def body(self, message_id: str, publish_time: datetime) -> bytes:
        """Return the body of a push, as Pub/Sub sends it."""
        message = {
            "data": base64.b64encode(json.dumps(self.data).encode()).decode(),
            "messageId": message_id,
            "publishTime": format_time(publish_time),
        }
        subscription = f"projects/demo/subscriptions/prestream-{self.function.replace('_', '-')}"
        return json.dumps({"message": message, "subscription": subscription}).encode()

    def is_proven_by(self, line: Mapping[str, Any]) -> bool:
        """Whether a log line says that the delivery ended as it should."""
        return line.get("disposition") == self.disposition and bool(line.get(self.evidence or ""))

    def is_written_in(self, line: Mapping[str, Any]) -> bool:
        """Whether a log line is the one of a delivery."""
        return ("done" if self.function == NAIVE else "disposition") in line


def list_scenarios(now: datetime) -> tuple[Scenario, ...]:
    """
    Return the blank function first, the naive one, then each kind of delivery to each function.

    Node reports have the time ``now``: Cloud Logging refuses entries older than a month.
    """
    built = _payload("build-success")
    return (
        Scenario(BLANK, "ignored", _payload("build-working")),
        # An empty result proves nothing.
        Scenario(NAIVE, "ignored", _payload("build-working")),
        Scenario(NAIVE, "published", built, None, "done"),
        Scenario(NAIVE, "new reference", make_reference(""), None, "done"),
        Scenario(NAIVE, "known reference", make_reference(KNOWN)),
        Scenario(NAIVE, "fact written", make_pulled(now), None, "done"),
        _ignored("build_notification", _payload("build-working")),
        Scenario("build_notification", "published", built, "handled", "published"),
        _ignored("registry_push", _payload("push-delete-tag")),
        Scenario(
            "registry_push", "published", _payload("push-insert-tagged"), "handled", "published"
        ),
        _ignored("audit_log", _payload("audit-service-create")),
        Scenario(
            "audit_log", "published", _payload("audit-deployment-create"), "handled", "published"
        ),
        Scenario("image_reference", "new reference", make_reference(""), "handled", "created"),
        Scenario("image_reference", "known reference", make_reference(KNOWN), "handled", "known"),
        _ignored("pull_event", _payload("events-node-ready")),
        Scenario("pull_event", "fact written", make_pulled(now), "handled", "fact"),
    )


def list_further_scenarios() -> tuple[Scenario, ...]:
    """Return the kinds of delivery that are counted, and not timed."""
    spread = make_reference(KNOWN)
    del spread["cluster"]
    return (
        Scenario("image_reference", "reference spread", spread, "handled", "published"),
        Scenario("scheduled_sweep", "ticks sent", {}, "handled", "published"),
        Scenario("scheduled_sweep", "cluster swept", {"cluster": CLUSTER}, "handled", "images"),
    )


def _ignored(function: str, data: Mapping[str, Any]) -> Scenario:
    return Scenario(function, "ignored", data, "ignored", "reason")


def make_reference(image: str, cluster: str = CLUSTER) -> dict[str, Any]:
    """Return a reference message for the L4 nodes of a cluster."""
    return {
        "image": image,
        "cluster": cluster,
        "placement": {"nodeSelector": L4, "tolerations": []},
        "cause": {"kind": "audit_log", "id": "bench"},
    }


def make_pod() -> dict[str, Any]:
    """Return the pod whose pull a node reports."""
    image = f"us-central1-docker.pkg.dev/demo/dockerhub-mirror/{KNOWN}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": "ml"},
        "spec": {"nodeName": NODE, "containers": [{"name": "trainer", "image": image}]},
    }


def make_pulled(now: datetime) -> dict[str, Any]:
    """Return what a node says of a pull that just ended."""
    entry = _payload("events-pulled-v1.30")
    event, at = entry["jsonPayload"], format_time(now)
    event["metadata"]["creationTimestamp"] = at
    entry["timestamp"] = event["lastTimestamp"] = at
    return entry


def _payload(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return body
