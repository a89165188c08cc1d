"""The local cloud on which deliveries are recorded, and the functions from their archives."""

import http.client
import json
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from sandbox.function_process import FunctionProcess
from sandbox.local_cloud import LocalCloud, resource_name
from tests.frozen.recording_proxy import Call, Recording, record_grpc, record_http

FOLDER = Path(__file__).parent
NOW = datetime.fromisoformat("2026-05-04T09:40:00+00:00")
"""The time in the cloud and in the functions; the recorded payloads happened shortly before."""

_NODE = "gke-gpu-l4-spot-7c1e44d0-x2bq"
_USER = "admin@example.com"
_UID = re.compile('uid-of:([^"]+)')
_LINE_S = 30.0
_BAD_REQUEST = 400
_HTTP_VARIABLES = {
    "ARTIFACT_REGISTRY_EMULATOR_HOST": "registry",
    "GKE_EMULATOR_HOST": "container",
    "CLOUD_LOGGING_EMULATOR_HOST": "logging",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of one delivery."""

    status: int
    line: Mapping[str, Any] | None
    """The disposition line; None if the framework refused the request."""
    calls: list[Call]


@dataclass
class Stage:
    """A cloud whose cluster is the same before each delivery, with a recording in front of it."""

    cloud: LocalCloud
    archives: Path
    python: Path
    recording: Recording = field(default_factory=Recording)
    uids: dict[str, str] = field(default_factory=dict)
    """The uid that the functions see, by ``Kind/namespace/name``."""

    def prepare(self, manifests: list[dict[str, Any]]) -> None:
        """Create objects; a ``status`` is written after the object exists."""
        self.cloud.clock.advance(NOW - self.cloud.clock.now())
        self.cloud.apply_manifests()
        self.cloud.gke.add_node(_NODE, pool="l4-spot", accelerator="nvidia-l4")
        for body in manifests:
            self._create(body)
        # A function remembers the mirrors that it made, so these stay.
        self._restore = self.cloud.kubernetes.save()

    def open(self, stack: ExitStack) -> None:
        """Put a proxy before each service, until the stack is closed."""
        environ = self.cloud.environ("image_reference")
        self._proxies = {
            variable: stack.enter_context(record_http(service, environ[variable], self.recording))
            for variable, service in _HTTP_VARIABLES.items()
        }
        self._proxies["PUBSUB_EMULATOR_HOST"] = stack.enter_context(
            record_grpc("pubsub", environ["PUBSUB_EMULATOR_HOST"], self.recording)
        )
        self._real_cluster = self.cloud.kubernetes.address
        self._cluster = stack.enter_context(
            record_http(
                "kubernetes", self._real_cluster, self.recording, replaced=self._list_uids()
            )
        )

    def start(self, function: str, config: str = "") -> FunctionProcess:
        """Start a function from its archive with the text of a prestream.yaml; do not wait."""
        environ = self.cloud.environ(function)
        folder = Path(tempfile.mkdtemp(prefix=f"{function}-", dir=self.cloud.folder))
        settings = folder.with_suffix(".yaml")
        settings.write_text(config, "utf-8")
        kubeconfig = Path(environ["KUBECONFIG"])
        text = kubeconfig.read_text("utf-8").replace(self._real_cluster, self._cluster)
        recorded = kubeconfig.with_suffix(".recorded")
        recorded.write_text(text, "utf-8")
        return FunctionProcess(
            self.archives / f"{function}.zip",
            folder,
            python=self.python,
            environ=environ
            | self._proxies
            | {
                "KUBECONFIG": str(recorded),
                "PRESTREAM_CONFIG": str(settings),
                "FROZEN_NOW": NOW.isoformat(),
                "PYTHONPATH": str(FOLDER / "fixed_clock"),
            },
        ).start()

    def deliver(self, process: FunctionProcess, body: bytes) -> Delivered:
        """Send the body of a push, and put the cluster back after it."""
        before = len(process.lines)
        connection = http.client.HTTPConnection(process.url.split("/")[2], timeout=60)
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        line = None if status == _BAD_REQUEST else self._find_line(process, before)
        calls = self.recording.take()
        self._restore()
        return Delivered(status, line, calls)

    def _find_line(self, process: FunctionProcess, before: int) -> Mapping[str, Any]:
        def find() -> Mapping[str, Any] | None:
            return next((each for each in process.lines[before:] if "disposition" in each), None)

        process.wait_for_line(lambda _: find() is not None, _LINE_S)
        found = find()
        assert found is not None, process.lines[before:]
        return found

    def _create(self, body: dict[str, Any]) -> None:
        api = self.cloud.kubernetes.api
        text = _UID.sub(lambda match: self._read_uid(match[1]), json.dumps(body))
        body = json.loads(text)
        resource, namespace = resource_name(body), body["metadata"].get("namespace")
        api.create(resource, body, namespace, user=_USER)
        if "status" in body:
            status, name = {"status": body["status"]}, body["metadata"]["name"]
            api.patch(resource, name, status, namespace, user=_USER, subresource="status")

    def _read_uid(self, subject: str) -> str:
        resource, namespace, name = subject.split("/")
        metadata = self.cloud.kubernetes.api.read(resource, name, namespace)["metadata"]
        return str(metadata["uid"])

    def _list_uids(self) -> list[tuple[bytes, bytes]]:
        """Return each random uid with a fixed one, because insert IDs are derived from uids."""
        pairs = []
        for resource in ("nodes", "pods", "jobs.batch", "deployments.apps", "configmaps"):
            for body in self.cloud.kubernetes.api.list(resource):
                metadata = body["metadata"]
                subject = f"{resource}/{metadata.get('namespace', '')}/{metadata['name']}"
                fixed = str(uuid.uuid5(uuid.NAMESPACE_OID, subject))
                self.uids[subject] = fixed
                pairs.append((metadata["uid"].encode(), fixed.encode()))
        return pairs


@contextmanager
def open_stage(archives: Path, python: Path) -> Iterator[Stage]:
    """Start a cloud in which no time passes and nothing acts."""
    cloud = LocalCloud(scale=0.0, acts=False)
    cloud.start()
    try:
        with ExitStack() as stack:
            stage = Stage(cloud, archives, python)
            manifests = yaml.safe_load((FOLDER / "cluster.yaml").read_text("utf-8"))
            stage.prepare(manifests)
            stage.open(stack)
            yield stage
    finally:
        cloud.stop()
