"""The pipeline in the local cloud, as tests drive it and look at it."""

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import grpc
from google.pubsub_v1 import PushConfig
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from sandbox.catalogue.image import Image
from sandbox.demo.case import make_deployment
from sandbox.fault import Fault
from sandbox.function_process import FunctionProcess, Line
from sandbox.local_cloud import PROJECT, LocalCloud
from sandbox.messaging import DEAD_LETTERS, REFERENCES
from sandbox.pubsub.message import Message
from sandbox.pubsub.pubsub_server import PubsubServer
from tests.integration.warmup_jobs import Job, annotation, is_end_of, is_finished, is_reported

TIMEOUT_S = 30.0
"""Real seconds; a wait takes so long only where the test fails."""

BACK_OFF = timedelta(milliseconds=100)

FUNCTIONS = ("audit_log", "build_notification", "image_reference", "pull_event")
"""Those of the way from a workload or a build to a fact."""

ADMIN = "admin@example.com"
DEV = "dev@example.com"
BIG = 6_200_000_000
"""Bytes; 200 of the sandbox's seconds to pull cold."""
MEDIUM = 310_000_000
"""Bytes; above ``min_image_bytes``, and pulled in 10 of the sandbox's seconds."""

L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
POOL = "cloud.google.com/gke-nodepool"
REPORTED = "prestream.dev/reported"

Payload = Mapping[str, Any]


class Pipeline:
    """
    A local cloud with functions from their archives, for tests.

    Every wait ends with an assertion, so that a missing event fails where it was expected.
    """

    def __init__(self, cloud: LocalCloud, archives: Path, python: Path) -> None:
        self.cloud = cloud
        self.api = cloud.kubernetes.api
        self._archives = archives
        self._python = python
        self._pause = threading.Event()

    def start(self, *functions: str) -> Self:
        """Start the cloud with the project's manifests, and these functions; all if none."""
        self.cloud.start()
        self.connect()
        self.cloud.apply_manifests()
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml"}}
        self.api.create("namespaces", body, user=ADMIN)
        self.cloud.serve(self._archives, self._python, functions or None)
        return self

    def connect(self) -> None:
        """Connect to the cloud's Pub/Sub."""
        self._channel = grpc.insecure_channel(self.cloud.environ("x")["PUBSUB_EMULATOR_HOST"])
        self._publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self._subscriber = SubscriberClient(
            transport=SubscriberGrpcTransport(channel=self._channel)
        )

    def stop(self) -> None:
        """Stop everything."""
        self._channel.close()
        self.cloud.stop()

    def clear(self) -> None:
        """Leave nothing behind that another test would trip over."""
        self.cloud.calm()
        for job in self.jobs():
            if not is_finished(job):
                name = job["metadata"]["name"]
                self.api.delete("jobs.batch", name, "prestream", user=ADMIN)

    def tidy(self) -> None:
        """Delete finished Jobs, as time does."""
        for job in self.jobs():
            if is_finished(job):
                name = job["metadata"]["name"]
                self.api.delete("jobs.batch", name, "prestream", user=ADMIN)
        for namespace in ("prestream", "default", "ml"):
            for event in self.api.list("events", namespace):
                self.api.delete("events", event["metadata"]["name"], namespace, user=ADMIN)

    def serve_variant(self, function: str, config: str, topic: str) -> str:
        """
        Serve a function a second time, with a configuration of its own, from a topic of its own.

        It acts in the same cloud under the same identity. Returns the name that ``line`` takes.
        """
        name = f"{function}-{topic}"
        folder = Path(tempfile.mkdtemp(dir=self.cloud.folder))
        settings = folder.with_suffix(".yaml")
        settings.write_text(config, encoding="utf-8")
        environ = self.cloud.environ(function) | {"PRESTREAM_CONFIG": str(settings)}
        process = FunctionProcess(
            self._archives / f"{function}.zip", folder, python=self._python, environ=environ
        ).start()
        self.cloud.functions[name] = process
        process.wait_until_ready()
        self.push(topic, process.url)
        return name

    def push(
        self, topic: str, url: str, *, attempts: int = 10, back_off: timedelta = BACK_OFF
    ) -> None:
        """Make a topic whose messages are pushed to a URL."""
        path = f"projects/{PROJECT}/topics/{topic}"
        self._publisher.create_topic(name=path)
        self._subscriber.create_subscription(
            request={
                "name": f"projects/{PROJECT}/subscriptions/{topic}",
                "topic": path,
                "push_config": {"push_endpoint": url},
                "ack_deadline_seconds": 60,
                "retry_policy": {"minimum_backoff": back_off, "maximum_backoff": back_off * 60},
                "dead_letter_policy": {
                    "dead_letter_topic": f"projects/{PROJECT}/topics/{DEAD_LETTERS}",
                    "max_delivery_attempts": attempts,
                },
            }
        )

    def redeploy(self) -> None:
        """Let a new revision of each function take over, which reads its settings anew."""
        before = dict(self.cloud.functions)
        for function in before:
            self.cloud.functions[function] = FunctionProcess(
                self._archives / f"{function}.zip",
                Path(tempfile.mkdtemp(dir=self.cloud.folder)),
                python=self._python,
                environ=self.cloud.environ(function),
            ).start()
        for function, after in self.cloud.functions.items():
            after.wait_until_ready()
            name = f"prestream-{function.replace('_', '-')}"
            self._subscriber.modify_push_config(
                subscription=f"projects/{PROJECT}/subscriptions/{name}",
                push_config=PushConfig(push_endpoint=after.url),
            )
            before[function].stop()

    def add_image(self, name: str, size: int = MEDIUM, *, registry: str = "docker.io") -> str:
        """Publish an image upstream, and return its reference, as people write it."""
        image = Image((1_000_000, size - 1_000_000), build=f"{registry}/{name}")
        self.cloud.catalogue.add(f"{registry}/{name}", "1", image)
        return f"{registry}/{name}:1"

    def add_gpu_node(self, name: str, pool: str, **fields: Any) -> None:
        """Add a Spot node with a GPU that streams."""
        fields = {"accelerator": "nvidia-a100-80gb", "spot": True, **fields}
        self.cloud.gke.add_node(name, pool=pool, **fields)

    def publish(
        self, topic: str, data: bytes | Payload, attributes: Mapping[str, str] | None = None
    ) -> str:
        """Publish a message, and return its id."""
        return self.cloud.messaging.publish(topic, data, attributes)

    def ask(
        self, image: str, *, topic: str = REFERENCES, pool: str | None = None, **fields: Any
    ) -> str:
        """Publish an image reference for the cluster, by default for its L4 nodes."""
        selector = L4 if pool is None else {POOL: pool}
        message = {
            "image": image,
            "cluster": self.cloud.cluster,
            "placement": {"nodeSelector": selector},
            **fields,
        }
        return self.publish(topic, message)

    def deploy(self, name: str, image: str, selector: Mapping[str, str] = L4, **fields: Any) -> Job:
        """Create a Deployment that asks for one GPU, as a developer does."""
        body = make_deployment(name, image, node_selector=selector, **fields)
        return self.api.create("deployments.apps", body, "ml", user=DEV)

    @contextmanager
    def fault(
        self, service: str, call: str = "", status: int = 503, **fields: Any
    ) -> Iterator[Fault]:
        """Let a service fail, for as long as the context lasts."""
        fault = self.cloud.faults.add(Fault(service, call, status, **fields))
        try:
            yield fault
        finally:
            self.cloud.faults.remove(fault)

    @contextmanager
    def running_on(self, *parts: str) -> Iterator[None]:
        """Let the containers of images whose names have these parts run on for ever."""
        self.cloud.gke.switches.runs_on.update(parts)
        try:
            yield
        finally:
            self.cloud.gke.switches.runs_on.difference_update(parts)

    def end(self, image: str) -> None:
        """Wait until an image's warmup runs its container, and end it by its deadline."""
        job = self.job(image, lambda job: bool(job.get("status", {}).get("ready")))
        name = job["metadata"]["name"]
        patch = {"spec": {"activeDeadlineSeconds": 1}}
        self.api.patch("jobs.batch", name, patch, "prestream", user=ADMIN)
        self.job(image, is_finished)
        # An event reports the end; it may be lost on its way from here.
        uid = job["metadata"]["uid"]
        assert self.cloud.logging.wait_for(lambda entry: is_end_of(entry, uid), TIMEOUT_S)

    def wait_until_hit(self, fault: Fault) -> None:
        """Wait until a fault has hit as often as it was to."""
        due = time.monotonic() + TIMEOUT_S
        while fault.times and time.monotonic() < due:
            self._pause.wait(0.01)
        assert not fault.times, f"{fault} was not hit"

    def line(
        self, message_id: str, disposition: str, function: str = "image_reference"
    ) -> dict[str, Any]:
        """Wait for the disposition line of a message."""
        process = self.cloud.functions[function]
        wanted = (message_id, disposition)
        found = process.wait_for_line(
            lambda line: (line.get("event_id"), line.get("disposition")) == wanted, TIMEOUT_S
        )
        lines = self.lines(message_id, function) or process.lines[-3:]
        assert found is not None, f"no line says {disposition}, but {lines}"
        return found

    def lines(self, message_id: str, function: str = "image_reference") -> list[Line]:
        """Return all disposition lines of a message so far."""
        lines = self.cloud.functions[function].lines
        return [line for line in lines if line.get("event_id") == message_id]

    def count_lines(self, function: str) -> int:
        """Return how many lines a function has written, as ``next_line`` takes it."""
        return len(self.cloud.functions[function].lines)

    def next_line(self, function: str, disposition: str, since: int) -> Line:
        """Wait for a function's next line of a disposition, after so many lines."""
        process = self.cloud.functions[function]

        def find() -> Line | None:
            lines = process.lines[since:]
            return next((line for line in lines if line.get("disposition") == disposition), None)

        process.wait_for_line(lambda _: find() is not None, TIMEOUT_S)
        found = find()
        assert found is not None, f"no {disposition} line of {function}: {process.lines[since:]}"
        return found

    def statuses(self, message_id: str) -> list[int | None]:
        """Wait until a message is acknowledged, and return what each delivery was answered."""
        pubsub = self.pubsub

        def answered() -> bool:
            return any(
                each.message_id == message_id and each.acknowledged for each in pubsub.deliveries
            )

        assert pubsub.wait_for(answered, TIMEOUT_S), f"message {message_id} is not acknowledged"
        return [each.status for each in pubsub.deliveries if each.message_id == message_id]

    def fact(self, **fields: Any) -> dict[str, Any]:
        """Wait for a fact with these fields, and return its entry."""
        found = self.cloud.wait_for_fact(
            lambda payload: all(payload.get(name) == value for name, value in fields.items()),
            TIMEOUT_S,
        )
        assert found is not None, f"no fact has {fields}; {self.troubles()}"
        return found

    def troubles(self) -> list[Any]:
        """Return the last reasons of what the functions did not handle."""
        lines = [line for each in self.cloud.functions.values() for line in each.lines[-50:]]
        bad = [line for line in lines if line.get("disposition") not in {"handled", "ignored"}]
        return [line.get("reason") or str(line)[-700:] for line in bad][-5:]

    def warmup(self, image: str, **fields: Any) -> dict[str, Any]:
        """Wait for the end of an image's warmup, and return what its fact says."""
        entry = self.fact(event="warmup.finished", image=image, **fields)
        payload: dict[str, Any] = entry["jsonPayload"]
        return payload

    def warmup_of(self, image: str) -> dict[str, Any]:
        """Warm an image, if it was not, and return what its fact says."""
        self.ask(image)
        fact = self.warmup(image)
        self.job(image, is_reported)
        return fact

    def facts(self, **fields: Any) -> list[dict[str, Any]]:
        """Return the facts with these fields, each once, as a query does."""
        return [
            entry
            for entry in self.cloud.facts()
            if all(entry["jsonPayload"].get(name) == value for name, value in fields.items())
        ]

    def jobs(self, image: str | None = None) -> list[Job]:
        """Return the warmup Jobs, of one image or of all, oldest first."""
        return sorted(
            (
                job
                for job in self.api.list("jobs.batch", "prestream")
                if job["metadata"]["labels"]["app.kubernetes.io/component"] == "warmup"
                and (image is None or annotation(job, "image") == image)
            ),
            key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["name"]),
        )

    def job(self, image: str, holds: Callable[[Job], bool] = bool) -> Job:
        """Wait until an image has a Job of which something holds, and return it."""
        found: list[Job] = []

        def look() -> bool:
            found[:] = [job for job in self.jobs(image) if holds(job)]
            return bool(found)

        assert self.cloud.gke.wait_for(look, TIMEOUT_S), (
            f"no such Job of {image}: {self.jobs(image)}"
        )
        return found[0]

    def wait(self, predicate: Callable[[], bool]) -> None:
        """Wait until something holds of the cluster."""
        assert self.cloud.gke.wait_for(predicate, TIMEOUT_S)

    def reference_messages(self, image: str) -> list[Message]:
        """Return what was published about an image to the topic of references."""
        messages = self.pubsub.messages(f"projects/{PROJECT}/topics/{REFERENCES}")
        return [message for message in messages if message.attributes.get("image") == image]

    def messages(self, topic: str) -> list[Message]:
        """Return what was published to a topic."""
        return self.pubsub.messages(f"projects/{PROJECT}/topics/{topic}")

    def entries(self, topic: str) -> list[dict[str, Any]]:
        """Return the log entries that were published to a topic, without other messages."""
        entries = []
        for message in self.messages(topic):
            with suppress(ValueError, RecursionError):
                entries.append(json.loads(message.data))
        return [entry for entry in entries if isinstance(entry, dict) and "insertId" in entry]

    def announced(self, image: str) -> list[Message]:
        """Return what was published about an image before its cluster was chosen."""
        messages = self.reference_messages(image)
        return [each for each in messages if json.loads(each.data).get("cluster") is None]

    def delete_repository(self, repository_id: str) -> None:
        """Delete a repository, if it is there, as an administrator may."""
        address = self.cloud.artifact_registry.address
        path = f"/v1/projects/{PROJECT}/locations/us-central1/repositories/{repository_id}"
        connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        connection.request("DELETE", path)
        assert connection.getresponse().status in {200, 404}
        connection.close()

    def repository(self, repository_id: str, location: str = "us-central1") -> Payload | None:
        """Return a repository as Artifact Registry describes it; None if it does not exist."""
        name = f"projects/{PROJECT}/locations/{location}/repositories/{repository_id}"
        return self.cloud.artifact_registry.repositories.get(name)

    def mirrors(self) -> list[str]:
        """Return the names of all mirrors."""
        repositories = self.cloud.artifact_registry.repositories
        return [name for name, each in repositories.items() if each["mode"] == "REMOTE_REPOSITORY"]

    @property
    def pubsub(self) -> PubsubServer:
        """The embedded Pub/Sub."""
        pubsub = self.cloud.pubsub
        assert pubsub is not None
        return pubsub
