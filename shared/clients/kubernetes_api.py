"""
The Kubernetes API of one cluster, as plain objects.

The official client provides the connection, the identity and the pool. Bodies are not converted
to its model classes: building them would cost more than the calls.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared.clients.deadline import READ_RETRIES, TIMEOUT
from shared.clients.kubernetes_page import Page, PageSize, parse_object, read_limited
from shared.clients.vendor_error import TRANSIENT_STATUSES, kubernetes_errors
from shared.clients.vendor_import import IMPORTING
from shared.domain.cluster import ClusterName
from shared.errors import (
    ClusterRefusedError,
    ClusterUnavailableError,
    ConfigurationError,
    EventError,
    InvalidEventError,
    TransientError,
)

if TYPE_CHECKING:
    from shared.domain.node_accounts import NodeAccounts

_UNAUTHORIZED = 401
_NOT_FOUND = 404
_CONFLICT = 409
_GONE = 410
_INVALID = frozenset({400, 413, 422})
_PAGE = 100
"""Objects per page, at most."""
_JOB_PAGE = 500
"""Jobs of ours per page; each has a few kilobytes."""
_EVENT_PAGE = 500
"""Events per page; an event has at most a few kilobytes."""

_MERGE_PATCH = "application/merge-patch+json"


def make_configuration() -> Any:
    """
    Make the configuration of a client, without the cluster's address.

    A read whose connection breaks is sent once more. By default the client would send it three
    times more, and would sleep for the time of a ``Retry-After``. Such waits are left to Pub/Sub,
    because a delivery ends within seconds.
    """
    with IMPORTING:
        import urllib3
        from kubernetes.client import Configuration

    configuration = Configuration()
    configuration.retries = urllib3.Retry(total=READ_RETRIES, respect_retry_after_header=False)
    return configuration


class KubernetesCluster:
    """Reads a cluster, and manages the Jobs and the ConfigMap of one namespace."""

    def __init__(
        self,
        name: ClusterName,
        client: Any,
        *,
        namespace: str,
        is_autopilot: bool = False,
        accounts: "Callable[[], NodeAccounts | None]" = lambda: None,
    ) -> None:
        self.name = name
        self._accounts = accounts
        self.is_autopilot = is_autopilot
        self._client = client
        self._namespace = namespace
        self._lock = threading.Lock()

    @property
    def accounts(self) -> "NodeAccounts | None":
        """
        The service accounts of its nodes; None if unknown.

        Raises:
            UnknownClusterError: The cluster does not exist.
            TransientError: The Container API is unavailable.
            ConfigurationError: It refuses our identity.
        """
        return self._accounts()

    def fetch_job(self, name: str) -> dict[str, Any] | None:
        """Fetch a Job of our namespace; ``None`` if it does not exist."""
        return self._read(self._job(name))

    def create_job(self, body: Mapping[str, Any]) -> bool:
        """
        Create a Job; return ``False`` if a Job of that name exists.

        Raises:
            InvalidEventError: The API server refuses the body, which is built from the message.
            ConfigurationError: Our namespace is missing, or our identity is refused.
            TransientError: The API server is unavailable.
        """
        try:
            self._call("POST", self._jobs, body=body, query={"fieldValidation": "Strict"})
        except _ConflictError as exc:
            if not exc.exists:
                raise
            return False
        return True

    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool:
        """
        Merge a patch into a Job; return ``False`` if the Job was deleted or changed.

        A patch with ``metadata.resourceVersion`` applies to that version only. A patch without it
        conflicts only if others write at the same time, and may succeed later.
        """
        return self._patch(self._job(name), patch)

    def delete_job(self, name: str, uid: str, version: str | None = None) -> None:
        """Delete a Job and its pods, if its uid, and its version if given, are still the same."""
        still = {"uid": uid} | ({} if version is None else {"resourceVersion": version})
        options = {"propagationPolicy": "Background", "preconditions": still}
        try:
            self._call("DELETE", self._job(name), body=options)
        except (_ConflictError, _NotFoundError):
            return

    def list_jobs(self, label_selector: str, field_selector: str = "") -> Iterator[dict[str, Any]]:
        """List the Jobs of our namespace, page by page."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        return self._list(self._jobs, selectors, _JOB_PAGE)

    def list_pods(self, label_selector: str) -> Iterator[dict[str, Any]]:
        """List the pods of our namespace, page by page."""
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        return self._list(path, {"labelSelector": label_selector})

    def list_pending_pods(self) -> Iterator[dict[str, Any]]:
        """List the pods of all namespaces whose containers have not all started, page by page."""
        return self._list("/api/v1/pods", {"fieldSelector": "status.phase=Pending"})

    def fetch_pod(self, name: str, namespace: str) -> dict[str, Any] | None:
        """Fetch a pod of any namespace; ``None`` if it does not exist."""
        return self.fetch_object("v1", "pods", name, namespace)

    def list_events(
        self, field_selector: str, namespace: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """List the events of a namespace (by default ours), page by page."""
        path = f"/api/v1/namespaces/{namespace or self._namespace}/events"
        return self._list(path, {"fieldSelector": field_selector}, _EVENT_PAGE)

    def list_pod_events(self, field_selector: str) -> Iterator[dict[str, Any]]:
        """List the events of pods in all namespaces, page by page."""
        return self._list("/api/v1/events", {"fieldSelector": field_selector}, _EVENT_PAGE)

    def list_objects(self, api_version: str, plural: str) -> Iterator[dict[str, Any]]:
        """
        List the objects of a kind in all namespaces, page by page.

        The list is empty if the cluster does not define the kind.
        """
        try:
            yield from self._list(_object_path(api_version, plural), {})
        except _NotFoundError:
            return

    def fetch_object(
        self, api_version: str, plural: str, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """Fetch an object; ``None`` if the object or its kind does not exist."""
        path = _object_path(api_version, plural, namespace)
        return self._read(f"{path}/{quote(name, safe='')}")

    def create_object(
        self, plural: str, body: Mapping[str, Any], namespace: str | None = None
    ) -> bool:
        """Create an object; return ``False`` if one of that name exists."""
        path = _object_path(str(body["apiVersion"]), plural, namespace)
        try:
            self._call("POST", path, body=body, query={"fieldValidation": "Strict"})
        except _ConflictError as exc:
            if not exc.exists:
                raise
            return False
        return True

    def delete_object(self, api_version: str, plural: str, name: str) -> None:
        """Delete an object of the cluster, and what it contains; a missing one is not an error."""
        path = f"{_object_path(api_version, plural)}/{quote(name, safe='')}"
        try:
            self._call("DELETE", path, body={"propagationPolicy": "Background"})
        except (_ConflictError, _NotFoundError):
            return

    def review_access(self, attributes: Mapping[str, str], user: str | None = None) -> bool:
        """
        Return whether a user may make a request.

        Args:
            attributes: The ``resourceAttributes`` of the request.
            user: The user; ``None`` for the caller.
        """
        kind = "SelfSubjectAccessReview" if user is None else "SubjectAccessReview"
        spec: dict[str, Any] = {"resourceAttributes": dict(attributes)}
        if user is not None:
            spec["user"] = user
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        answer = self._call("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body=body)
        return (answer.get("status") or {}).get("allowed") is True

    def fetch_group_versions(self) -> dict[str, tuple[str, ...]]:
        """Fetch the API groups of the cluster, each with its versions, preferred first."""
        groups = self._call("GET", "/apis").get("groups") or []
        return {
            group["name"]: tuple(each["version"] for each in group.get("versions") or [])
            for group in groups
        }

    def fetch_discovery(self, path: str) -> dict[str, Any] | None:
        """Fetch a document that describes the API, such as ``/version``; ``None`` if absent."""
        return self._read(path)

    def fetch_namespace(self) -> dict[str, Any] | None:
        """Fetch our namespace; ``None`` if it does not exist."""
        return self._read(f"/api/v1/namespaces/{self._namespace}")

    def fetch_config_map(self, name: str) -> dict[str, Any] | None:
        """Fetch a ConfigMap of our namespace; ``None`` if it does not exist."""
        return self._read(self._config_map(name))

    def patch_config_map(self, name: str, patch: Mapping[str, Any]) -> bool:
        """
        Merge a patch into a ConfigMap; return ``False`` if it was deleted or changed.

        A patch with ``metadata.resourceVersion`` applies to that version only.
        """
        return self._patch(self._config_map(name), patch)

    def fetch_node(self, name: str) -> dict[str, Any] | None:
        """Fetch a node; ``None`` if it does not exist."""
        return self._read(f"/api/v1/nodes/{quote(name, safe='')}")

    def list_nodes(self, label_selector: str = "") -> Iterator[dict[str, Any]]:
        """List the nodes of the cluster, page by page."""
        return self._list("/api/v1/nodes", {"labelSelector": label_selector})

    @property
    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self._namespace}/jobs"

    def _config_map(self, name: str) -> str:
        return f"/api/v1/namespaces/{self._namespace}/configmaps/{name}"

    def _job(self, name: str) -> str:
        # Names come from events, which tenants can write: quote them, so that the path is ours.
        return f"{self._jobs}/{quote(name, safe='')}"

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", path)
        except _NotFoundError:
            return None

    def _patch(self, path: str, patch: Mapping[str, Any]) -> bool:
        try:
            self._call("PATCH", path, body=patch)
        except _NotFoundError:
            return False
        except _ConflictError:
            if "resourceVersion" in (patch.get("metadata") or {}):
                return False
            raise
        return True

    def _list(
        self, path: str, selectors: Mapping[str, str], page_size: int = _PAGE
    ) -> Iterator[dict[str, Any]]:
        query = {name: value for name, value in selectors.items() if value}
        size = PageSize(page_size)
        while True:
            query["limit"] = str(size.objects)
            content = self._send("GET", path, query=query, limit_bytes=size.limit_bytes)
            if content is None:
                size.shrink()
                continue
            size.adapt(len(content))
            page = Page(content, self._describe("GET", path))
            yield from page
            if not page.token:
                return
            query["continue"] = page.token

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        content = self._send(method, path, body=body, query=query)
        return parse_object(content or b"", self._describe(method, path))

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        limit_bytes: int | None = None,
    ) -> bytes | None:
        """Send a request, and return the answer; ``None`` if it exceeds a limit."""
        action = self._describe(method, path)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json" if method != "PATCH" else _MERGE_PATCH
        with kubernetes_errors(action):
            # The hook that refreshes the token changes the shared configuration.
            with self._lock:
                request = self._client.param_serialize(
                    method=method,
                    resource_path=path,
                    query_params=list((query or {}).items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
            answer = self._client.call_api(*request, _request_timeout=TIMEOUT)
            content = read_limited(answer.response, limit_bytes)
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return content
        raise _error(answer.status, action, content)

    def _describe(self, method: str, path: str) -> str:
        return f"{method} {path} in cluster {self.name}"


def _object_path(api_version: str, plural: str, namespace: str | None = None) -> str:
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    within = "" if namespace is None else f"/namespaces/{namespace}"
    return f"{root}{within}/{plural}"


class _NotFoundError(ClusterRefusedError):
    """404: the object does not exist; on creation, our namespace does not exist."""


class _ConflictError(TransientError):
    """409: the object already exists, or has changed."""

    def __init__(self, message: str, *, exists: bool) -> None:
        super().__init__(message)
        self.exists = exists


def _error(status: int, action: str, content: bytes | None) -> EventError:
    reason, said = _parse_status(content or b"")
    message = f"cannot {action}: {status} {said}"
    if status == _NOT_FOUND:
        return _NotFoundError(f"{message}; are Prestream's manifests applied to this cluster?")
    if status == _CONFLICT:
        # A quota that changes at the same time is a conflict too, and then nothing was created.
        return _ConflictError(message, exists=reason == "AlreadyExists")
    if status in _INVALID:
        return InvalidEventError(message)
    if status == _GONE:
        return TransientError(message)
    if status in TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004
        return ClusterUnavailableError(message)
    # With an expired token, for example, the rights in the cluster are unknown.
    refusal = ConfigurationError if status == _UNAUTHORIZED else ClusterRefusedError
    return refusal(message)


def _parse_status(content: bytes) -> tuple[str, str]:
    """Return the reason and the message of a Status; for any other body, its beginning."""
    try:
        status = json.loads(content)
        return str(status.get("reason")), str(status["message"])[:500]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", content[:300].decode(errors="replace")
