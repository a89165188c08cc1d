"""
The images that a cluster uses: those that its workloads name, and the digests that run.

Each object is reduced to its distinct images before the next one is read, so memory does not grow
with the number of workloads. A limited part of each object is kept, however large it is.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from shared.domain.cron_schedule import Schedule
from shared.domain.image_fields import find_image_fields
from shared.domain.image_reference import Digest, InvalidReferenceError, WrittenImage, parse_digest
from shared.domain.image_selection import Selection
from shared.domain.json_access import field_at, mappings_of, text_of
from shared.domain.mirror_reference import rewrite_field
from shared.domain.owner import (
    find_controller,
    find_workload,
    has_built_in_controller,
    resource_name,
)
from shared.domain.placement import Placement
from shared.domain.proven_mirrors import PARAMETER_NAME, ProvenMirrors
from shared.domain.workload import find_pod_specs, read_originals
from shared.settings.keys import Settings

if TYPE_CHECKING:
    from shared.pipeline.ports import WorkloadApi

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
"""Kinds with a pod template; a cluster may not define all of them."""

PODS: Final = ("v1", "pods")
"""Read last, because running images are compared with those in use."""

_NAME = ("namespace", "name")

_STATES = (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses"))

_FINISHED_CONDITIONS = frozenset({"Complete", "Completed", "Failed", "Succeeded"})
_FINISHED_STATES = frozenset({"Complete", "Error", "Failed", "Succeeded"})
_STATE_FIELDS = ("phase", "jobDeploymentStatus")
"""The status fields for the end: of pods and Argo Workflows, and of RayJobs."""

_HISTORY_KEEPERS = frozenset({"Rollout", "Revision"})
"""Controllers that keep their earlier versions, scaled to zero: Argo's, and Knative's."""

_MAX_WORKLOADS = 20
"""The maximum of workloads that a fact names."""

MAX_IMAGES: Final = 32
"""The maximum of images, placements and platforms of one workload that are kept warm."""

_MAX_SCHEDULE = 256
"""The longest schedule that is read; a valid one can have any length."""


@dataclass(frozen=True, slots=True)
class Use:
    """An image that a workload names, and where it runs."""

    image: WrittenImage
    placement: Placement
    platform: str | None
    workload: str
    """The first workload that names it, in the form of the audit log."""
    workloads: int = 1
    """The number of workloads that name it."""
    schedules: frozenset[Schedule] = frozenset()
    """The schedules of its CronJobs."""

    def also(self, schedule: Schedule | None) -> "Use":
        """Return the use with one more workload."""
        schedules = self.schedules
        if schedule is not None and len(schedules) < _MAX_WORKLOADS:
            schedules |= {schedule}
        return replace(self, workloads=self.workloads + 1, schedules=schedules)


@dataclass(slots=True)
class Inventory:
    """The images that a cluster uses."""

    uses: dict[tuple[str, str, str | None], Use] = field(default_factory=dict)
    """Each image, placement and platform once."""
    running: dict[str, dict[Digest, list[str]]] = field(default_factory=dict)
    """The running digests by the image as written, each with some of its workloads."""
    bypassing: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Some workloads that run an image from its upstream, by the image and its proven mirror."""
    workloads: int = 0
    left_out: int = 0
    """The number of uses beyond the limit of their workload."""


def read_inventory(cluster: "WorkloadApi", settings: Settings) -> Inventory:
    """
    Return the images that a cluster uses, also by workloads that are scaled to zero.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    parameter = cluster.fetch_config_map(PARAMETER_NAME) or {}
    proven = ProvenMirrors.from_data(parameter.get("data") or {})
    reader = Reader(settings, proven)
    for api_version, plural in _served_kinds(cluster):
        for body in cluster.list_objects(api_version, plural):
            reader.read(body, api_version, plural)
    for body in cluster.list_objects(*PODS):
        reader.read(body, *PODS)
        reader.read_running(body)
    return reader.inventory


def _served_kinds(cluster: "WorkloadApi") -> Iterator[tuple[str, str]]:
    """Yield the kinds that the cluster defines, in a version that it serves."""
    groups = cluster.fetch_group_versions()
    for api_version, plural in KINDS:
        group, _, version = api_version.rpartition("/")
        served = groups.get(group, ()) if group else (version,)
        if served:
            best = version if version in served else served[0]
            yield (f"{group}/{best}" if group else best), plural


def hidden_namespaces(settings: Settings) -> frozenset[str]:
    """Return the namespaces that are never examined: the system's, and our own."""
    return settings.system_namespaces | {settings.namespace}


def is_in_use(body: Mapping[str, Any], hidden: Collection[str]) -> bool:
    """
    Whether the images of an object are in use because of it.

    False if the object has finished, if a built-in controller created it from another object, or
    if its namespace is hidden.
    """
    namespace = text_of(field_at(body, ("metadata", "namespace"))) or ""
    return not (namespace in hidden or has_built_in_controller(body) or _is_past(body))


class Reader:
    """Adds objects to an inventory, one by one."""

    def __init__(self, settings: Settings, proven: ProvenMirrors) -> None:
        self.inventory = Inventory()
        self._proven = proven
        self._keys = settings.placement_keys
        self._selection = Selection(settings.include, settings.exclude, settings.accelerators_only)
        self._hidden = hidden_namespaces(settings)
        self._used: set[str] = set()

    def read(self, body: Mapping[str, Any], api_version: str, plural: str) -> None:
        """Add the images that an object names, if the object is in use."""
        if not is_in_use(body, self._hidden):
            return
        namespace, name = (text_of(field_at(body, ("metadata", key))) or "" for key in _NAME)
        self.inventory.workloads += 1
        workload = resource_name(api_version, plural, namespace, name)
        schedule = _schedule_of(body) if plural == "cronjobs" else None
        named: dict[tuple[str, str, str | None], Use] = {}
        for pod in find_pod_specs(body):
            if not self._selection.wants(pod):
                continue
            placement = pod.placement.reduced_to(self._keys)
            canonical = placement.canonical
            for image in pod.images:
                if self._selection.admits(image.reference):
                    key = (image.text, canonical, pod.platform)
                    named[key] = Use(image, placement, pod.platform, workload, workloads=0)
        self.inventory.left_out += max(0, len(named) - MAX_IMAGES)
        for key, use in islice(named.items(), MAX_IMAGES):
            self._used.add(use.image.text)
            self.inventory.uses[key] = self.inventory.uses.get(key, use).also(schedule)

    def read_running(self, pod: Mapping[str, Any]) -> None:
        """Add the digests of images in use that a pod runs, and those that bypass a mirror."""
        namespace = text_of(field_at(pod, ("metadata", "namespace"))) or ""
        is_leaving = field_at(pod, ("metadata", "deletionTimestamp")) is not None
        if namespace in self._hidden or is_leaving or _is_past(pod):
            return
        originals = read_originals(pod)
        workload = find_workload(pod)
        running = {
            (originals.get(image, image), digest)
            for image, digest in _find_running(pod)
            if originals.get(image, image) in self._used
        }
        for image, digest in running:
            _name(self.inventory.running.setdefault(image, {}).setdefault(digest, []), workload)
        if self._proven.proofs and running:
            self._read_bypasses(pod, {image for image, _ in running}, workload)

    def _read_bypasses(self, pod: Mapping[str, Any], running: set[str], workload: str) -> None:
        """Add the images that new pods would pull from a mirror, but this pod did not."""
        for each in find_image_fields(pod):
            if each.image not in running:
                continue
            mirror = rewrite_field(each, self._proven.proofs, self._proven.pull_secrets).mirror
            if mirror is not None:
                _name(self.inventory.bypassing.setdefault((each.image, mirror), []), workload)


def _find_running(pod: Mapping[str, Any]) -> Iterator[tuple[str, Digest]]:
    """Yield the images of a pod's running containers, as the pod names them, with their digest."""
    for containers, statuses in _STATES:
        written = {
            text_of(container.get("name")): text_of(container.get("image"))
            for container in mappings_of(field_at(pod, ("spec", containers)))
        }
        for status in mappings_of(field_at(pod, ("status", statuses))):
            image = written.get(text_of(status.get("name")))
            digest = _digest_of(text_of(status.get("imageID")))
            if image and digest and field_at(status, ("state", "running")) is not None:
                yield image, digest


def _digest_of(image_id: str | None) -> Digest | None:
    """
    Return the digest by which a runtime pulled an image; None if it was not pulled by digest.

    The ID of such an image is the digest of its configuration, without a name before it.
    """
    _, at, digest = (image_id or "").rpartition("@")
    try:
        return parse_digest(digest) if at else None
    except InvalidReferenceError:
        return None


def _schedule_of(cron_job: Mapping[str, Any]) -> Schedule | None:
    """Return the schedule of a CronJob; None while it is suspended, or if it is too long."""
    text = text_of(field_at(cron_job, ("spec", "schedule"))) or ""
    if not 0 < len(text) <= _MAX_SCHEDULE or field_at(cron_job, ("spec", "suspend")) is True:
        return None
    return Schedule(text, text_of(field_at(cron_job, ("spec", "timeZone"))))


def _is_past(body: Mapping[str, Any]) -> bool:
    """Whether an object has finished, or is kept as history, so that its image is not in use."""
    if any(field_at(body, ("status", each)) in _FINISHED_STATES for each in _STATE_FIELDS):
        return True
    if field_at(body, ("spec", "replicas")) == 0:
        return find_controller(body).get("kind") in _HISTORY_KEEPERS
    return any(
        condition.get("type") in _FINISHED_CONDITIONS and condition.get("status") == "True"
        for condition in mappings_of(field_at(body, ("status", "conditions")))
    )


def _name(workloads: list[str], workload: str) -> None:
    if len(workloads) < _MAX_WORKLOADS and workload not in workloads:
        workloads.append(workload)
