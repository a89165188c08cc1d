"""All six functions as the framework serves them, with their own workflows, over fakes."""

import functools
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from shared.clients import publisher as pubsub
from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.domain.proven_mirrors import PARAMETER_NAME
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.pipeline.sweep.sweep_cluster import Sweeper
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.node_reports import JOB, end, place_node, place_pod, place_warmup
from tests.fakes.served_functions import CLOUD_EVENT_HEADERS, ServedFunction, served
from tests.fakes.sweeps import SERVER, TRAINER, SweptWorld
from tests.fakes.warmings import Scene

CLUSTERS = [
    Cluster(GPU_CLUSTER, has_accelerators=True),
    Cluster(ClusterName("demo", "europe-west4", "pilot"), is_autopilot=True),
]


@dataclass
class Topic:
    """Keeps what is published, as bytes and attributes, as the client sends them."""

    messages: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    def publish(self, requests: Sequence[pubsub.Message]) -> None:
        self.messages += [
            (json.dumps(each.as_json()).encode(), dict(each.attributes)) for each in requests
        ]


@dataclass(frozen=True)
class Settled:
    """The result of a delivery."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The logged lines."""
        return self.output.split("\n")[:-1]

    @property
    def line(self) -> dict[str, Any]:
        """The one line that each delivery leaves: a JSON object."""
        (text,) = self.lines
        parsed: dict[str, Any] = json.loads(text, parse_constant=_refuse)
        assert isinstance(parsed, dict)
        return parsed


@functools.cache
def _settings() -> Settings:
    return make_settings(Document({}), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")


def _refuse(constant: str) -> None:
    raise AssertionError(f"no JSON: {constant}")


class World:
    """
    The services that functions use: clusters, registries, topics and a log of facts.

    It is made anew for each delivery, and holds something for every workflow to do: a warmup
    that ended, workloads in use, images upstream.
    """

    def __init__(self) -> None:
        self.references, self.ticks = Topic(), Topic()

    @functools.cached_property
    def scene(self) -> Scene:
        """The services of image_reference, made on first use."""
        scene = Scene()
        cluster = scene.cluster
        place_node(cluster)
        end(place_warmup(cluster, JOB), "CompletionsReached")
        place_pod(cluster)
        cluster.place(
            {
                "kind": "ConfigMap",
                "metadata": {"name": PARAMETER_NAME, "namespace": "prestream"},
                "data": {"docker.io": "us-central1-docker.pkg.dev/demo/dockerhub-mirror"},
            }
        )
        return scene

    @functools.cached_property
    def swept(self) -> SweptWorld:
        """The same, as a sweep finds it: with workloads in use."""
        swept = SweptWorld(
            cluster=self.cluster, registry=self.scene.registry, facts=self.scene.facts
        )
        swept.use(TRAINER, SERVER)
        return swept

    @property
    def cluster(self) -> FakeCluster:
        return self.scene.cluster

    @property
    def is_untouched(self) -> bool:
        """Whether nothing but the topics was ever asked for."""
        return "scene" not in vars(self)

    def list_clusters(self, project: str) -> list[Cluster]:
        return [each for each in CLUSTERS if each.name.project == project]

    def fetch_cluster(self, name: ClusterName) -> Cluster:
        if name != GPU_CLUSTER:
            raise UnknownClusterError(f"there is no cluster {name}")
        return Cluster(name, has_accelerators=True)

    def connect(self, name: ClusterName) -> FakeCluster:
        if name != GPU_CLUSTER:
            raise UnknownClusterError(f"there is no cluster {name}")
        return self.cluster

    def wiring(self) -> dict[str, Any]:
        """Return what takes the place of the functions' own wiring."""
        return {
            "publisher": lambda: self.references,
            "warmer": lambda: self.scene.warmer,
            "observer": self._observer,
            "directory": lambda: self,
            "sweeper": self._sweeper,
            "tick_publisher": lambda: self.ticks,
        }

    def left_behind(self) -> list[str]:
        """Return all that anybody can read afterwards, as text: what was published and made."""
        made: list[Any] = []
        if not self.is_untouched:
            made += [*self.cluster.jobs.values(), *self.cluster.config_maps.values()]
            written = self.scene.facts.facts
            made += [(fact.payload, fact.insert_id, fact.severity) for fact in written]
        published = [
            (data.decode(), attributes)
            for topic in (self.references, self.ticks)
            for data, attributes in topic.messages
        ]
        return [json.dumps(each, allow_nan=False) for each in (*made, *published)]

    def _observer(self) -> Observer:
        settings = _settings()
        execute = Executor(self.scene.facts, dry_run=settings.dry_run)
        return Observer(settings, connect=self.connect, is_watched=lambda _: True, execute=execute)

    def _sweeper(self) -> Sweeper:
        return self.swept.make_sweeper(_settings(), self.scene.facts, lambda: self.references)


class DeployedFunction:
    """One of the six, each delivery in a world of its own."""

    def __init__(self, function: ServedFunction, wired: dict[str, Any]) -> None:
        self._function = function
        self._wired = wired

    def deliver(
        self, body: Any, *, as_event: bool = False, world: World | None = None
    ) -> tuple[Settled, World]:
        """Deliver the body of a push, raw or as a CloudEvent; bytes are sent as they are."""
        world = world or World()
        self._wired["world"] = world
        output, errors = io.StringIO(), io.StringIO()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        headers |= CLOUD_EVENT_HEADERS if as_event else {}
        with redirect_stdout(output), redirect_stderr(errors):
            status = self._function.http.post("/", data=raw, headers=headers).status_code
        return Settled(int(status), output.getvalue(), errors.getvalue()), world


@contextmanager
def deployed(name: str) -> Iterator[DeployedFunction]:
    """Serve a function with its own workflows; the environment must hold its settings."""
    wired: dict[str, Any] = {}

    def look(part: str) -> Any:
        world: World = wired["world"]
        return world.wiring()[part]()

    parts = ("publisher", "warmer", "observer", "directory", "sweeper", "tick_publisher")
    wiring: Mapping[str, Any] = {part: lambda part=part: look(part) for part in parts}
    with served(name, **wiring) as function:
        yield DeployedFunction(function, wired)
