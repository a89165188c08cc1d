"""The services that the pipeline uses, as protocols; ``clients`` implements them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from shared.domain.cluster import Cluster, ClusterName
    from shared.domain.cluster_event import NodeEvent
    from shared.domain.disposition import Outcome
    from shared.domain.fact import Fact
    from shared.domain.image_reference import ImageReference
    from shared.domain.manifest import Manifest
    from shared.domain.mirror import RemoteRepository, RepositoryName, RepositoryState
    from shared.domain.node_accounts import NodeAccounts
    from shared.domain.prewarm import ArtifactVersion, PrewarmedArtifact
    from shared.domain.request import Delivery, ReferenceRequest
    from shared.messages.tick import Tick
    from shared.settings.keys import Settings

Body = dict[str, Any]


class WorkloadApi(Protocol):
    """The part of the Kubernetes API that lists what a cluster uses."""

    def list_objects(self, api_version: str, plural: str) -> Iterable[Body]: ...  # noqa: D102
    def fetch_group_versions(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102
    def fetch_config_map(self, name: str) -> Body | None: ...  # noqa: D102


class ClusterApi(WorkloadApi, Protocol):
    """The Kubernetes API of a cluster."""

    @property
    def name(self) -> "ClusterName": ...  # noqa: D102
    @property
    def is_autopilot(self) -> bool: ...  # noqa: D102
    @property
    def accounts(self) -> "NodeAccounts | None": ...  # noqa: D102
    def fetch_namespace(self) -> Body | None: ...  # noqa: D102
    def fetch_job(self, name: str) -> Body | None: ...  # noqa: D102
    def list_jobs(self, label_selector: str, field_selector: str = "") -> Iterable[Body]: ...  # noqa: D102
    def create_job(self, body: Mapping[str, Any]) -> bool: ...  # noqa: D102
    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102
    def delete_job(self, name: str, uid: str, version: str | None = None) -> None: ...  # noqa: D102
    def list_pods(self, label_selector: str) -> Iterable[Body]: ...  # noqa: D102
    def list_pending_pods(self) -> Iterable[Body]: ...  # noqa: D102
    def fetch_pod(self, name: str, namespace: str) -> Body | None: ...  # noqa: D102
    def list_events(self, field_selector: str, namespace: str | None = None) -> Iterable[Body]: ...  # noqa: D102
    def list_pod_events(self, field_selector: str) -> Iterable[Body]: ...  # noqa: D102
    def fetch_node(self, name: str) -> Body | None: ...  # noqa: D102
    def list_nodes(self, label_selector: str = "") -> Iterable[Body]: ...  # noqa: D102
    def patch_config_map(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102


class Directory(Protocol):
    """The Container API, which describes the clusters of a project."""

    def list_clusters(self, project: str) -> "Iterable[Cluster]": ...  # noqa: D102
    def fetch_cluster(self, name: "ClusterName") -> "Cluster": ...  # noqa: D102


class ConnectedDirectory(Directory, Protocol):
    """The Container API, with a connection to each cluster."""

    def connect(self, name: "ClusterName") -> ClusterApi: ...  # noqa: D102


class Registry(Protocol):
    """The registry API."""

    def fetch_manifest(self, reference: "ImageReference") -> "Manifest": ...  # noqa: D102


class Repositories(Protocol):
    """The repositories of Artifact Registry."""

    def fetch_repository(self, name: "RepositoryName") -> "RepositoryState | None": ...  # noqa: D102
    def create_repository(self, repository: "RemoteRepository") -> None: ...  # noqa: D102
    def update_credentials(self, repository: "RemoteRepository") -> None: ...  # noqa: D102


class FactLog(Protocol):
    """The log of facts."""

    def write(self, fact: "Fact") -> None: ...  # noqa: D102


class Publisher(Protocol):
    """The topic of references."""

    def publish(self, requests: "Sequence[ReferenceRequest]") -> None: ...  # noqa: D102


class TickTopic(Protocol):
    """The topic of ticks."""

    def publish(self, ticks: "Sequence[Tick]") -> None: ...  # noqa: D102


class PrewarmReader(Protocol):
    """The reading methods of Artifact Registry's prewarm API."""

    def check(  # noqa: D102
        self, version: "ArtifactVersion", *, location: str
    ) -> "PrewarmedArtifact | None": ...
    def list_artifacts(self, repository: "RepositoryName") -> "Iterable[PrewarmedArtifact]": ...  # noqa: D102


class PrewarmApi(PrewarmReader, Protocol):
    """Artifact Registry's prewarm API."""

    def prewarm(  # noqa: D102
        self, version: "ArtifactVersion", *, location: str, retention_days: int
    ) -> "PrewarmedArtifact | None": ...
    def remove(self, version: "ArtifactVersion", *, location: str) -> None: ...  # noqa: D102


class WarmStep(Protocol):
    """The step that warms an image in a cluster."""

    def warm(self, delivery: "Delivery", cluster: "ClusterName") -> "Outcome": ...  # noqa: D102


class SweepStep(Protocol):
    """The step that sweeps a cluster."""

    def sweep(self, cluster: ClusterApi, message_id: str, now: "datetime") -> "Outcome": ...  # noqa: D102
    def report_refusal(  # noqa: D102
        self, cluster: "ClusterName", message_id: str, now: "datetime", error: Exception
    ) -> "Outcome": ...


class ObserveStep(Protocol):
    """The step that observes a report."""

    def observe(self, event: "NodeEvent") -> "Outcome": ...  # noqa: D102


class DetectorServices(Protocol):
    """The services of a detector; each is made when it is first read."""

    @property
    def settings(self) -> "Settings": ...  # noqa: D102
    @property
    def publisher(self) -> Publisher: ...  # noqa: D102


class WarmupServices(DetectorServices, Protocol):
    """The services of ``image_reference``; each is made when it is first read."""

    @property
    def directory(self) -> Directory: ...  # noqa: D102
    @property
    def warmer(self) -> WarmStep: ...  # noqa: D102


class ObserverServices(Protocol):
    """The services of ``pull_event``; each is made when it is first read."""

    @property
    def settings(self) -> "Settings": ...  # noqa: D102
    @property
    def observer(self) -> ObserveStep: ...  # noqa: D102


class SweepServices(Protocol):
    """The services of ``scheduled_sweep``; each is made when it is first read."""

    @property
    def settings(self) -> "Settings": ...  # noqa: D102
    @property
    def directory(self) -> ConnectedDirectory: ...  # noqa: D102
    @property
    def tick_publisher(self) -> TickTopic: ...  # noqa: D102
    @property
    def sweeper(self) -> SweepStep: ...  # noqa: D102
