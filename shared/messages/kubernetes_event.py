"""A core/v1 Event in the form of the Kubernetes API and of GKE's event exporter."""

import re
from typing import Final

import msgspec

_CLUSTER_NAMESPACES: Final = frozenset({"default", "kube-system"})
"""The namespaces of events about objects without a namespace."""

_MAX_NAME: Final = 253
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def is_object_name(text: str) -> bool:
    """
    Whether a pod, a Job or a node can have the name: a DNS subdomain.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/names/

    >>> is_object_name("gke-gpu-1.example"), is_object_name(".."), is_object_name("a" * 254)
    (True, False, False)
    """
    return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    creation_timestamp: str | None = None


class ObjectReference(msgspec.Struct, rename="camel"):
    """The object that an event is about."""

    kind: str
    name: str
    api_version: str | None = None
    namespace: str | None = None
    uid: str | None = None
    field_path: str | None = None


class _Source(msgspec.Struct, rename="camel"):
    component: str | None = None
    host: str | None = None


class _Series(msgspec.Struct, rename="camel"):
    last_observed_time: str | None = None


class KubernetesEvent(msgspec.Struct, rename="camel"):
    """The fields of a core/v1 Event that are read."""

    involved_object: ObjectReference
    reason: str
    message: str | None = None
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    source: _Source | None = None
    series: _Series | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    reporting_component: str | None = None
    reporting_instance: str | None = None

    @property
    def component(self) -> str:
        """The author: newer clients fill ``reportingComponent``, older ones ``source``."""
        source = self.source.component if self.source else None
        return source or self.reporting_component or ""

    @property
    def node(self) -> str | None:
        """The node whose kubelet wrote the event."""
        host = self.source.host if self.source else None
        if not host and self.component == "kubelet":
            host = self.reporting_instance
        return host or None

    @property
    def is_consistent(self) -> bool:
        """
        Whether the event is kept where its object is.

        With ``eventTime``, an API server admits an event about an object of another namespace, so
        the right to create events in one namespace would reach all of them.
        """
        about, namespace = self.involved_object, self.metadata.namespace or ""
        if about.kind == "Node":
            return not about.namespace and namespace in _CLUSTER_NAMESPACES
        return bool(namespace) and namespace == about.namespace

    @property
    def time(self) -> str | None:
        """The last time in the event; ``None`` if it holds none."""
        observed = self.series.last_observed_time if self.series else None
        return self.last_timestamp or observed or self.event_time

    @property
    def first_time(self) -> str | None:
        """The first time in the event: its creation in a log entry, which lacks the other field."""
        return self.first_timestamp or self.metadata.creation_timestamp
