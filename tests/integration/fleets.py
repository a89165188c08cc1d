"""Several instances of each function in one local cloud, and what became of each message."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from google.pubsub_v1.types import PubsubMessage

from sandbox.function_process import FunctionProcess, Line, LoadBalancer
from sandbox.kubernetes.api import Watch
from sandbox.local_cloud import PROJECT, LocalCloud
from sandbox.messaging import DEAD_LETTERS, TRIGGERS
from sandbox.pubsub.message import Message
from tests.integration.pipelines import ADMIN, BACK_OFF, Pipeline
from tests.integration.warmup_jobs import annotation, is_running

SETTLED = frozenset({"handled", "ignored", "rejected"})
ENDED = frozenset({"Succeeded", "Failed"})


class Fleet(Pipeline):
    """A pipeline whose functions run in several instances each, behind one address."""

    def __init__(
        self,
        cloud: LocalCloud,
        archives: Path,
        python: Path,
        instances: Mapping[str, int],
        back_off: timedelta = BACK_OFF,
    ) -> None:
        super().__init__(cloud, archives, python)
        self._back_off = back_off
        self._instances = dict(instances)
        self._balancers: list[LoadBalancer] = []
        self._read: dict[str, int] = {}
        self._last: dict[str, dict[str, Line]] = {}
        self.dispositions: Counter[tuple[str, str]] = Counter()
        """How many deliveries ended how, by function."""

    def start(self, *_functions: str) -> Self:
        """Start the cloud, and the instances."""
        self.cloud.start()
        self.connect()
        self.cloud.apply_manifests()
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ml"}}
        self.api.create("namespaces", body, user=ADMIN)
        for function, count in self._instances.items():
            for number in range(count):
                self.cloud.functions[f"{function}-{number}"] = FunctionProcess(
                    self._archives / f"{function}.zip",
                    Path(tempfile.mkdtemp(dir=self.cloud.folder)),
                    python=self._python,
                    environ=self.cloud.environ(function),
                ).start()
        for process in self.cloud.functions.values():
            process.wait_until_ready()
        for trigger in TRIGGERS:
            if trigger.function in self._instances:
                urls = [
                    process.url
                    for name, process in self.cloud.functions.items()
                    if name.rpartition("-")[0] == trigger.function
                ]
                balancer = LoadBalancer(urls).start()
                self._balancers.append(balancer)
                self.cloud.messaging.declare_push(trigger, balancer.url, self._back_off)
        return self

    def stop(self) -> None:
        """Stop everything."""
        super().stop()
        for balancer in self._balancers:
            balancer.stop()

    def publish_all(self, topic: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Publish many messages, a hundred at a time."""
        messages = [PubsubMessage(data=json.dumps(entry).encode()) for entry in entries]
        for start in range(0, len(messages), 100):
            self._publisher.publish(
                topic=f"projects/{PROJECT}/topics/{topic}", messages=messages[start : start + 100]
            )

    def read_lines(self) -> None:
        """Read what the instances wrote since the last look."""
        for name, process in self.cloud.functions.items():
            function = name.rpartition("-")[0]
            start = self._read.get(name, 0)
            lines = process.lines[start:]
            self._read[name] = start + len(lines)
            for line in lines:
                disposition = line.get("disposition")
                if disposition is None:
                    continue
                self.dispositions[function, disposition] += 1
                known = self._last.setdefault(function, {})
                event_id = str(line["event_id"])
                if known.get(event_id, {}).get("disposition") not in SETTLED:
                    known[event_id] = line

    def last_line(self, message_id: str, function: str = "image_reference") -> Line | None:
        """Return the line that settled a message, else its last one so far; None if none came."""
        return self._last.get(function, {}).get(message_id)

    def dead_letters(self) -> list[Message]:
        """Return what was given up."""
        return self.messages(DEAD_LETTERS)

    def is_quiet(self) -> bool:
        """Whether every message is settled or given up."""
        return self.pubsub.settled(0.0)

    def pause(self, by: timedelta) -> None:
        """Let so much real time pass, in which the fleet works on."""
        self._pause.wait(by.total_seconds())


class Peaks:
    """The most that ran at once in the cluster, seen at each write to its API."""

    def __init__(self, jobs: Watch, pods: Watch) -> None:
        self._jobs_watch, self._pods_watch = jobs, pods
        self._running: set[str] = set()
        self._pods: set[str] = set()
        self.jobs = 0
        """Warmups that had their turn."""
        self.pods = 0
        """Pods of warmups that had not ended."""
        self.turns: list[str] = []
        """Images in the order in which their warmups got a turn."""

    def read(self) -> None:
        """Follow all writes so far."""
        while (event := self._jobs_watch.get(0)) is not None:
            kind, job = event
            uid = job["metadata"]["uid"]
            if kind != "DELETED" and is_running(job):
                if uid not in self._running:
                    self.turns.append(str(annotation(job, "image")))
                self._running.add(uid)
            else:
                self._running.discard(uid)
            self.jobs = max(self.jobs, len(self._running))
        while (event := self._pods_watch.get(0)) is not None:
            kind, pod = event
            if pod["metadata"]["namespace"] != "prestream":
                continue
            counts = kind != "DELETED" and pod.get("status", {}).get("phase") not in ENDED
            (self._pods.add if counts else self._pods.discard)(pod["metadata"]["uid"])
            self.pods = max(self.pods, len(self._pods))
