"""
Keep what is proven in a cluster: which mirrors its nodes can pull from, for the pods of others.

A mirror enters when a kubelet of the cluster has pulled from it with the node's own identity. It
leaves when pulls from it fail for several pods within minutes: a breaker, so that no mirror that
stopped working keeps pods from starting.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from shared.domain.cluster import ClusterName
from shared.domain.cluster_event import ImagePullFailed
from shared.domain.fact import Fact, MirrorDistrusted, Subject
from shared.domain.image_reference import ImageReference
from shared.domain.mirror import ArtifactPath
from shared.domain.mirror_reference import trace_upstream
from shared.domain.proven_mirrors import PARAMETER_NAME, InvalidProofError, Proof, key_of
from shared.domain.streaming_verdict import Evidence
from shared.domain.timestamp import parse_time
from shared.errors import TransientError
from shared.settings.keys import Settings

FAILURES_ANNOTATION: Final = "prestream.dev/pull-failures"
"""On the ConfigMap: the pods whose pulls from a mirror failed of late, by the upstream."""

_MIRRORS_FAULT: Final = frozenset({"denied", "unavailable", "rate_limited", "other"})
"""Kinds of failures that another image of the mirror would meet as well."""

_PODS_TO_TRIP: Final = 3
_WINDOW: Final = timedelta(minutes=10)


class Cluster(Protocol):
    """A cluster's API, as far as keeping the parameter needs it."""

    @property
    def name(self) -> ClusterName: ...  # noqa: D102
    def fetch_config_map(self, name: str) -> dict[str, Any] | None: ...  # noqa: D102
    def patch_config_map(self, name: str, patch: Mapping[str, Any]) -> bool: ...  # noqa: D102


class FactLog(Protocol):
    """Where facts are written."""

    def write(self, fact: Fact) -> None: ...  # noqa: D102


class Proving:
    """Maintains the ConfigMap that the rewriting policy reads; without one it does nothing."""

    def __init__(self, settings: Settings, *, facts: FactLog) -> None:
        self._settings = settings
        self._facts = facts

    def prove(self, cluster: Cluster, pulled: ImageReference) -> str | None:
        """
        Take up a mirror that a node has just pulled from; return the upstream if it is new.

        What a person pinned stays as it is.

        Raises:
            TransientError: The cluster is unavailable, or the ConfigMap changed meanwhile.
            ConfigurationError: It refuses our identity.
        """
        found = self._find(pulled)
        if found is None or self._settings.dry_run:
            return None
        upstream, mirror = found
        host = upstream.registry
        body = cluster.fetch_config_map(PARAMETER_NAME)
        if body is None:
            return None
        standing = _standing(body, host)
        if standing is not None and standing.pin is not None:
            return None
        proof = Proof(
            mirror,
            paths=self._settings.upstreams[host].paths,
            excluded=standing.excluded if standing else (),
        )
        if proof == standing:
            return None
        self._patch(cluster, body, host, str(proof), failures={})
        return host

    def concerns(self, event: ImagePullFailed, pulled: ImageReference) -> bool:
        """Whether a pull failed at a mirror of ours, and not for its image alone."""
        return event.failure.kind in _MIRRORS_FAULT and self._find(pulled) is not None

    def count_failure(
        self, cluster: Cluster, event: ImagePullFailed, pulled: ImageReference
    ) -> str | None:
        """
        Count a pod that could not pull from a mirror; return the upstream if that was too many.

        Its fact is written before the entry is taken out, so that neither is lost.

        Raises:
            TransientError: The cluster or Cloud Logging is unavailable, or the ConfigMap changed.
            ConfigurationError: One of them refuses our identity.
        """
        found = self._find(pulled)
        if found is None or not self.concerns(event, pulled) or self._settings.dry_run:
            return None
        upstream, _ = found
        host = upstream.registry
        body = cluster.fetch_config_map(PARAMETER_NAME)
        standing = _standing(body, host) if body is not None else None
        if body is None or standing is None or standing.pin is not None:
            return None
        failures = _recent(body, host, event.origin.timestamp)
        pod = event.origin.uid or event.origin.name
        if pod in failures:
            return None
        failures[pod] = event.origin.timestamp
        if len(failures) < _PODS_TO_TRIP:
            self._patch(cluster, body, host, str(standing), failures)
            return None
        self._facts.write(_distrust(cluster, event, upstream, len(failures)))
        self._patch(cluster, body, host, None, failures={})
        return host

    def _find(self, pulled: ImageReference) -> tuple[ImageReference, str] | None:
        """Return what a mirror of ours stands for, and the mirror as the policy writes it."""
        upstream = trace_upstream(pulled, self._settings.project, self._settings.mirror_hosts)
        artifact = ArtifactPath.split(pulled.registry, pulled.repository)
        if upstream is None or artifact is None:
            return None
        return upstream, f"{artifact.repository.registry}/{artifact.repository.path}"

    def _patch(
        self,
        cluster: Cluster,
        body: Mapping[str, Any],
        host: str,
        value: str | None,
        failures: Mapping[str, datetime],
    ) -> None:
        """Change one entry, on the version that was read: a person may pin it at the same time."""
        counted = _failures(body)
        counted.pop(host, None)
        if failures:
            counted[host] = {pod: at.isoformat() for pod, at in failures.items()}
        patch = {
            "metadata": {
                "resourceVersion": (body.get("metadata") or {}).get("resourceVersion"),
                "annotations": {FAILURES_ANNOTATION: json.dumps(counted) if counted else None},
            },
            "data": {key_of(host): value},
        }
        if not cluster.patch_config_map(PARAMETER_NAME, patch):
            raise TransientError(f"ConfigMap {PARAMETER_NAME} changed while it was to be kept")


def _standing(body: Mapping[str, Any], host: str) -> Proof | None:
    """Return the entry of an upstream; one that a person broke proves nothing, and is mended."""
    text = (body.get("data") or {}).get(key_of(host))
    try:
        return None if text is None else Proof.parse(text)
    except InvalidProofError:
        return None


def _failures(body: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return what was counted; a text that somebody broke counts for nothing."""
    text = ((body.get("metadata") or {}).get("annotations") or {}).get(FAILURES_ANNOTATION)
    try:
        counted = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(counted, dict):
        return {}
    return {host: pods for host, pods in counted.items() if isinstance(pods, dict)}


def _recent(body: Mapping[str, Any], host: str, now: datetime) -> dict[str, datetime]:
    """Return the pods that failed within the window."""
    recent = {}
    for pod, text in _failures(body).get(host, {}).items():
        try:
            at = parse_time(str(text))
        except ValueError:
            continue
        if abs(now - at) <= _WINDOW:
            recent[pod] = at
    return recent


def _distrust(
    cluster: Cluster, event: ImagePullFailed, upstream: ImageReference, pods: int
) -> Fact:
    origin = event.origin
    return MirrorDistrusted(
        subject=Subject(image=str(upstream), mirror=event.image, cluster=str(cluster.name)),
        at=origin.timestamp,
        upstream=upstream.registry,
        pods=pods,
        evidence=(Evidence("pull", origin.message, origin.log, origin.insert_id),),
        reason=event.failure.reason,
    ).as_fact()
