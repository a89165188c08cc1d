"""A cluster with workloads, registries and a log of facts in memory, and the sweep of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.catalogue.image import Image
from shared.domain.disposition import Outcome
from shared.domain.mirror import RemoteRepository, RepositoryName
from shared.domain.request import Delivery, ReferenceRequest
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.prewarm_artifact import PrewarmRung
from shared.pipeline.sweep.sweep_cluster import Sweeper
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, START, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.prewarming import FakePrewarmApi
from tests.fakes.registries import FakeRegistry, state_of
from tests.fakes.warmings import make_warmer
from tests.fakes.warmups import make_node

Body = dict[str, Any]

BIG = 310_000_000
NOW = START + timedelta(hours=1)
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}

FILLED_CACHE = {
    "prestream.dev/reported": "id",
    "prestream.dev/outcome": "pulled",
    "prestream.dev/fills-cache": "true",
}
"""The annotations of a Job whose fact shows that it filled the streaming cache."""

TRAINER = "team/trainer:1"
SERVER = "ghcr.io/team/server:1"


def big(build: str, *platforms: str) -> Image:
    """Return an image that is worth warming."""
    return Image((BIG,), platforms or ("linux/amd64",), build=build)


def pod_spec(image: str, selector: Mapping[str, str] = L4) -> Body:
    """Return a pod spec with one container."""
    return {"nodeSelector": dict(selector), "containers": [{"name": "main", "image": image}]}


def make_deployment(name: str, image: str, *, namespace: str = "ml", **spec: Any) -> Body:
    """Return a Deployment, scaled to zero."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 0, "template": {"spec": pod_spec(image)}} | spec,
    }


def make_pod(name: str, image: str, image_id: str, *, of: str | None = "trainer") -> Body:
    """Return a pod that runs, of a Deployment if one is named."""
    metadata: Body = {"name": name, "namespace": "ml", "labels": {"pod-template-hash": "6f9c"}}
    if of is not None:
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{of}-6f9c"}
        metadata["ownerReferences"] = [{**owner, "controller": True}]
    status = {"name": "main", "image": image, "imageID": image_id, "state": {"running": {}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": pod_spec(image),
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


class Publisher:
    """Keeps what is published; fails at one of its batches on request."""

    def __init__(self) -> None:
        self.batches: list[list[ReferenceRequest]] = []
        self.failure: tuple[int, Exception] | None = None

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        if self.failure is not None and len(self.batches) >= self.failure[0]:
            raise self.failure[1]
        self.batches.append(list(requests))


@dataclass
class SweptWorld:
    """A cluster with one GPU node, mirrors of docker.io and ghcr.io, and two images."""

    values: Mapping[str, Any] = field(default_factory=dict)
    cluster: FakeCluster = field(default_factory=FakeCluster)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    facts: FakeFactLog = field(default_factory=FakeFactLog)
    publisher: Publisher = field(default_factory=Publisher)
    api: FakePrewarmApi = field(default_factory=lambda: FakePrewarmApi(NOW))
    messages: int = 0

    def __post_init__(self) -> None:
        self.cluster.place(make_node())
        self.make_mirror("docker.io", "dockerhub-mirror")
        self.make_mirror("ghcr.io", "ghcr-io-mirror")
        self.registry.add("docker.io/team/trainer", "1", big("trainer"))
        self.registry.add("ghcr.io/team/server", "1", big("server"))
        self.registry.add("docker.io/library/busybox", "1.37.0-musl", Image((800,), build="box"))

    @property
    def settings(self) -> Settings:
        return make_settings(Document(self.values), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")

    def make_mirror(self, host: str, repository: str) -> None:
        name = RepositoryName("demo", "us-central1", repository)
        uri = None if host == "docker.io" else f"https://{host}"
        self.registry.repositories.states[name] = state_of(RemoteRepository(name, host, uri))

    def use(self, *images: str) -> None:
        """Let a Deployment use each image, scaled to zero."""
        for image in images:
            number = len(self.cluster.objects.get(("apps/v1", "deployments"), []))
            self.cluster.place(make_deployment(f"app-{number}", image))

    def add_apps(self, count: int, registry: str = "docker.io") -> list[str]:
        """Let Deployments use so many new images of a registry, and return them."""
        names = [f"{registry}/team/app-{number}" for number in range(count)]
        for name in names:
            self.registry.add(name, "1", big(name))
        images = [f"{name}:1" for name in names]
        self.use(*images)
        return images

    def run(self, image: str, digest: str, *, of: str = "trainer", name: str = "") -> None:
        """Let a pod of a Deployment run an image at a digest."""
        pod = name or f"{of}-6f9c-{len(self.cluster.pods)}"
        self.cluster.place(make_pod(pod, image, f"{image.partition(':')[0]}@{digest}", of=of))

    def sweep(self, now: datetime = NOW, *, message_id: str | None = None) -> Outcome:
        """Sweep the cluster, each time by another tick unless its id is given."""
        self.messages += 1
        settings = self.settings
        sweeper = self.make_sweeper(settings, self.facts, lambda: self.publisher)
        return sweeper.sweep(self.cluster, message_id or f"tick-{self.messages}", now)

    def deliver(self, now: datetime = NOW) -> None:
        """Do what image_reference does with each reference that was published, and not yet read."""
        warmer = make_warmer(
            self.settings, self.registry, self.api, self.facts, connect=lambda _: self.cluster
        )
        for request in self.take():
            self.messages += 1
            warmer.warm(Delivery(request, f"reference-{self.messages}", now), GPU_CLUSTER)

    def make_sweeper(
        self, settings: Settings, facts: FakeFactLog, publisher: Callable[[], Any]
    ) -> Sweeper:
        """Return the sweeper of this deployment, with another log of facts and publisher."""
        execute = Executor(
            facts, publisher=publisher, prewarm_api=self.api, dry_run=settings.dry_run
        )
        return Sweeper(
            settings,
            mirrors=self.make_mirrors(settings, Executor(dry_run=True)),
            execute=execute,
            prewarm=PrewarmRung(self.api, execute, settings.prewarm_days),
        )

    def make_mirrors(self, settings: Settings, execute: Executor) -> Mirrors:
        """Return the mirrors of this deployment."""
        return Mirrors(
            settings,
            registry=self.registry,
            repositories=lambda: self.registry.repositories,
            execute=execute,
            pause=lambda _: None,
        )

    def take(self) -> list[ReferenceRequest]:
        """Return what was published, and not taken before."""
        taken = [request for batch in self.publisher.batches for request in batch]
        self.publisher.batches.clear()
        return taken

    def take_images(self) -> list[str]:
        """Return the images that were published, and not taken before."""
        return sorted(request.image for request in self.take())

    def warm(self, *images: str, now: datetime = NOW) -> None:
        """Let the images be used, and pulled by a node that did not hold them."""
        self.use(*images)
        self.sweep(now)
        self.deliver(now)
        for name, job in self.cluster.jobs.items():
            self.cluster.end_job(name, "Complete")
            job["metadata"]["annotations"] |= FILLED_CACHE
        self.registry.asked.clear()
        self.cluster.calls.clear()

    def end(self, condition: str, at: datetime, *, message: str = "") -> None:
        """Let all Jobs end, with their last pod gone."""
        done = {"type": condition, "status": "True", "reason": "BackoffLimitExceeded"}
        stamp = {"lastTransitionTime": at.astimezone(UTC).isoformat(), "message": message}
        for job in self.cluster.jobs.values():
            job["status"] = {"conditions": [done | stamp]}

    def events(self, event: str) -> list[Mapping[str, Any]]:
        """Return the facts of a kind, those with one insert id and time once."""
        distinct = {
            (fact.insert_id, fact.timestamp): fact.payload
            for fact in self.facts.facts
            if fact.event == event
        }
        return list(distinct.values())
