"""
The Kubernetes API of one cluster, as plain objects.

The official client carries the connection, its identity and its pool. Bodies stay as the API
wrote them: building its thousand model classes would cost more than the calls.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from shared.clients.deadline import READ_RETRIES, TIMEOUT
from shared.clients.vendor_error import TRANSIENT_STATUSES, kubernetes_errors
from shared.clients.vendor_import import IMPORTING
from shared.domain.cluster import ClusterName
from shared.errors import ConfigurationError, EventError, InvalidEventError, TransientError

_NOT_FOUND = 404
_CONFLICT = 409
_GONE = 410
_INVALID = frozenset({400, 413, 422})
_PAGE = 100
"""Objects that are read at once. A page is held whole, and one of 250 pods takes 20 MB."""

_MERGE_PATCH = "application/merge-patch+json"


def make_configuration() -> Any:
    """
    Make the configuration of a client, to be filled in with the cluster's address.

    A request whose connection breaks off is sent once more if it only reads. By default the
    client would send it three times more, and sleep for as long as a ``Retry-After`` says; but
    waiting is Pub/Sub's business, and each delivery ends within seconds.
    """
    with IMPORTING:
        import urllib3
        from kubernetes.client import Configuration

    configuration = Configuration()
    configuration.retries = urllib3.Retry(total=READ_RETRIES, respect_retry_after_header=False)
    return configuration


class KubernetesCluster:
    """Reads nodes, and keeps the Jobs of one namespace."""

    def __init__(
        self, name: ClusterName, client: Any, *, namespace: str, is_autopilot: bool = False
    ) -> None:
        self.name = name
        self.is_autopilot = is_autopilot
        self._client = client
        self._namespace = namespace
        self._lock = threading.Lock()

    def fetch_job(self, name: str) -> dict[str, Any] | None:
        """Fetch a Job of our namespace; None if there is none of that name."""
        return self._read(self._job(name))

    def create_job(self, body: Mapping[str, Any]) -> bool:
        """
        Create a Job; return False if one of that name stands there already.

        Raises:
            InvalidEventError: The API server refuses the body, which follows from the message.
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
        Merge a patch into a Job; return False if it is gone or changed meanwhile.

        A patch that names ``metadata.resourceVersion`` takes effect on that version only. One
        that names none is in conflict only where others keep writing: it may succeed later.
        """
        return self._patch(self._job(name), patch)

    def delete_job(self, name: str, uid: str, version: str | None = None) -> None:
        """Delete a Job and its pods, if it is still the one with that uid, or of that version."""
        still = {"uid": uid} | ({} if version is None else {"resourceVersion": version})
        options = {"propagationPolicy": "Background", "preconditions": still}
        try:
            self._call("DELETE", self._job(name), body=options)
        except (_ConflictError, _NotFoundError):
            return

    def list_jobs(self, label_selector: str, field_selector: str = "") -> Iterator[dict[str, Any]]:
        """List the Jobs of our namespace, page by page."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        return self._list(self._jobs, selectors)

    def list_pods(self, label_selector: str) -> Iterator[dict[str, Any]]:
        """List the pods of our namespace, page by page."""
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        return self._list(path, {"labelSelector": label_selector})

    def list_events(
        self, field_selector: str, namespace: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """List the events of a namespace (ours if none is named), page by page."""
        path = f"/api/v1/namespaces/{namespace or self._namespace}/events"
        return self._list(path, {"fieldSelector": field_selector})

    def list_objects(self, api_version: str, plural: str) -> Iterator[dict[str, Any]]:
        """
        List the objects of a kind in all namespaces, page by page.

        A kind that the cluster does not define has none.
        """
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            yield from self._list(f"{root}/{plural}", {})
        except _NotFoundError:
            return

    def fetch_object(
        self, api_version: str, plural: str, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """Fetch an object; None if there is none of that name, or the cluster has no such kind."""
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        within = "" if namespace is None else f"/namespaces/{namespace}"
        return self._read(f"{root}{within}/{plural}/{quote(name, safe='')}")

    def review_access(self, attributes: Mapping[str, str], user: str | None = None) -> bool:
        """
        Ask whether a user, or else whoever asks, may make a request.

        Args:
            attributes: Of the request, by the names of ``resourceAttributes``.
            user: Who would make it.
        """
        kind = "SelfSubjectAccessReview" if user is None else "SubjectAccessReview"
        spec: dict[str, Any] = {"resourceAttributes": dict(attributes)}
        if user is not None:
            spec["user"] = user
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        answer = self._call("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body=body)
        return (answer.get("status") or {}).get("allowed") is True

    def fetch_group_versions(self) -> dict[str, tuple[str, ...]]:
        """Fetch the API groups that the cluster serves, each with its versions, best first."""
        groups = self._call("GET", "/apis").get("groups") or []
        return {
            group["name"]: tuple(each["version"] for each in group.get("versions") or [])
            for group in groups
        }

    def fetch_config_map(self, name: str) -> dict[str, Any] | None:
        """Fetch a ConfigMap of our namespace; None if there is none of that name."""
        return self._read(self._config_map(name))

    def patch_config_map(self, name: str, patch: Mapping[str, Any]) -> bool:
        """
        Merge a patch into a ConfigMap; return False if it is gone or changed meanwhile.

        A patch that names ``metadata.resourceVersion`` takes effect on that version only.
        """
        return self._patch(self._config_map(name), patch)

    def fetch_node(self, name: str) -> dict[str, Any] | None:
        """Fetch a node; None if it is gone."""
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
        # Names come from events, which tenants may write: none may lead to another path.
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

    def _list(self, path: str, selectors: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        query = {name: value for name, value in selectors.items() if value}
        query["limit"] = str(_PAGE)
        while True:
            page = self._call("GET", path, query=query)
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        action = f"{method} {path} in cluster {self.name}"
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json" if method != "PATCH" else _MERGE_PATCH
        with kubernetes_errors(action):
            # The hook that refreshes the token writes into the shared configuration.
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
            content = answer.read()
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return _parse_object(content, action)
        raise _error(answer.status, action, content)


class _NotFoundError(ConfigurationError):
    """404: what a path names is not there; on creation, that is our namespace."""


class _ConflictError(TransientError):
    """409: it is there already, or has changed meanwhile."""

    def __init__(self, message: str, *, exists: bool) -> None:
        super().__init__(message)
        self.exists = exists


def _error(status: int, action: str, content: bytes | None) -> EventError:
    reason, said = _parse_status(content or b"")
    message = f"cannot {action}: {status} {said}"
    if status == _NOT_FOUND:
        return _NotFoundError(f"{message}; are Prestream's manifests applied to this cluster?")
    if status == _CONFLICT:
        # A quota that was changed at the same time is a conflict too, and then nothing is there.
        return _ConflictError(message, exists=reason == "AlreadyExists")
    if status in _INVALID:
        return InvalidEventError(message)
    if status in TRANSIENT_STATUSES or status >= 500 or status == _GONE:  # noqa: PLR2004
        return TransientError(message)
    return ConfigurationError(message)


def _parse_object(content: bytes, action: str) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(content)
    except ValueError as exc:
        # Something on the way answered in the API server's stead.
        raise TransientError(f"cannot {action}: the answer is no JSON: {exc}") from exc
    return parsed


def _parse_status(content: bytes) -> tuple[str, str]:
    """Return the reason and the message of an error; of what is no Status, how it begins."""
    try:
        status = json.loads(content)
        return str(status.get("reason")), str(status["message"])[:500]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", content[:300].decode(errors="replace")
