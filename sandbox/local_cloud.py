"""The local cloud as a whole: Google's services, one GKE cluster, and the functions."""

import json
import string
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import yaml

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.demo_catalogue import demo_catalogue
from sandbox.clock import Clock, SkewedClock
from sandbox.cloud_logging import CloudLogging
from sandbox.container_api import ContainerApi
from sandbox.fault import Faults
from sandbox.function_process import FunctionProcess
from sandbox.gke.gke_cluster import GkeCluster
from sandbox.gke.log_router import LogRouter, Sink
from sandbox.kubernetes.server import KubernetesServer
from sandbox.messaging import AUDIT, GKE_EVENTS, TRIGGERS, Messaging
from sandbox.pubsub.pubsub_server import PubsubServer
from sandbox.streaming_cache import StreamingCache

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ROOT / "infra" / "kubernetes" / "base"
REWRITING = ROOT / "infra" / "kubernetes" / "rewriting"
"""Manifests for Kubernetes 1.36 and newer."""
FILTERS = ROOT / "infra" / "modules" / "prestream" / "filters"
SCHEMA = ROOT / "docs" / "prestream.schema.json"

PROJECT = "demo"
LOCATION = "us-central1"
CLUSTER = "gpu"
FACT_LOG = f"projects/{PROJECT}/logs/prestream"

_BACK_OFF = timedelta(milliseconds=200)

_CLUSTER_BODY: Mapping[str, Any] = {
    "name": CLUSTER,
    "location": LOCATION,
    "nodePools": [
        {
            "name": "l4-spot",
            "config": {
                "accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}],
                "gcfsConfig": {"enabled": True},
            },
        }
    ],
}


class Services:
    """
    Google's services on loopback sockets, for one project, and the functions that use them.

    Time runs ``scale`` times as fast as the world's. ``pubsub_address`` is an official emulator
    that replaces the embedded server, ``kubeconfig`` your own cluster, ``faults`` the faults of
    all services.
    """

    def __init__(
        self,
        *,
        scale: float = 60.0,
        config: str = "",
        pubsub_address: str | None = None,
        kubeconfig: Path | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.clock = Clock(scale)
        self.faults = Faults() if faults is None else faults
        self.clocks: dict[str, SkewedClock] = {
            service: SkewedClock(self.clock)
            for service in ("pubsub", "artifact-registry", "logging", "container", "kubernetes")
        }
        """The clock of each service; nodes do not use that of ``kubernetes``."""
        clocks = self.clocks
        self.catalogue = demo_catalogue()
        self.cache = StreamingCache(self.clock)
        self.pubsub = None if pubsub_address else PubsubServer(clocks["pubsub"], self.faults)
        self.artifact_registry = ArtifactRegistry(
            clocks["artifact-registry"], self.faults, self.catalogue, self.cache
        )
        self.logging = CloudLogging(
            clocks["logging"],
            self.faults,
            simulated_log=None if kubeconfig else FACT_LOG,
        )
        self.container = ContainerApi(clocks["container"], self.faults)
        self.functions: dict[str, FunctionProcess] = {}
        self._kubeconfig = kubeconfig
        self._pubsub_address = pubsub_address or (self.pubsub.address if self.pubsub else "")
        self._folder = tempfile.TemporaryDirectory(prefix="prestream-")
        self._config = self.folder / "prestream.yaml"
        self._config.write_text(config, encoding="utf-8")
        self._messaging: Messaging | None = None

    @property
    def folder(self) -> Path:
        """A folder that is removed with the cloud."""
        return Path(self._folder.name)

    @property
    def messaging(self) -> Messaging:
        """Its topics."""
        if self._messaging is None:
            raise RuntimeError("the local cloud is not started")
        return self._messaging

    @property
    def cluster(self) -> str:
        """Resource name of its cluster."""
        return f"projects/{PROJECT}/locations/{LOCATION}/clusters/{CLUSTER}"

    def start(self) -> Self:
        """Start the services; functions are started by ``serve``."""
        for service in self._services():
            service.start()
        self._messaging = Messaging(PROJECT, self._pubsub_address)
        self._messaging.declare_topics()
        self.container.add_cluster(_CLUSTER_BODY)
        return self

    def stop(self) -> None:
        """Stop everything, functions first, and remove the folder."""
        with ThreadPoolExecutor() as pool:
            # In parallel, since each function finishes its requests first.
            list(pool.map(FunctionProcess.stop, self.functions.values()))
        if self._messaging is not None:
            self._messaging.close()
        for service in reversed(self._services()):
            service.stop()
        self._folder.cleanup()

    def serve(self, archives: Path, python: Path, names: Iterable[str] | None = None) -> None:
        """Serve functions from their archives, and push their topics' messages to them."""
        triggers = [each for each in TRIGGERS if names is None or each.function in names]
        for trigger in triggers:
            archive = archives / f"{trigger.function}.zip"
            folder = Path(tempfile.mkdtemp(prefix=f"{trigger.function}-", dir=self.folder))
            self.functions[trigger.function] = FunctionProcess(
                archive, folder, python=python, environ=self.environ(trigger.function)
            ).start()
        for trigger in triggers:
            function = self.functions[trigger.function]
            function.wait_until_ready()
            self.messaging.declare_push(trigger, function.url, _BACK_OFF)

    def environ(self, function: str) -> dict[str, str]:
        """Return the environment in which a function finds this cloud."""
        return {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PRESTREAM_CONFIG": str(self._config),
            "PUBSUB_EMULATOR_HOST": self._pubsub_address,
            "ARTIFACT_REGISTRY_EMULATOR_HOST": self.artifact_registry.address,
            "GKE_EMULATOR_HOST": self.container.address,
            "CLOUD_LOGGING_EMULATOR_HOST": self.logging.address,
            "KUBECONFIG": str(self._find_kubeconfig(function)),
        }

    def facts(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the facts, as entries of their log, each once."""
        entries = self.logging.query(f'logName="{FACT_LOG}"')
        return [
            entry for entry in entries if event is None or entry["jsonPayload"]["event"] == event
        ]

    def wait_for_fact(
        self, matches: Callable[[Mapping[str, Any]], bool], timeout_s: float = 30.0
    ) -> dict[str, Any] | None:
        """Wait for a fact whose payload matches, and return its entry; None if none came."""
        return self.logging.wait_for(
            lambda entry: entry["logName"] == FACT_LOG and matches(entry["jsonPayload"]), timeout_s
        )

    def _find_kubeconfig(self, function: str) -> Path:
        if self._kubeconfig is None:
            raise RuntimeError(f"function {function} has no cluster")
        return self._kubeconfig

    def _services(self) -> list[Any]:
        embedded = [self.pubsub] if self.pubsub else []
        return [*embedded, self.artifact_registry, self.logging, self.container]


class LocalCloud(Services):
    """
    The services with a GKE cluster of their own, whose logs are routed as at Google.

    Unless ``acts``, no controller and no node acts on the objects, so that the functions under
    test make all calls.
    """

    def __init__(
        self,
        *,
        scale: float = 60.0,
        config: str = "",
        pubsub_address: str | None = None,
        faults: Faults | None = None,
        acts: bool = True,
    ) -> None:
        super().__init__(scale=scale, config=config, pubsub_address=pubsub_address, faults=faults)
        self._is_frozen = False
        self._acts = acts
        self.kubernetes = KubernetesServer(self.clocks["kubernetes"], self.faults)
        self.gke = GkeCluster(
            self.kubernetes,
            self.clock,
            project=PROJECT,
            location=LOCATION,
            name=CLUSTER,
            registry=self.artifact_registry.address,
            cache=self.cache,
            catalogue=self.catalogue,
        )
        self.router = LogRouter(
            PROJECT,
            LOCATION,
            CLUSTER,
            self.clock,
            self._publish_entry,
            read_sinks(),
            lambda entry: self.logging.write([entry]),
        )

    def start(self) -> Self:
        """Start the services and the cluster; functions are started by ``serve``."""
        self.kubernetes.start()
        super().start()
        if self._acts:
            self.gke.start()
        self.gke.attach(self.router)
        return self

    def stop(self) -> None:
        """Stop everything, and remove the folder."""
        if not self._acts:
            self.router.stop()
        elif not self._is_frozen:
            self.gke.stop()
        super().stop()
        self.kubernetes.stop()

    def freeze(self) -> None:
        """
        Stop the clock and the cluster for good; the services continue to answer.

        Later changes come from tests and functions only, so that ``save`` can undo them.
        """
        self.gke.stop()
        self.clock.freeze()
        self._is_frozen = True

    def save(self) -> Callable[[], None]:
        """Return a function that restores the current state of a frozen cloud."""
        parts: list[Any] = [self.clock, self.catalogue, self.kubernetes, self.logging]
        parts.append(self.artifact_registry)
        parts += [] if self.pubsub is None else [self.pubsub]
        restored = [part.save() for part in parts]

        def restore() -> None:
            for each in restored:
                each()

        return restore

    def calm(self) -> None:
        """Switch off all faults and disturbances."""
        self.faults.clear()
        self.router.lose = self.router.duplicate = self.router.delay = self.router.fold = None
        for clock in self.clocks.values():
            clock.skew = timedelta()
        switches = self.gke.switches
        for left in (switches.runs_on, switches.start_errors, switches.exit_codes):
            left.clear()

    def apply_manifests(self) -> None:
        """Apply the project's own manifests to the cluster, as an administrator would."""
        for body in [*read_manifests(PROJECT), *read_manifests(PROJECT, REWRITING)]:
            namespace = body["metadata"].get("namespace")
            self.kubernetes.api.create(
                resource_name(body), body, namespace, user="admin@example.com"
            )

    def _find_kubeconfig(self, function: str) -> Path:
        """Return a kubeconfig with the service account of the function, which RBAC knows."""
        kubeconfig = self.folder / f"{function}.kubeconfig"
        if not kubeconfig.exists():
            token = f"token-of-{function}"
            email = f"prestream-{function.replace('_', '-')}@{PROJECT}.iam.gserviceaccount.com"
            self.kubernetes.add_user(token, email)
            context = f"gke_{PROJECT}_{LOCATION}_{CLUSTER}"
            content = self.kubernetes.kubeconfig(context, token)
            kubeconfig.write_text(yaml.safe_dump(content), encoding="utf-8")
        return kubeconfig

    def _publish_entry(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        self.messaging.publish(topic, data, attributes)


def read_sinks(namespace: str = "prestream") -> list[Sink]:
    """Return the log sinks with the filters that the infrastructure declares."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    variables = {
        "namespace": namespace,
        "system_namespaces": "|".join(schema["properties"]["system_namespaces"]["default"]),
    }
    texts = {
        name: string.Template((FILTERS / f"{name}.filter.tftpl").read_text("utf-8"))
        for name in ("audit_log", "gke_events")
    }
    return [
        Sink("prestream-audit", texts["audit_log"].substitute(variables), AUDIT),
        Sink("prestream-gke-events", texts["gke_events"].substitute(variables), GKE_EVENTS),
    ]


def read_manifests(project: str, folder: Path = MANIFESTS) -> list[dict[str, Any]]:
    """Return the manifests of a folder for a project, in the order of its kustomization."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    bodies: list[dict[str, Any]] = []
    for name in kustomization["resources"]:
        text = (folder / name).read_text("utf-8").replace("PROJECT_ID", project)
        bodies.extend(body for body in yaml.safe_load_all(text) if body)
    return bodies


def resource_name(body: Mapping[str, Any]) -> str:
    """Return the plural of an object's kind with its group, such as ``jobs.batch``."""
    group = body["apiVersion"].rpartition("/")[0]
    kind = body["kind"].lower()
    plural = (
        f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}{'es' if kind.endswith('s') else 's'}"
    )
    return f"{plural}.{group}" if group else plural
