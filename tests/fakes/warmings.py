"""Everything that warms images in one cluster, in memory; what is warmed lies upstream."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.catalogue.image import Image
from shared.domain.cluster import Cluster, ClusterName
from shared.domain.disposition import Outcome
from shared.domain.image_reference import parse_reference
from shared.domain.request import Cause, Delivery, ReferenceRequest
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.prewarm_artifact import PrewarmRung
from shared.pipeline.warm import Warmer
from shared.pipeline.warmup_lookup import WarmupLookup
from shared.pipeline.watched_clusters import is_watched
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import FakeCluster, FakeDirectory
from tests.fakes.facts import FakeFactLog
from tests.fakes.mirrors import HUB, HUB_NAME
from tests.fakes.prewarming import FakePrewarmApi
from tests.fakes.registries import FakeRegistry, FakeRepositories, state_of
from tests.fakes.warmups import L4

GB = 1_000_000_000
BOTH = ("linux/amd64", "linux/arm64")
RAY = Image((9 * GB, GB), BOTH, attestations=True, build="ray")
SINGLE = Image((2 * GB,), build="single")
SMALL = Image((100_000_000,), BOTH, build="small")
ARM = Image((2 * GB,), ("linux/arm64",), index=True, build="arm")
BUSYBOX = Image((800_000,), BOTH, build="busybox")
PUBLISHED = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)


class Scene:
    """A deployment, a cluster, and upstreams with images of each kind."""

    def __init__(self, *, is_autopilot: bool = False, **values: Any) -> None:
        self.values: Mapping[str, Any] = values
        self.registry = FakeRegistry()
        self.api = FakePrewarmApi(PUBLISHED)
        for name, tag, image in (
            ("anyscale/ray-ml", "2.7.0", RAY),
            ("anyscale/ray-ml", "latest", RAY),
            ("team/single", "1", SINGLE),
            ("team/small", "1", SMALL),
            ("team/arm", "1", ARM),
            ("library/busybox", "1.37.0-musl", BUSYBOX),
        ):
            self.registry.add(f"docker.io/{name}", tag, image)
        self.repositories.states[HUB_NAME] = state_of(HUB)
        self.cluster = FakeCluster(is_autopilot=is_autopilot)
        self.facts = FakeFactLog()
        self.unreachable: Exception | None = None
        """Why no cluster can be connected to."""
        self.restart()

    @property
    def repositories(self) -> FakeRepositories:
        return self.registry.repositories

    def restart(self, **values: Any) -> None:
        """Begin with a new instance of the function, perhaps of another configuration."""
        self.values = {**self.values, **values}
        document = Document(dict(self.values))
        settings = make_settings(document, {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")
        self.warmer = make_warmer(
            settings, self.registry, self.api, self.facts, connect=self._connect
        )

    def warm(self, image: str = "anyscale/ray-ml:2.7.0", **fields: Any) -> Outcome:
        """Deliver a message: from the audit log, for the L4, unless ``fields`` say otherwise."""
        message_id = fields.pop("message_id", "message-1")
        publish_time = fields.pop("publish_time", PUBLISHED)
        usual: dict[str, Any] = {"placement": L4, "cause": Cause("audit_log", "entry-1")}
        request = ReferenceRequest(
            image=image, reference=parse_reference(image), **{**usual, **fields}
        )
        delivery = Delivery(request, message_id, publish_time)
        return self.warmer.warm(delivery, self.cluster.name)

    @property
    def job(self) -> dict[str, Any]:
        """The only Job there is."""
        (job,) = self.cluster.jobs.values()
        return job

    @property
    def pod(self) -> dict[str, Any]:
        """The pod specification of the only Job."""
        pod: dict[str, Any] = self.job["spec"]["template"]["spec"]
        return pod

    def forget_calls(self) -> None:
        """Count calls from here on."""
        self.cluster.calls.clear()
        self.registry.asked.clear()
        self.repositories.fetched.clear()

    @property
    def requests(self) -> int:
        """How many requests to any API there were: those whose costs and quotas count."""
        repositories = self.repositories
        changed = [*repositories.fetched, *repositories.created, *repositories.updated]
        return len(self.cluster.calls) + len(self.registry.asked) + len(changed)

    def _connect(self, name: ClusterName) -> FakeCluster:
        if self.unreachable is not None:
            raise self.unreachable
        assert name == self.cluster.name
        return self.cluster


def make_warmer(
    settings: Settings,
    registry: FakeRegistry,
    api: FakePrewarmApi,
    facts: FakeFactLog,
    *,
    connect: Callable[[ClusterName], FakeCluster],
) -> Warmer:
    """Return the step of image_reference, as the function wires it."""
    execute = Executor(
        facts,
        repositories=lambda: registry.repositories,
        prewarm_api=api,
        dry_run=settings.dry_run,
    )
    mirrors = Mirrors(
        settings,
        registry=registry,
        repositories=lambda: registry.repositories,
        execute=execute,
        pause=lambda _: None,
    )
    prewarm = PrewarmRung(api, execute, settings.prewarm_days)
    lookup = WarmupLookup(settings, mirrors, prewarm, reads_for_creation=not settings.dry_run)
    return Warmer(
        lookup,
        connect=connect,
        is_watched=lambda name: is_watched(
            name, settings, FakeDirectory([Cluster(name, is_autopilot=True)])
        ),
        execute=execute,
    )
