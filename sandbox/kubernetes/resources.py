"""The resources that the server serves."""

from collections.abc import Iterable
from dataclasses import dataclass

_APPS = "apps"
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_STATUS = ("status",)


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one version of an API group."""

    group: str
    plural: str
    kind: str
    short_name: str = ""
    subresources: tuple[str, ...] = ()
    namespaced: bool = True
    has_generation: bool = False
    """Whether metadata.generation counts the changes of the specification."""
    in_all: bool = False
    """Whether ``kubectl get all`` lists it."""
    stored: bool = True
    """False for reviews: the server answers and does not keep them."""
    version: str = "v1"

    @property
    def key(self) -> str:
        """``plural.group``, or the plural alone in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_kind(self) -> str:
        """``Kind.group``, as messages about invalid objects name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


def _workload(group: str, plural: str, kind: str, short_name: str = "") -> Resource:
    in_all = True
    return Resource(group, plural, kind, short_name, _STATUS, has_generation=True, in_all=in_all)


def _cluster_wide(group: str, plural: str, kind: str, short_name: str = "") -> Resource:
    return Resource(group, plural, kind, short_name, namespaced=False)


def _policy(plural: str, kind: str) -> Resource:
    return Resource(_ADMISSION, plural, kind, namespaced=False, has_generation=True)


def _review(plural: str, kind: str) -> Resource:
    return Resource("authorization.k8s.io", plural, kind, namespaced=False, stored=False)


_POD_SUBRESOURCES = ("binding", "ephemeralcontainers", "eviction", "log", "status")

RESOURCES: tuple[Resource, ...] = (
    Resource("", "namespaces", "Namespace", "ns", ("finalize", "status"), namespaced=False),
    Resource("", "pods", "Pod", "po", _POD_SUBRESOURCES, has_generation=True, in_all=True),
    Resource("", "nodes", "Node", "no", _STATUS, namespaced=False),
    Resource("", "events", "Event", "ev"),
    Resource("", "configmaps", "ConfigMap", "cm"),
    Resource("", "secrets", "Secret"),
    Resource("", "serviceaccounts", "ServiceAccount", "sa"),
    Resource("", "services", "Service", "svc", _STATUS, in_all=True),
    Resource("", "resourcequotas", "ResourceQuota", "quota", _STATUS),
    _workload("", "replicationcontrollers", "ReplicationController", "rc"),
    _workload(_APPS, "deployments", "Deployment", "deploy"),
    _workload(_APPS, "statefulsets", "StatefulSet", "sts"),
    _workload(_APPS, "daemonsets", "DaemonSet", "ds"),
    _workload(_APPS, "replicasets", "ReplicaSet", "rs"),
    _workload("batch", "jobs", "Job"),
    _workload("batch", "cronjobs", "CronJob", "cj"),
    Resource(
        "scheduling.k8s.io",
        "priorityclasses",
        "PriorityClass",
        "pc",
        namespaced=False,
        has_generation=True,
    ),
    Resource(
        "networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol", has_generation=True
    ),
    Resource(_RBAC, "roles", "Role"),
    Resource(_RBAC, "rolebindings", "RoleBinding"),
    _cluster_wide(_RBAC, "clusterroles", "ClusterRole"),
    _cluster_wide(_RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    _policy("mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
    _policy("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
    _review("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    _review("subjectaccessreviews", "SubjectAccessReview"),
)
BY_KEY = {resource.key: resource for resource in RESOURCES}
"""Every resource by its key, such as ``jobs.batch``."""
_BY_PATH = {(each.group, each.version, each.plural): each for each in RESOURCES}
_BY_KIND = {(each.api_version, each.kind): each for each in RESOURCES}


def find_resource(group: str, version: str, plural: str) -> Resource | None:
    """Return the resource that a path names."""
    return _BY_PATH.get((group, version, plural))


def find_kind(api_version: str, kind: str) -> Resource | None:
    """Return the resource of an object, as owner references name it."""
    return _BY_KIND.get((api_version, kind))


def resources_of(group: str, version: str) -> Iterable[Resource]:
    """Return the resources of one version of an API group."""
    return [each for each in RESOURCES if (each.group, each.version) == (group, version)]
