"""The resources that the server knows, as a table."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

STATUS = ("status",)
SCALED = ("scale", "status")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one version of an API group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    has_generation: bool = False
    """Whether metadata.generation counts the changes of the specification."""
    singular: str = ""
    categories: tuple[str, ...] = ()
    custom: bool = False
    """Whether a CustomResourceDefinition made it, so that no schema is known."""
    stored: bool = True
    """False for reviews, which are answered and not kept."""

    @property
    def key(self) -> str:
        """``plural.group``, or the plural alone in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """As it stands in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_kind(self) -> str:
        """``Kind.group``, as messages about invalid objects name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


def _core(plural: str, kind: str, *, namespaced: bool = True, **rest: object) -> Resource:
    return Resource("", "v1", plural, kind, namespaced, **rest)  # type: ignore[arg-type]


def _of(group: str, plural: str, kind: str, *, namespaced: bool = True, **rest: object) -> Resource:
    return Resource(group, "v1", plural, kind, namespaced, **rest)  # type: ignore[arg-type]


_APPS = "apps"
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_AUTHORIZATION = "authorization.k8s.io"
_ALL = ("all",)

BUILT_IN: tuple[Resource, ...] = (
    _core(
        "namespaces",
        "Namespace",
        namespaced=False,
        subresources=("finalize", "status"),
        short_names=("ns",),
    ),
    _core(
        "pods",
        "Pod",
        subresources=("binding", "ephemeralcontainers", "eviction", "log", "status"),
        short_names=("po",),
        has_generation=True,
        categories=_ALL,
    ),
    _core("nodes", "Node", namespaced=False, subresources=STATUS, short_names=("no",)),
    _core("events", "Event", short_names=("ev",)),
    _core("configmaps", "ConfigMap", short_names=("cm",)),
    _core("secrets", "Secret"),
    _core("serviceaccounts", "ServiceAccount", subresources=("token",), short_names=("sa",)),
    _core("services", "Service", subresources=STATUS, short_names=("svc",), categories=_ALL),
    _core("endpoints", "Endpoints", short_names=("ep",)),
    _core("resourcequotas", "ResourceQuota", subresources=STATUS, short_names=("quota",)),
    _core("limitranges", "LimitRange", short_names=("limits",)),
    _core("podtemplates", "PodTemplate", has_generation=True),
    _core(
        "persistentvolumeclaims", "PersistentVolumeClaim", subresources=STATUS, short_names=("pvc",)
    ),
    _core(
        "persistentvolumes",
        "PersistentVolume",
        namespaced=False,
        subresources=STATUS,
        short_names=("pv",),
    ),
    _core(
        "replicationcontrollers",
        "ReplicationController",
        subresources=SCALED,
        short_names=("rc",),
        has_generation=True,
        categories=_ALL,
    ),
    _of(
        _APPS,
        "deployments",
        "Deployment",
        subresources=SCALED,
        short_names=("deploy",),
        has_generation=True,
        categories=_ALL,
    ),
    _of(
        _APPS,
        "statefulsets",
        "StatefulSet",
        subresources=SCALED,
        short_names=("sts",),
        has_generation=True,
        categories=_ALL,
    ),
    _of(
        _APPS,
        "daemonsets",
        "DaemonSet",
        subresources=STATUS,
        short_names=("ds",),
        has_generation=True,
        categories=_ALL,
    ),
    _of(
        _APPS,
        "replicasets",
        "ReplicaSet",
        subresources=SCALED,
        short_names=("rs",),
        has_generation=True,
        categories=_ALL,
    ),
    _of(_APPS, "controllerrevisions", "ControllerRevision"),
    _of("batch", "jobs", "Job", subresources=STATUS, has_generation=True, categories=_ALL),
    _of(
        "batch",
        "cronjobs",
        "CronJob",
        subresources=STATUS,
        short_names=("cj",),
        has_generation=True,
        categories=_ALL,
    ),
    _of(
        "scheduling.k8s.io",
        "priorityclasses",
        "PriorityClass",
        namespaced=False,
        short_names=("pc",),
        has_generation=True,
    ),
    _of(
        "networking.k8s.io",
        "networkpolicies",
        "NetworkPolicy",
        short_names=("netpol",),
        has_generation=True,
    ),
    _of(
        "networking.k8s.io",
        "ingresses",
        "Ingress",
        subresources=STATUS,
        short_names=("ing",),
        has_generation=True,
    ),
    _of(_RBAC, "roles", "Role"),
    _of(_RBAC, "rolebindings", "RoleBinding"),
    _of(_RBAC, "clusterroles", "ClusterRole", namespaced=False),
    _of(_RBAC, "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _of("coordination.k8s.io", "leases", "Lease"),
    _of(
        "policy",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        subresources=STATUS,
        short_names=("pdb",),
        has_generation=True,
    ),
    _of(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
        subresources=STATUS,
        short_names=("crd", "crds"),
        has_generation=True,
    ),
    *(
        _of(_ADMISSION, plural, kind, namespaced=False, has_generation=True)
        for plural, kind in (
            ("mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
            ("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
            ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
            ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
        )
    ),
    _of(
        _AUTHORIZATION,
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        stored=False,
    ),
    _of(
        _AUTHORIZATION,
        "subjectaccessreviews",
        "SubjectAccessReview",
        namespaced=False,
        stored=False,
    ),
    _of(
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
        namespaced=False,
        stored=False,
    ),
)


class Resources:
    """The table in use: what is built in, and what CustomResourceDefinitions add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_key: dict[str, Resource] = {}
        for resource in BUILT_IN:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve a resource; the version added first is the one that in-process callers get."""
        with self._lock:
            self._by_path[resource.group, resource.version, resource.plural] = resource
            self._by_key.setdefault(resource.key, resource)

    def remove(self, group: str, plural: str) -> None:
        """Serve a resource no longer, in any version."""
        with self._lock:
            self._by_path = {
                path: resource
                for path, resource in self._by_path.items()
                if (resource.group, resource.plural) != (group, plural)
            }
            self._by_key.pop(f"{plural}.{group}", None)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that a path names."""
        return self._by_path.get((group, version, plural))

    def named(self, key: str) -> Resource:
        """Return the resource written like ``jobs.batch``; KeyError if there is none."""
        return self._by_key[key]

    def has_key(self, key: str) -> bool:
        """Whether a resource is served under this name."""
        return key in self._by_key

    def all(self) -> Iterable[Resource]:
        """Return every resource of every version."""
        with self._lock:
            return tuple(self._by_path.values())

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of an object, as owner references name it."""
        for resource in self.all():
            if resource.kind == kind and resource.api_version == api_version:
                return resource
        return None
