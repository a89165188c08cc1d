"""A core/v1 Event in the form of the Kubernetes API and of GKE's event exporter."""

import msgspec


class _Metadata(msgspec.Struct, rename="camel"):
    name: str | None = None
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
    def time(self) -> str | None:
        """The last time in the event; ``None`` if it holds none."""
        observed = self.series.last_observed_time if self.series else None
        return self.last_timestamp or observed or self.event_time

    @property
    def first_time(self) -> str | None:
        """The first time in the event: its creation in a log entry, which lacks the other field."""
        return self.first_timestamp or self.metadata.creation_timestamp
