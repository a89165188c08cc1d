"""
Entries of GKE's audit log, as a log sink publishes them.

https://docs.cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry holds a
https://docs.cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec

from shared.domain.json_access import mapping_of, text_of
from shared.domain.owner import has_built_in_controller
from shared.domain.request import Cause
from shared.errors import InvalidEventError
from shared.messages.audit_method import Operation
from shared.messages.json_body import decode
from shared.messages.pubsub_message import PubsubMessage

if TYPE_CHECKING:
    from shared.domain.image_selection import Scope
    from shared.domain.request import ReferenceRequest
    from shared.domain.workload import PodSpec

_SERVICE = "k8s.io"
_RESOURCE_TYPE = "k8s_cluster"
_VERBS = frozenset({"create", "update", "patch"})

# A debugging container, with its image, enters a running pod through this sub-resource.
_EPHEMERAL_CONTAINERS = "ephemeralcontainers"

_DRY_RUN_LABEL = "command.gke.io/dryRun"

# The API server sets this label if it omitted the bodies of a large request:
# https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/plugin/pkg/audit/truncate/truncate.go
_TRUNCATED_LABEL = "audit.k8s.io/truncated"

# Kinds of responses that are not the written object.
_OTHER_ANSWERS = frozenset({"Status", "Table", "PartialObjectMetadata"})


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    A write to a Kubernetes API server.

    The author is not kept: nothing depends on it, and it is personal data.
    """

    insert_id: str
    operation: Operation | None
    """``None`` if the entry is not about a resource of the Kubernetes API."""
    resource_name: str | None
    project: str | None
    location: str | None
    cluster_name: str | None
    is_refused: bool
    is_dry_run: bool
    is_split: bool
    is_truncated: bool
    request: Mapping[str, Any]
    response: Mapping[str, Any]

    @classmethod
    def from_message(cls, message: PubsubMessage) -> Self:
        """
        Read the entry from a message.

        Raises:
            InvalidEventError: The data is not a LogEntry, or it is an entry of the API server
                without its required fields.
        """
        wire = _decode(message.data)
        payload = wire.proto_payload or _WirePayload()
        status = payload.status or _WireStatus()
        labels = wire.labels or {}
        resource_labels = wire.resource.labels or {}
        response = mapping_of(payload.response)
        return cls(
            insert_id=wire.insert_id or message.message_id,
            operation=_read_operation(wire),
            resource_name=payload.resource_name,
            project=resource_labels.get("project_id"),
            location=resource_labels.get("location"),
            cluster_name=resource_labels.get("cluster_name"),
            is_refused=status.code != 0 or response.get("status") == "Failure",
            is_dry_run=bool(labels.get(_DRY_RUN_LABEL)),
            is_split=bool(wire.split),
            is_truncated=labels.get(_TRUNCATED_LABEL) == "true",
            request=mapping_of(payload.request),
            response=response,
        )

    @property
    def cluster(self) -> str:
        """
        The cluster's full name.

        Raises:
            InvalidEventError: The labels of the entry's resource do not name a cluster.
        """
        from shared.domain.cluster import ClusterName

        if not (self.project and self.location and self.cluster_name):
            raise InvalidEventError("the labels of the entry's resource name no cluster")
        name = f"projects/{self.project}/locations/{self.location}/clusters/{self.cluster_name}"
        try:
            return str(ClusterName.parse(name))
        except ValueError as exc:
            raise InvalidEventError(f"the entry's cluster is {exc}") from exc

    @property
    def cause(self) -> Cause:
        """The cause that a request carries."""
        return Cause("audit_log", self.insert_id, self.resource_name)

    @property
    def body(self) -> Mapping[str, Any]:
        """
        The written object; empty if the entry does not hold it.

        The response is the object as it was stored, with defaults. A patch holds only the
        changes, in a format of its own, so it cannot replace a missing response.
        """
        answer = text_of(self.response.get("kind")) or ""
        if self.response and answer not in _OTHER_ANSWERS:
            return self.response
        is_patch = self.operation is not None and self.operation.verb == "patch"
        return {} if is_patch else self.request

    def reason_to_ignore(self, scope: "Scope") -> str | None:
        """
        Return the reason to ignore the entry; ``None`` if its object must be examined.

        Raises:
            InvalidEventError: The object must be examined, but the entry does not name a cluster.
        """
        return self.reason_in_itself or self.reason_in_scope(scope)

    @property
    def reason_in_itself(self) -> str | None:
        """The reason to ignore the entry under any configuration; ``None`` if there is not one."""
        operation = self.operation
        if operation is None:
            return "the entry is not about a Kubernetes resource"
        if operation.verb not in _VERBS:
            return f"the verb is {operation.verb}"
        if operation.sub_resource not in {None, _EPHEMERAL_CONTAINERS}:
            return f"the sub-resource {operation.sub_resource} brings no images"
        return next((text for text, holds in _REASONS if holds(self)), None)

    def reason_in_scope(self, scope: "Scope") -> str | None:
        """
        Return the reason to ignore the object's namespace or cluster; ``None`` if both are watched.

        Raises:
            InvalidEventError: The entry does not name a cluster.
        """
        from shared.domain.cluster import is_listed

        namespace = None if self.operation is None else self.operation.namespace
        if namespace == scope.namespace:
            return "the namespace is our own"
        if namespace in scope.system_namespaces:
            return "the namespace is one of the system's"
        if not is_listed(self.cluster, scope.clusters):
            return "the cluster is not watched"
        return None

    def requests(
        self, pods: "Iterable[PodSpec]", placement_keys: frozenset[str]
    ) -> "Iterator[ReferenceRequest]":
        """
        Yield a request for each image of the pods, with the pod's placement.

        Raises:
            InvalidEventError: The entry does not name a cluster.
        """
        from shared.domain.request import ReferenceRequest

        cluster = self.cluster
        for pod in pods:
            placement = pod.placement.reduced_to(placement_keys)
            for image in pod.images:
                yield ReferenceRequest(
                    image=image.text,
                    reference=image.reference,
                    cluster=cluster,
                    placement=placement,
                    platform=pod.platform,
                    cause=self.cause,
                )


def _has_seen_owner(entry: AuditEntry) -> bool:
    """
    Whether a built-in controller created the object from one that had its own entry.

    The entry of a custom resource has no body, so the objects of its controller are examined.
    A container that is added to a running pod is not in its owner's template.
    """
    if entry.operation is not None and entry.operation.sub_resource is not None:
        return False
    return has_built_in_controller(entry.response) or has_built_in_controller(entry.request)


# The first reason that applies is logged.
_REASONS: tuple[tuple[str, Callable[[AuditEntry], bool]], ...] = (
    ("the request was refused", lambda entry: entry.is_refused),
    ("the request was a dry run", lambda entry: entry.is_dry_run),
    ("the entry is a piece of a split one", lambda entry: entry.is_split),
    ("the bodies were truncated", lambda entry: entry.is_truncated),
    ("the object belongs to a built-in controller, whose own was seen", _has_seen_owner),
    ("the entry holds no object", lambda entry: not entry.body),
)


class _WireResource(msgspec.Struct):
    type: str
    labels: dict[str, str] | None = None


class _WireStatus(msgspec.Struct):
    code: int = 0


class _WirePayload(msgspec.Struct, rename="camel"):
    service_name: str | None = None
    method_name: str | None = None
    resource_name: str | None = None
    status: _WireStatus | None = None
    request: Any = None
    response: Any = None


class _WireEntry(msgspec.Struct, rename="camel"):
    resource: _WireResource
    insert_id: str | None = None
    labels: dict[str, str] | None = None
    split: dict[str, Any] | None = None
    proto_payload: _WirePayload | None = None
    json_payload: Any = None
    text_payload: Any = None


def _decode(data: bytes) -> _WireEntry:
    wire = decode(data, _WireEntry, "not a LogEntry")
    if wire.proto_payload is wire.json_payload is wire.text_payload is None:
        raise InvalidEventError("not a LogEntry: it has no payload")
    return wire


def _read_operation(wire: _WireEntry) -> Operation | None:
    """
    Read the operation of an API server's entry; ``None`` for any other entry.

    Entries that the cluster writes about itself have the same resource type but are not requests.
    """
    payload = wire.proto_payload
    if wire.resource.type != _RESOURCE_TYPE or payload is None:
        return None
    if payload.service_name not in {_SERVICE, None}:
        return None
    if payload.method_name is None or payload.resource_name is None:
        raise InvalidEventError("the entry is the API server's, but lacks the method or resource")
    return Operation.parse(payload.method_name, payload.resource_name)
