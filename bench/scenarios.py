"""What is measured: a function, and a delivery that it is sent."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.clock import format_time

PAYLOADS = Path(__file__).resolve().parent.parent / "tests" / "contract" / "payloads"
"""Messages in the shapes and sizes that Google really sends."""

NODE = "gke-gpu-l4-spot-7c1e44d0-x2bq"
"""The node that the payloads speak of."""

_CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
_L4 = {"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}, "tolerations": []}

NEW = "vllm/vllm-openai:v0.6.3"
KNOWN = "anyscale/ray-ml:2.7.0"


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A delivery, and the ending without which its figures count for nothing.

    ``evidence`` is a field that the delivery's log line must have. The blank function writes no
    line, so it has neither.
    """

    function: str
    delivery: str
    data: Mapping[str, Any]
    disposition: str | None = None
    evidence: str | None = None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.function}: {self.delivery}"

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


def list_scenarios(now: datetime) -> tuple[Scenario, ...]:
    """
    Return the blank function first, then each kind of delivery to each function.

    What nodes report happened ``now``: Cloud Logging takes no entry that is older than a month.
    """
    return (
        Scenario("blank", "any", _payload("build-working")),
        _ignored("build_notification", _payload("build-working")),
        Scenario(
            "build_notification", "published", _payload("build-success"), "handled", "published"
        ),
        _ignored("audit_log", _payload("audit-service-create")),
        Scenario(
            "audit_log", "published", _payload("audit-deployment-create"), "handled", "published"
        ),
        Scenario("image_reference", "new reference", _reference(NEW), "handled", "created"),
        Scenario("image_reference", "known reference", _reference(KNOWN), "handled", "known"),
        _ignored("pull_event", _payload("events-node-ready")),
        Scenario("pull_event", "fact written", _pulled(now), "handled", "fact"),
    )


def _ignored(function: str, data: Mapping[str, Any]) -> Scenario:
    return Scenario(function, "ignored", data, "ignored", "reason")


def _reference(image: str) -> dict[str, Any]:
    return {
        "image": image,
        "cluster": _CLUSTER,
        "placement": _L4,
        "cause": {"kind": "audit_log", "id": "bench"},
    }


def _pulled(now: datetime) -> dict[str, Any]:
    entry = _payload("events-pulled-v1.30")
    entry["timestamp"] = entry["jsonPayload"]["lastTimestamp"] = format_time(now)
    return entry


def _payload(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))
    return body
