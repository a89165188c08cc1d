"""
What a cluster uses: every image that a workload names, and the digests that run.

Pages are read one after the other and only what is distinct is kept, so that memory does not grow
with the number of workloads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from shared.domain.images import WrittenImage
from shared.domain.owners import has_built_in_controller
from shared.domain.placements import Placement
from shared.domain.references import Digest, InvalidReferenceError, parse_digest
from shared.domain.selection import Selection
from shared.domain.untrusted import field_at, mappings_of, text_of
from shared.domain.workloads import find_pod_specs
from shared.settings import Settings

KINDS: Final = (
    ("apps/v1", "deployments"),
    ("apps/v1", "statefulsets"),
    ("apps/v1", "daemonsets"),
    ("apps/v1", "replicasets"),
    ("v1", "replicationcontrollers"),
    ("batch/v1", "cronjobs"),
    ("batch/v1", "jobs"),
    ("ray.io/v1", "rayclusters"),
    ("ray.io/v1", "rayjobs"),
    ("ray.io/v1", "rayservices"),
    ("jobset.x-k8s.io/v1alpha2", "jobsets"),
    ("leaderworkerset.x-k8s.io/v1", "leaderworkersets"),
    ("serving.kserve.io/v1beta1", "inferenceservices"),
    ("kubeflow.org/v1", "pytorchjobs"),
    ("argoproj.io/v1alpha1", "rollouts"),
    ("argoproj.io/v1alpha1", "workflows"),
    ("serving.knative.dev/v1", "services"),
)
"""Kinds with a pod template; a cluster that does not define one has none of it."""

PODS: Final = ("v1", "pods")
"""Read last: what runs is compared with what is used."""

_FINISHED_CONDITIONS = frozenset({"Complete", "Failed", "Completed"})
_FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
_MAX_WORKLOADS = 20
"""How many workloads a fact names; a thousand replicas make the same statement."""


class Cluster(Protocol):
    """A cluster's API, as far as reading what it uses needs it."""

    def list_objects(self, api_version: str, plural: str) -> Iterable[dict[str, Any]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Use:
    """An image that a workload names, and where it runs."""

    image: WrittenImage
    placement: Placement
    platform: str | None
    workload: str
    """The first of those that name it so, in the form of the audit log."""


@dataclass(slots=True)
class Inventory:
    """What a cluster uses."""

    uses: dict[tuple[str, str, str | None], Use] = field(default_factory=dict)
    """Each image, placement and platform once."""
    running: dict[str, dict[Digest, list[str]]] = field(default_factory=dict)
    """Of each image as it is written, the digests that run, and some of the pods."""
    workloads: int = 0


def read_inventory(cluster: Cluster, settings: Settings) -> Inventory:
    """
    Read what a cluster uses, scaled-to-zero workloads among it.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    inventory = Inventory()
    reader = _Reader(inventory, settings)
    for api_version, plural in KINDS:
        for body in cluster.list_objects(api_version, plural):
            reader.read(body, api_version, plural)
    for body in cluster.list_objects(*PODS):
        reader.read(body, *PODS)
        reader.read_running(body)
    return inventory


class _Reader:
    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        self._inventory = inventory
        self._settings = settings
        self._selection = Selection(settings.include, settings.exclude, settings.accelerators_only)
        self._hidden = {settings.namespace, *settings.system_namespaces}
        self._used: set[str] = set()

    def read(self, body: Mapping[str, Any], api_version: str, plural: str) -> None:
        """Take up the images that an object names, unless it is done or not to be looked at."""
        namespace = text_of(field_at(body, ("metadata", "namespace"))) or ""
        if namespace in self._hidden or has_built_in_controller(body) or _is_finished(body):
            return
        self._inventory.workloads += 1
        name = text_of(field_at(body, ("metadata", "name"))) or ""
        group = api_version if "/" in api_version else f"core/{api_version}"
        workload = f"{group}/namespaces/{namespace}/{plural}/{name}"
        for pod in find_pod_specs(body):
            if not self._selection.wants(pod):
                continue
            placement = pod.placement.reduced_to(self._settings.placement_keys)
            for image in pod.images:
                if self._selection.admits(image.reference):
                    key = (image.text, placement.canonical, pod.platform)
                    use = Use(image, placement, pod.platform, workload)
                    self._inventory.uses.setdefault(key, use)
                    self._used.add(image.text)

    def read_running(self, body: Mapping[str, Any]) -> None:
        """Take up the digests that a pod runs, of images that are in use."""
        namespace = text_of(field_at(body, ("metadata", "namespace"))) or ""
        if namespace in self._hidden or _is_finished(body):
            return
        name = text_of(field_at(body, ("metadata", "name"))) or ""
        written = {
            text_of(container.get("name")): text_of(container.get("image"))
            for container in mappings_of(field_at(body, ("spec", "containers")))
        }
        for status in mappings_of(field_at(body, ("status", "containerStatuses"))):
            image = written.get(text_of(status.get("name")))
            digest = _digest_of(text_of(status.get("imageID")))
            if image is None or digest is None or image not in self._used:
                continue
            pods = self._inventory.running.setdefault(image, {}).setdefault(digest, [])
            if len(pods) < _MAX_WORKLOADS:
                pods.append(f"core/v1/namespaces/{namespace}/pods/{name}")


def _digest_of(image_id: str | None) -> Digest | None:
    """Return the digest by which a runtime pulled an image; older ones prefix a scheme."""
    try:
        return parse_digest((image_id or "").rpartition("@")[2])
    except InvalidReferenceError:
        return None


def _is_finished(body: Mapping[str, Any]) -> bool:
    """Whether a Job, a workflow or a pod is done, so that its image is no longer used."""
    if text_of(field_at(body, ("status", "phase"))) in _FINISHED_PHASES:
        return True
    return any(
        condition.get("type") in _FINISHED_CONDITIONS and condition.get("status") == "True"
        for condition in mappings_of(field_at(body, ("status", "conditions")))
    )
