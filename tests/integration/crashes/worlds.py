"""A frozen cloud with a history, in which every scenario begins."""

import base64
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sandbox.catalogue.image import Image
from sandbox.demo.case import make_deployment
from sandbox.fault import Fault
from sandbox.local_cloud import PROJECT, LocalCloud
from sandbox.messaging import AUDIT, GKE_EVENTS, REFERENCES
from sandbox.pubsub.message import Message
from tests.integration.crashes.instances import Answer, Functions, Instance
from tests.integration.crashes.strikes import Strikes
from tests.integration.warmup_jobs import Job, annotation, is_end_of

Payload = Mapping[str, Any]

ADMIN = "admin@example.com"
DEV = "dev@example.com"
NAMESPACE = "ml"
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
SCALE = 400.0
TIMEOUT_S = 30.0
MEDIUM = 310_000_000
APPS = "us-central1-docker.pkg.dev/demo/apps"
HUB = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
CONFIG = "{period_hours: 8760, max_running: 1}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for a function with its settings."""

    function: str
    data: bytes
    attributes: Mapping[str, str]
    config: str = CONFIG
    message_id: str = "7000000000000001"


class World:
    """The cloud, its functions, and the history before it was frozen."""

    def __init__(self, archives: Path, python: Path) -> None:
        self.strikes = Strikes()
        self.cloud = LocalCloud(scale=SCALE, faults=self.strikes)
        self.api = self.cloud.kubernetes.api
        self._functions = Functions(archives, python)
        self.digests: dict[str, str] = {}
        """Digests of the pushed images, by reference."""
        self._configs: dict[str, str] = {}

    def start(self) -> None:
        """Start the cloud, and load the functions."""
        self.cloud.start()
        self.cloud.apply_manifests()
        labels = {"prestream.dev/rewrite": "enabled"}
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": labels},
        }
        self.api.create("namespaces", body, user=ADMIN)
        for letter in "abcd":
            self.cloud.gke.add_node(
                f"gke-gpu-l4-{letter}",
                pool="l4-spot",
                accelerator="nvidia-l4",
                accelerator_count=4,
                spot=True,
            )
        self._functions.wait_until_ready()

    def stop(self) -> None:
        """Stop everything."""
        self._functions.stop()
        self.cloud.stop()

    # Deliveries.

    def instance(self, delivery: Delivery) -> AbstractContextManager[Instance]:
        """Start a fresh instance of the function that a delivery is for."""
        environ = self.cloud.environ(delivery.function)
        environ["PRESTREAM_CONFIG"] = self._configured(delivery.config)
        return self._functions.instance(delivery.function, environ)

    def envelope(self, delivery: Delivery) -> Payload:
        """Return the body that Pub/Sub pushes for a delivery."""
        message = {
            "data": base64.b64encode(delivery.data).decode(),
            "attributes": dict(delivery.attributes),
            "messageId": delivery.message_id,
            "publishTime": self.cloud.clock.now().isoformat(),
        }
        return {"message": message, "subscription": f"projects/{PROJECT}/subscriptions/s"}

    def deliver(self, delivery: Delivery) -> Answer:
        """Deliver undisturbed, to a fresh instance."""
        with self.instance(delivery) as instance:
            answer = instance.deliver(self.envelope(delivery))
        assert answer is not None
        assert answer.is_acknowledged, answer.lines
        return answer

    def _configured(self, config: str) -> str:
        if config not in self._configs:
            _, path = tempfile.mkstemp(suffix=".yaml", dir=self.cloud.folder, text=True)
            Path(path).write_text(config, encoding="utf-8")
            self._configs[config] = path
        return self._configs[config]

    # Actions of people and nodes.

    def add_image(self, name: str, registry: str = "docker.io", size: int = MEDIUM) -> str:
        """Publish an image upstream, and return its reference."""
        image = Image((1_000_000, size - 1_000_000), build=f"{registry}/{name}")
        self.cloud.catalogue.add(f"{registry}/{name}", "1", image)
        return f"{registry}/{name}:1"

    def push_image(self, name: str, size: int = MEDIUM) -> str:
        """Push an image to a repository of the project's own, and return its reference."""
        image = Image((1_000_000, size - 1_000_000), build=name)
        digest = self.cloud.artifact_registry.push(f"{APPS}/{name}", "1", image)
        self.digests[f"{APPS}/{name}:1"] = digest
        return f"{APPS}/{name}:1"

    def ask(self, image: str, config: str = CONFIG, **fields: Any) -> Delivery:
        """Return a reference for the cluster, by default for its L4 nodes."""
        message = {
            "image": image,
            "cluster": self.cloud.cluster,
            "placement": {"nodeSelector": L4},
            **fields,
        }
        return Delivery("image_reference", json.dumps(message).encode(), {}, config)

    def deploy(self, name: str, image: str, **fields: Any) -> None:
        """Create a Deployment that asks for a GPU."""
        body = make_deployment(name, image, node_selector=L4, **fields)
        body["metadata"]["namespace"] = NAMESPACE
        self.api.create("deployments.apps", body, NAMESPACE, user=DEV)

    def job(self, image: str) -> Job:
        """Return the only warmup Job of an image."""
        (found,) = [
            each
            for each in self.api.list("jobs.batch", "prestream")
            if annotation(each, "image") == image
        ]
        return found

    def patch_job(self, image: str, patch: Payload, subresource: str = "") -> None:
        """Change the Job of an image, as an administrator or a controller does."""
        name = self.job(image)["metadata"]["name"]
        self.api.patch(
            "jobs.batch", name, dict(patch), "prestream", user=ADMIN, subresource=subresource
        )

    def prove(self, mirror: str | None) -> None:
        """Set the proven mirror of Docker Hub, or remove it."""
        data: dict[str, Any] = {"data": {"docker.io": mirror}}
        self.api.patch("configmaps", "proven-mirrors", data, "prestream", user=ADMIN)

    def delete_jobs(self, *, but: str = "") -> None:
        """Delete the warmup Jobs of all images but one."""
        for each in self.api.list("jobs.batch", "prestream"):
            if annotation(each, "image") != but:
                name = each["metadata"]["name"]
                self.api.delete("jobs.batch", name, "prestream", user=ADMIN)

    def delete_deployments(self) -> None:
        """Delete all Deployments, so that no image is in use."""
        for each in self.api.list("deployments.apps", NAMESPACE):
            name = each["metadata"]["name"]
            self.api.delete("deployments.apps", name, NAMESPACE, user=DEV)

    def advance(self, hours: float) -> None:
        """Advance the clock."""
        self.cloud.clock.advance(timedelta(hours=hours))

    @contextmanager
    def refusing(self, call: str, status: int) -> Iterator[None]:
        """Let the registry refuse the requests of nodes."""
        fault = self.cloud.faults.add(Fault("registry", call, status))
        try:
            yield
        finally:
            self.cloud.faults.remove(fault)

    # Reports of the cloud.

    def entries(self, topic: str) -> Iterable[tuple[Payload, Message]]:
        """Return the log entries that were published to a topic."""
        for message in self.messages(topic):
            yield json.loads(message.data), message

    def messages(self, topic: str) -> list[Message]:
        """Return the messages that were published to a topic."""
        assert self.cloud.pubsub is not None
        return self.cloud.pubsub.messages(f"projects/{PROJECT}/topics/{topic}")

    def told(self, topic: str, holds: Callable[[Payload], bool], config: str = CONFIG) -> Delivery:
        """Wait for a log entry, and return its delivery to the function of its topic."""
        found: list[Message] = []

        def look() -> bool:
            found[:] = [message for entry, message in self.entries(topic) if holds(entry)]
            return bool(found)

        assert self.cloud.pubsub is not None
        assert self.cloud.pubsub.wait_for(look, TIMEOUT_S), "no such entry"
        function = {AUDIT: "audit_log", GKE_EVENTS: "pull_event"}[topic]
        return Delivery(function, found[0].data, found[0].attributes, config)

    def told_of_end(self, image: str) -> Delivery:
        """Wait until a warmup has ended, and return the delivery that reports it."""
        uid = self.job(image)["metadata"]["uid"]
        return self.told(GKE_EVENTS, lambda entry: is_end_of(entry, uid))

    def told_of_failure(self, image: str) -> Delivery:
        """Wait until a node fails to pull an image, and return the delivery that reports it."""

        def holds(entry: Payload) -> bool:
            event = entry.get("jsonPayload", {})
            name = image.rpartition("/")[2].partition(":")[0]
            return event.get("reason") == "Failed" and f"/{name}" in str(event.get("message"))

        return self.told(GKE_EVENTS, holds)

    def references(self) -> list[Message]:
        """Return the references that were published."""
        return self.messages(REFERENCES)

    def tick(self, cluster: str | None = None, config: str = CONFIG) -> Delivery:
        """Return the message of the schedule."""
        data = json.dumps({"cluster": cluster}).encode() if cluster else b"{}"
        return Delivery("scheduled_sweep", data, {}, config)
