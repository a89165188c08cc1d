"""
Find clusters, and reach their API servers.

https://docs.cloud.google.com/kubernetes-engine/docs/concepts/network-isolation#dns-based-endpoint
"""

import functools
import time
from collections.abc import Mapping
from typing import Any

from shared.clients.endpoints import Endpoints
from shared.clients.errors import TIMEOUT, from_status, request_errors
from shared.clients.kubernetes import KubernetesCluster
from shared.domain.clusters import Cluster, ClusterName, UnknownClusterError
from shared.errors import ConfigurationError

_OK = 200
_NOT_FOUND = 404
_MAX_AGE_S = 300.0
"""How long a cluster's description is kept; an endpoint hardly ever changes."""

_SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    # Without it RBAC would know a service account by its number only.
    "https://www.googleapis.com/auth/userinfo.email",
)


class ClusterDirectory:
    """
    Knows the clusters of a project, and connects to them.

    With a kubeconfig each cluster is reached through its context; else the Container API says
    where it is.
    """

    def __init__(self, endpoints: Endpoints, *, namespace: str) -> None:
        self._endpoints = endpoints
        self._namespace = namespace
        self._described: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._connected: dict[ClusterName, KubernetesCluster] = {}

    def connect(self, name: ClusterName) -> KubernetesCluster:
        """
        Return a connection to a cluster, kept for the life of the instance.

        Raises:
            UnknownClusterError: The Container API knows no such cluster.
            ConfigurationError: The kubeconfig has no context for it, or our identity is refused.
            TransientError: The Container API is unavailable.
        """
        if name not in self._connected:
            if self._endpoints.kubeconfig is not None:
                cluster = self._from_kubeconfig(self._endpoints.kubeconfig, name)
            else:
                cluster = self._from_container_api(name)
            self._connected[name] = cluster
        return self._connected[name]

    def list_clusters(self, project: str) -> list[Cluster]:
        """
        List the clusters of a project, in all its locations.

        Raises:
            ConfigurationError: Our identity may not list them.
            TransientError: The Container API is unavailable.
        """
        answer = self._describe(f"projects/{project}/locations/-/clusters")
        return [_parse_cluster(project, body) for body in answer.get("clusters") or []]

    def _from_kubeconfig(self, path: str, name: ClusterName) -> KubernetesCluster:
        from kubernetes import config

        try:
            contexts, _ = config.list_kube_config_contexts(path)
            known = [context["name"] for context in contexts]
            if name.context in known:
                chosen = name.context
            elif len(known) == 1:
                chosen = known[0]
            else:
                raise ConfigurationError(
                    f"{path!r} has no context {name.context!r} for cluster {name}; it has"
                    f" {', '.join(sorted(known)) or 'none'}: run gcloud container clusters"
                    " get-credentials"
                )
            client = config.new_client_from_config(path, chosen, persist_config=False)
        except (config.ConfigException, OSError) as exc:
            raise ConfigurationError(f"cannot use KUBECONFIG {path!r}: {exc}") from exc
        return KubernetesCluster(name, client, namespace=self._namespace)

    def _from_container_api(self, name: ClusterName) -> KubernetesCluster:
        from kubernetes import client

        body = self._describe(str(name))
        configuration = client.Configuration()
        dns = (body.get("controlPlaneEndpointsConfig") or {}).get("dnsEndpointConfig") or {}
        if dns.get("endpoint") and dns.get("allowExternalTraffic"):
            # The DNS endpoint has a public certificate; the cluster's own authority is not its.
            configuration.host = f"https://{dns['endpoint']}"
        elif body.get("endpoint"):
            configuration.host = f"https://{body['endpoint']}"
            configuration.ca_cert_data = _decode_authority(name, body)
        else:
            raise ConfigurationError(f"cluster {name} has no endpoint that can be reached")
        configuration.refresh_api_key_hook = self._set_token  # type: ignore[assignment]
        self._set_token(configuration)
        return KubernetesCluster(
            name,
            client.ApiClient(configuration),
            namespace=self._namespace,
            is_autopilot=_is_autopilot(body),
        )

    def _describe(self, path: str) -> Mapping[str, Any]:
        """Return what the Container API says of a path, at most some minutes old."""
        known = self._described.get(path)
        if known is not None and time.monotonic() - known[0] < _MAX_AGE_S:
            return known[1]
        gke = self._endpoints.gke
        base = "https://container.googleapis.com" if gke is None else f"http://{gke}"
        with request_errors(f"read {path}"):
            answer = self._session.get(f"{base}/v1/{path}", timeout=TIMEOUT)
        if answer.status_code == _NOT_FOUND:
            raise UnknownClusterError(f"there is no cluster {path}")
        if answer.status_code != _OK:
            raise from_status(
                answer.status_code, f"cannot read {path}: {answer.status_code} {answer.text[:300]}"
            )
        body: Mapping[str, Any] = answer.json()
        self._described[path] = (time.monotonic(), body)
        return body

    @functools.cached_property
    def _session(self) -> Any:
        import requests

        if self._endpoints.gke is not None:
            return requests.Session()
        from google.auth.transport.requests import AuthorizedSession

        return AuthorizedSession(self._credentials)

    @functools.cached_property
    def _credentials(self) -> Any:
        import google.auth

        with request_errors("find the function's credentials"):
            credentials, _ = google.auth.default(scopes=_SCOPES)
        return credentials

    def _set_token(self, configuration: Any) -> None:
        """Put a token that is still valid into a client's configuration, before each request."""
        if self._endpoints.gke is not None:
            return
        from google.auth.transport.requests import Request

        if not self._credentials.valid:
            with request_errors("refresh the function's token"):
                self._credentials.refresh(Request())
        configuration.api_key["authorization"] = f"Bearer {self._credentials.token}"


def _parse_cluster(project: str, body: Mapping[str, Any]) -> Cluster:
    pools = body.get("nodePools") or []
    return Cluster(
        ClusterName(project, str(body.get("location")), str(body.get("name"))),
        is_autopilot=_is_autopilot(body),
        has_accelerators=any((pool.get("config") or {}).get("accelerators") for pool in pools),
    )


def _is_autopilot(body: Mapping[str, Any]) -> bool:
    return bool((body.get("autopilot") or {}).get("enabled"))


def _decode_authority(name: ClusterName, body: Mapping[str, Any]) -> str:
    import base64
    import binascii

    encoded = (body.get("masterAuth") or {}).get("clusterCaCertificate") or ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"cluster {name} has an unreadable CA certificate") from exc
