"""
A cluster in memory: what warming and reporting need of an API server, and no more.

``cluster_conformance`` holds it to the behaviour of the real client on an API server.
"""

import copy
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.domain.manifests_version import MANIFESTS_VERSION, VERSION_LABEL
from shared.domain.node_accounts import NodeAccounts

Body = dict[str, Any]

POLICY_GROUP = "admissionregistration.k8s.io"
GPU_CLUSTER = ClusterName("demo", "us-central1", "gpu")
START = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)


class FakeDirectory:
    """The Container API; ``asked`` holds what it was asked for."""

    def __init__(
        self, clusters: Sequence[Cluster] = (Cluster(GPU_CLUSTER, has_accelerators=True),)
    ) -> None:
        self.clusters = clusters
        self.asked: list[str] = []

    def list_clusters(self, project: str) -> list[Cluster]:
        self.asked.append(project)
        return [each for each in self.clusters if each.name.project == project]

    def fetch_cluster(self, name: ClusterName) -> Cluster:
        self.asked.append(str(name))
        for each in self.clusters:
            if each.name == name:
                return each
        raise UnknownClusterError(f"there is no cluster {name}")


class FakeCluster:
    """
    Keeps Jobs, pods, events and nodes; each Job is created a second after the one before.

    ``calls`` holds the name of each method that was called; ``fail`` lets one of them raise.
    """

    def __init__(self, name: ClusterName = GPU_CLUSTER, *, is_autopilot: bool = False) -> None:
        self.name = name
        self.is_autopilot = is_autopilot
        self.namespace: Body | None = {
            "metadata": {"labels": {VERSION_LABEL: str(MANIFESTS_VERSION)}}
        }
        self.accounts: NodeAccounts | None = None
        self.jobs: dict[str, Body] = {}
        self.pods: list[Body] = []
        self.events: list[Body] = []
        self.nodes: dict[str, Body] = {}
        self.objects: dict[tuple[str, str], list[Body]] = {}
        """Objects of other kinds, by API version and plural."""
        self.config_maps: dict[str, Body] = {}
        self.discovery: dict[str, Body] = {
            f"/apis/{POLICY_GROUP}/v1": {"resources": [{"name": "mutatingadmissionpolicies"}]},
        }
        """The documents that describe the API, by path."""
        self.calls: list[str] = []
        self.listed: list[int] = []
        """How many Jobs each list of them had."""
        self.node_selectors: list[str] = []
        """By which labels nodes were asked for."""
        self.refuses_deletion = False
        """Whether a Job that is deleted stays, as one with a finalizer does."""
        self._failures: dict[str, Exception] = {}
        self._versions = 0

    def fail(self, call: str, error: Exception) -> None:
        """Let every call of a method raise an error."""
        self._failures[call] = error

    def recover(self) -> None:
        """Let every call succeed again."""
        self._failures.clear()

    def place(self, body: Body) -> Body:
        """Put an object into the cluster as somebody else would; a Job's status may be given."""
        stored = copy.deepcopy(body)
        kind = stored["kind"]
        if kind == "Job":
            self.jobs[stored["metadata"]["name"]] = stored
            self._stamp(stored)
        elif kind == "Node":
            self.nodes[stored["metadata"]["name"]] = stored
        elif kind == "ConfigMap":
            self.config_maps[stored["metadata"]["name"]] = stored
            self._stamp(stored)
        elif kind in {"Pod", "Event"}:
            (self.pods if kind == "Pod" else self.events).append(stored)
        else:
            key = (stored["apiVersion"], f"{kind.lower()}s")
            self.objects.setdefault(key, []).append(stored)
        return stored

    def end_job(self, name: str, condition: str) -> None:
        """Let a Job end, by the name of its condition: ``Complete`` or ``Failed``."""
        at = "2026-11-24T08:00:00Z"
        done = {"type": condition, "status": "True", "reason": "x", "lastTransitionTime": at}
        succeeded = {"succeeded": 1} if condition == "Complete" else {}
        self.jobs[name]["status"] = {"conditions": [done], **succeeded}

    def fetch_job(self, name: str) -> Body | None:
        self._called("fetch_job")
        return copy.deepcopy(self.jobs.get(name))

    def create_job(self, body: Mapping[str, Any]) -> bool:
        self._called("create_job")
        name = body["metadata"]["name"]
        if name in self.jobs:
            return False
        self.place(dict(body))
        return True

    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool:
        self._called("patch_job")
        job = self.jobs.get(name)
        wanted = (patch.get("metadata") or {}).get("resourceVersion")
        if job is None or wanted not in {None, job["metadata"]["resourceVersion"]}:
            return False
        _merge(job, patch)
        self._versions += 1
        job["metadata"]["resourceVersion"] = str(self._versions)
        return True

    def delete_job(self, name: str, uid: str, version: str | None = None) -> None:
        self._called("delete_job")
        job = self.jobs.get(name)
        if job is None or job["metadata"]["uid"] != uid or self.refuses_deletion:
            return
        if version in {None, job["metadata"]["resourceVersion"]}:
            del self.jobs[name]

    def list_jobs(self, label_selector: str, field_selector: str = "") -> Iterator[Body]:
        self._called("list_jobs")
        has_labels = _by_label(label_selector)
        wanted = field_selector.partition("status.successful=")[2]

        def matches(job: Body) -> bool:
            succeeded = str((job.get("status") or {}).get("succeeded", 0))
            return has_labels(job) and wanted in {"", succeeded}

        found = list(_select(list(self.jobs.values()), matches))
        self.listed.append(len(found))
        return iter(found)

    def list_pods(self, label_selector: str) -> Iterator[Body]:
        self._called("list_pods")
        return _select(self.pods, _by_label(label_selector))

    def list_pending_pods(self) -> Iterator[Body]:
        self._called("list_pending_pods")
        return _select(self.pods, _by_field("status.phase=Pending"))

    def fetch_pod(self, name: str, namespace: str) -> Body | None:
        self._called("fetch_pod")
        metadata = (name, namespace)
        found = (
            pod
            for pod in self.pods
            if (pod["metadata"]["name"], pod["metadata"]["namespace"]) == metadata
        )
        return copy.deepcopy(next(found, None))

    def list_events(self, field_selector: str, namespace: str | None = None) -> Iterator[Body]:
        self._called("list_events")
        wanted = namespace or "prestream"
        matches = _by_field(field_selector)
        return _select(
            self.events,
            lambda event: event["metadata"]["namespace"] == wanted and matches(event),
        )

    def list_pod_events(self, field_selector: str) -> Iterator[Body]:
        self._called("list_pod_events")
        return _select(self.events, _by_field(field_selector))

    def list_objects(self, api_version: str, plural: str) -> Iterator[Body]:
        self._called(f"list_objects {api_version}/{plural}")
        found = list(self.objects.get((api_version, plural), []))
        if (api_version, plural) == ("v1", "pods"):
            found += self.pods
        if (api_version, plural) == ("batch/v1", "jobs"):
            found += self.jobs.values()
        return _select(found, lambda _: True)

    def fetch_group_versions(self) -> dict[str, tuple[str, ...]]:
        self._called("fetch_group_versions")
        groups: dict[str, tuple[str, ...]] = {"apps": ("v1",), "batch": ("v1",)}
        for api_version, _ in self.objects:
            group, _, version = api_version.rpartition("/")
            if group and version not in groups.get(group, ()):
                groups[group] = (*groups.get(group, ()), version)
        return groups

    def fetch_discovery(self, path: str) -> Body | None:
        self._called("fetch_discovery")
        return copy.deepcopy(self.discovery.get(path))

    def fetch_namespace(self) -> Body | None:
        self._called("fetch_namespace")
        return copy.deepcopy(self.namespace)

    def fetch_config_map(self, name: str) -> Body | None:
        self._called("fetch_config_map")
        return copy.deepcopy(self.config_maps.get(name))

    def patch_config_map(self, name: str, patch: Mapping[str, Any]) -> bool:
        self._called("patch_config_map")
        standing = self.config_maps.get(name)
        version = patch.get("metadata", {}).get("resourceVersion")
        if standing is None or version not in {None, standing["metadata"]["resourceVersion"]}:
            return False
        _merge(standing, patch)
        self._versions += 1
        standing["metadata"]["resourceVersion"] = str(self._versions)
        return True

    def fetch_node(self, name: str) -> Body | None:
        self._called("fetch_node")
        return copy.deepcopy(self.nodes.get(name))

    def list_nodes(self, label_selector: str = "") -> Iterator[Body]:
        self._called("list_nodes")
        self.node_selectors.append(label_selector)
        return _select(list(self.nodes.values()), _by_label(label_selector))

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self._failures:
            raise self._failures[call]

    def _stamp(self, job: Body) -> None:
        self._versions += 1
        at = START + timedelta(seconds=self._versions)
        stamps = {
            "uid": str(uuid.uuid4()),
            "resourceVersion": str(self._versions),
            "creationTimestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        job["metadata"] = {**stamps, **job["metadata"]}


def _select(bodies: list[Body], matches: Callable[[Body], bool]) -> Iterator[Body]:
    return iter([copy.deepcopy(body) for body in bodies if matches(body)])


def _by_label(selector: str) -> Callable[[Body], bool]:
    """Return the meaning of a selector by equality (``a=b``) and existence (``a``)."""
    terms = [term.partition("=") for term in selector.split(",") if term]

    def matches(body: Body) -> bool:
        labels = body["metadata"].get("labels") or {}
        return all(key in labels and (not equal or labels[key] == to) for key, equal, to in terms)

    return matches


def _by_field(selector: str) -> Callable[[Body], bool]:
    terms = [term.partition("=") for term in selector.split(",") if term]

    def matches(body: Body) -> bool:
        for path, _, wanted in terms:
            value: Any = body
            for part in path.split("."):
                value = (value or {}).get(part)
            if (value or "") != wanted:
                return False
        return True

    return matches


def _merge(into: Body, patch: Mapping[str, Any]) -> None:
    """Merge a patch into an object: https://datatracker.ietf.org/doc/html/rfc7386."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(dict(value) if isinstance(value, Mapping) else value)
