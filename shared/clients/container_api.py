"""
Find clusters, and reach their API servers.

https://docs.cloud.google.com/kubernetes-engine/docs/concepts/network-isolation#dns-based-endpoint
"""

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.clients.deadline import TIMEOUT
from shared.clients.endpoint import Endpoints
from shared.clients.kubeconfig import connect_by_kubeconfig
from shared.clients.kubernetes_api import KubernetesCluster, make_configuration
from shared.clients.vendor_error import from_status, request_errors
from shared.clients.vendor_import import IMPORTING
from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.domain.node_pool import has_accelerators, is_autopilot, pools_of, streams
from shared.errors import ClusterRefusedError, ConfigurationError, TransientError

if TYPE_CHECKING:
    from shared.domain.node_accounts import NodeAccounts

_OK = 200
_ABSENT = frozenset({400, 404})
"""The cluster does not exist; 400 is the answer for a location that does not exist."""

_ABSENT_STATES = frozenset({"PROVISIONING", "STOPPING"})

_MAX_AGE_S = 300.0
"""Seconds for which a cluster's description is kept; an endpoint rarely changes."""

_SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    # Without this scope, RBAC knows a service account only by its number.
    "https://www.googleapis.com/auth/userinfo.email",
)


@dataclass(frozen=True, slots=True)
class _Address:
    """The address of a cluster's API server, and its certificate authority."""

    name: ClusterName
    host: str
    authority: str | None
    """The certificate authority in PEM; ``None`` for the public ones."""
    is_autopilot: bool


class AccessTokens:
    """Sets a valid Google access token in a client, before each request."""

    def __init__(self, credentials: Callable[[], Any]) -> None:
        self._credentials = credentials

    def attach(self, configuration: Any) -> None:
        """
        Add tokens to a client's requests, with the first one at once.

        A client that starts without a token treats its requests as anonymous, and never calls the
        hook.

        Raises:
            TransientError: The request for a token was not answered.
            ConfigurationError: Credentials are missing or refused.
        """
        configuration.refresh_api_key_hook = self
        self(configuration)

    def __call__(self, configuration: Any) -> None:
        """
        Set the token, refreshed if necessary.

        Raises:
            TransientError: The request for a token was not answered.
            ConfigurationError: Credentials are missing or refused.
        """
        with IMPORTING:
            from google.auth.transport.requests import Request

        credentials = self._credentials()
        if not credentials.valid:
            with request_errors("refresh the function's token"):
                # The library's own timeout is two minutes.
                credentials.refresh(functools.partial(Request(), timeout=TIMEOUT))
        configuration.api_key["authorization"] = f"Bearer {credentials.token}"


class ClusterDirectory:
    """
    Lists the clusters of a project, and connects to them.

    With a kubeconfig, a cluster is reached through its context; otherwise the Container API
    returns its address.
    """

    def __init__(self, endpoints: Endpoints, *, namespace: str) -> None:
        self._endpoints = endpoints
        self._namespace = namespace
        self._described: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._connected: dict[ClusterName | _Address, KubernetesCluster] = {}

    def connect(self, name: ClusterName) -> KubernetesCluster:
        """
        Return a connection to a cluster, which is kept while its address stays the same.

        Raises:
            UnknownClusterError: The cluster does not exist.
            ConfigurationError: The kubeconfig lacks its context, or our identity is refused.
            TransientError: The Container API is unavailable.
        """
        kubeconfig = self._endpoints.kubeconfig
        key = self._locate(name) if kubeconfig is None else name
        if key not in self._connected:
            client = (
                self._open(key)
                if isinstance(key, _Address)
                else connect_by_kubeconfig(str(kubeconfig), name)
            )
            self._connected[key] = KubernetesCluster(
                name,
                client,
                namespace=self._namespace,
                is_autopilot=isinstance(key, _Address) and key.is_autopilot,
                accounts=functools.partial(self._find_accounts, name),
            )
        return self._connected[key]

    def list_clusters(self, project: str) -> list[Cluster]:
        """
        List the clusters of a project, in all its locations.

        Raises:
            ConfigurationError: The project does not exist, or our identity may not list them.
            TransientError: The Container API is unavailable.
        """
        answer = self._describe(f"projects/{project}/locations/-/clusters")
        if answer is None:
            raise ConfigurationError(
                f"project {project!r} does not exist, or lacks the Container API"
            )
        return [
            _parse_cluster(project, body)
            for body in answer.get("clusters") or []
            # A cluster that is being created or deleted does not have an API server.
            if body.get("status") not in _ABSENT_STATES
        ]

    def fetch_cluster(self, name: ClusterName) -> Cluster:
        """
        Describe a cluster, at most minutes late.

        Raises:
            UnknownClusterError: The cluster does not exist.
            ConfigurationError: Our identity may not read it.
            TransientError: The Container API is unavailable.
        """
        return _parse_cluster(name.project, self._describe_cluster(name))

    def _find_accounts(self, name: ClusterName) -> "NodeAccounts | None":
        """Return the accounts of a cluster's nodes; None if a kubeconfig reaches it."""
        if self._endpoints.kubeconfig is not None:
            return None
        # Only an unproven mirror needs them.
        from shared.domain.node_accounts import node_accounts_of

        return node_accounts_of(self._describe_cluster(name))

    def _describe_cluster(self, name: ClusterName) -> Mapping[str, Any]:
        body = self._describe(str(name))
        if body is None:
            raise UnknownClusterError(f"there is no cluster {name}")
        return body

    def _locate(self, name: ClusterName) -> _Address:
        body = self._describe_cluster(name)
        dns = (body.get("controlPlaneEndpointsConfig") or {}).get("dnsEndpointConfig") or {}
        if dns.get("endpoint") and dns.get("allowExternalTraffic"):
            # The DNS endpoint has a public certificate, not one of the cluster's own authority.
            return _Address(name, f"https://{dns['endpoint']}", None, is_autopilot(body))
        if body.get("endpoint"):
            authority = _decode_authority(name, body)
            return _Address(name, f"https://{body['endpoint']}", authority, is_autopilot(body))
        raise ClusterRefusedError(f"cluster {name} has no endpoint that can be reached")

    def _open(self, address: _Address) -> Any:
        with IMPORTING:
            from kubernetes.client import ApiClient

        configuration = make_configuration()
        configuration.host = address.host
        configuration.ca_cert_data = address.authority
        if self._endpoints.gke is None:
            AccessTokens(lambda: self._credentials).attach(configuration)
        return ApiClient(configuration)

    def _describe(self, path: str) -> Mapping[str, Any] | None:
        """
        Return a resource of the Container API, at most minutes old; ``None`` if it is missing.

        While the API is unavailable, an older description is returned.
        """
        known = self._described.get(path)
        if known is not None and time.monotonic() - known[0] < _MAX_AGE_S:
            return known[1]
        try:
            body = self._fetch(path)
        except TransientError:
            if known is None:
                raise
            return known[1]
        if body is not None:
            self._described[path] = (time.monotonic(), body)
        return body

    def _fetch(self, path: str) -> Mapping[str, Any] | None:
        gke = self._endpoints.gke
        base = "https://container.googleapis.com" if gke is None else f"http://{gke}"
        with request_errors(f"read {path}"):
            answer = self._session.get(f"{base}/v1/{path}", timeout=TIMEOUT)
            if answer.status_code == _OK:
                body: Mapping[str, Any] = answer.json()
                return body
        if answer.status_code in _ABSENT:
            return None
        raise from_status(
            answer.status_code, f"cannot read {path}: {answer.status_code} {answer.text[:300]}"
        )

    @functools.cached_property
    def _session(self) -> Any:
        with IMPORTING:
            import requests

        if self._endpoints.gke is not None:
            return requests.Session()
        with IMPORTING:
            from google.auth.transport.requests import AuthorizedSession

        return AuthorizedSession(self._credentials)

    @functools.cached_property
    def _credentials(self) -> Any:
        with IMPORTING:
            import google.auth

        with request_errors("find the function's credentials"):
            credentials, _ = google.auth.default(scopes=_SCOPES)
        return credentials


def _parse_cluster(project: str, body: Mapping[str, Any]) -> Cluster:
    every_node_streams = is_autopilot(body)
    pools = [pool for pool in pools_of(body) if has_accelerators(pool)]
    cold = tuple(str(pool.get("name")) for pool in pools if not streams(pool, body))
    return Cluster(
        ClusterName(project, str(body.get("location")), str(body.get("name"))),
        is_autopilot=every_node_streams,
        has_accelerators=bool(pools),
        cold_pools=() if every_node_streams else cold,
        streams=every_node_streams or not pools or len(cold) < len(pools),
    )


def _decode_authority(name: ClusterName, body: Mapping[str, Any]) -> str:
    import base64
    import binascii

    encoded = (body.get("masterAuth") or {}).get("clusterCaCertificate") or ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"cluster {name} has an unreadable CA certificate") from exc
