"""
Decide which mirrors are proven in a cluster: those that its nodes can pull from.

A mirror becomes proven when a kubelet of the cluster has pulled from it with the identity of its
node. It becomes distrusted when the registry refuses it to a node, or when pulls of two
repositories from it fail within minutes, so that a mirror that stopped working does not keep pods
from starting.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from shared.domain.action import (
    Action,
    CountPullFailure,
    DistrustMirror,
    ProveMirror,
    RecordPull,
    WriteFact,
)
from shared.domain.cluster import ClusterName
from shared.domain.cluster_event import ImagePullFailed
from shared.domain.fact import Fact, MirrorDistrusted, Subject
from shared.domain.image_reference import (
    ImageReference,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.mirror import ArtifactPath
from shared.domain.mirror_reference import trace_upstream
from shared.domain.node_accounts import (
    ACCOUNTS_ANNOTATION,
    FailedPuller,
    MirrorPulls,
    Puller,
    read_pulls,
)
from shared.domain.proven_mirrors import InvalidProofError, Proof, key_of
from shared.domain.streaming_verdict import Evidence
from shared.domain.timestamp import parse_time
from shared.settings.keys import Settings

FAILURES_ANNOTATION: Final = "prestream.dev/pull-failures"
"""
Annotation of the ConfigMap: by upstream, the pods whose recent pulls from its mirror failed, each
with the time, the repository and the account of its node.
"""

_MIRROR_FAULTS: Final = frozenset({"access", "registry"})
"""Faults that also affect other images of the mirror."""

_REPOSITORIES_TO_DISTRUST: Final = 2
"""An upstream can refuse one repository for as long as it likes."""
_WINDOW: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class CountedFailure:
    """A failed pull that counts against its mirror."""

    at: datetime
    repository: str
    """The repository at the upstream."""
    account: str | None = None
    """The service account of the node; None if unknown."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.at.isoformat(), self.repository, self.account)))


_UNKNOWN: Final = FailedPuller()


@dataclass(frozen=True, slots=True)
class MirrorPull:
    """A pull from one of our mirrors."""

    upstream: ImageReference
    """The image at its upstream."""
    mirror: str
    """The mirror, in the form of the rewriting policy's ConfigMap."""
    paths: tuple[str, ...]
    """The repositories that the mirror serves; empty for all."""

    @property
    def host(self) -> str:
        """The registry of the upstream."""
        return self.upstream.registry


def find_mirror_pull(image: str, settings: Settings) -> MirrorPull | None:
    """Return the pull of an image from a mirror of ours; None for any other image."""
    try:
        pulled = parse_reference(image)
    except InvalidReferenceError:
        return None
    upstream = trace_upstream(pulled, settings.project, settings.mirror_hosts)
    artifact = ArtifactPath.split(pulled.registry, pulled.repository)
    if (
        upstream is None
        or artifact is None
        or not settings.upstreams[upstream.registry].is_mirrored
    ):
        return None
    mirror = f"{artifact.repository.registry}/{artifact.repository.path}"
    return MirrorPull(upstream, mirror, settings.upstreams[upstream.registry].paths)


def plan_proof(
    pull: MirrorPull, config_map: Mapping[str, Any] | None, puller: Puller | None = None
) -> tuple[Action, ...]:
    """
    Decide whether a successful pull proves its mirror; nothing changes if it is proven already.

    A mirror is proven once all required accounts have pulled from it, and those that failed before.
    A person's pin stays as it is. Without the ConfigMap no pod is rewritten, so nothing is proven.

    Args:
        pull: The image and its mirror.
        config_map: The proven mirrors.
        puller: The account of the node; if the cluster's accounts are unknown, one pull proves.
    """
    if config_map is None:
        return ()
    existing = _entry_of(config_map, pull.host)
    if existing is not None and existing.pin is not None:
        return ()
    proof = Proof(pull.mirror, pull.paths, excluded=existing.excluded if existing else ())
    if proof == existing:
        return ()
    prove = ProveMirror(pull.host, _patch(config_map, pull.host, str(proof), failures={}))
    return (prove,) if puller is None else _plan_by_account(prove, config_map, puller)


def _plan_by_account(
    prove: ProveMirror, config_map: Mapping[str, Any], puller: Puller
) -> tuple[Action, ...]:
    """Prove a mirror, or record the pull if further accounts have to pull."""
    host, recorded = prove.upstream, MirrorPulls.read(config_map, prove.upstream)
    if puller.account is None:
        return ()
    pulls = recorded.add(puller.account)
    if not pulls.find_missing(puller.required, puller.known):
        return (prove,)
    if pulls == recorded:
        return ()
    return (RecordPull(host, _record(config_map, host, pulls)),)


def counts_against_mirror(event: ImagePullFailed) -> bool:
    """Whether the cause of a failed pull also affects other images of its mirror."""
    return event.failure.at_fault in _MIRROR_FAULTS


def plan_distrust(
    event: ImagePullFailed,
    pull: MirrorPull,
    config_map: Mapping[str, Any] | None,
    cluster: ClusterName,
    puller: FailedPuller = _UNKNOWN,
) -> tuple[Action, ...]:
    """
    Decide what a failed pull means for its mirror: nothing, one more count, or distrust.

    One refusal of a node is enough: its pods fail until a person acts. The fact precedes the
    change of the ConfigMap, so that neither is lost.

    Args:
        event: The failed pull, which its pod confirmed.
        pull: The image and its mirror.
        config_map: The proven mirrors.
        cluster: The name of the cluster.
        puller: The account of the node, which then has to prove the mirror again, and the pods
            that wait, for the fact.
    """
    host = pull.host
    existing = _entry_of(config_map, host) if config_map is not None else None
    if config_map is None or existing is None or existing.pin is not None:
        return ()
    failures = find_recent_failures(config_map, host, event.origin.timestamp)
    repositories = {each.repository for each in failures.values()}
    is_refused = event.failure.at_fault == "access"
    if pull.upstream.repository in repositories and not is_refused:
        return ()
    counted = CountedFailure(event.origin.timestamp, pull.upstream.repository, puller.account)
    failures[event.origin.uid or event.origin.name] = counted
    if len(repositories) + 1 < _REPOSITORIES_TO_DISTRUST and not is_refused:
        return (CountPullFailure(host, _patch(config_map, host, str(existing), failures)),)
    return (
        WriteFact(_make_fact(event, pull, puller.waiting, cluster), of_change=True),
        DistrustMirror(host, _patch(config_map, host, None, {}, _distrust(failures, puller))),
    )


def find_recent_failures(
    config_map: Mapping[str, Any], host: str, now: datetime
) -> dict[str, CountedFailure]:
    """Return the pods that failed to pull from a mirror within the window."""
    recent = {}
    for pod, text in _read_failures(config_map).get(host, {}).items():
        time, repository, account = (*str(text).split(" "), "", "")[:3]
        try:
            at = parse_time(time)
        except ValueError:
            continue
        if abs(now - at) <= _WINDOW:
            recent[pod] = CountedFailure(at, repository, account or None)
    return recent


def _distrust(failures: Mapping[str, CountedFailure], puller: FailedPuller) -> MirrorPulls:
    """Return the accounts that failed; if they are not known, every account has to pull again."""
    failed = frozenset(each.account for each in failures.values() if each.account is not None)
    return MirrorPulls(puller.known - failed, failed) if failed else MirrorPulls()


def _patch(
    config_map: Mapping[str, Any],
    host: str,
    entry: str | None,
    failures: Mapping[str, CountedFailure],
    pulls: MirrorPulls | None = None,
) -> dict[str, Any]:
    """Return the patch of one entry, valid for the version read: a person may pin it meanwhile."""
    patch = _record(config_map, host, pulls or MirrorPulls())
    counted = _read_failures(config_map)
    counted.pop(host, None)
    if failures:
        counted[host] = {pod: str(each) for pod, each in failures.items()}
    patch["metadata"]["annotations"][FAILURES_ANNOTATION] = json.dumps(counted) if counted else None
    return {**patch, "data": {key_of(host): entry}}


def _record(config_map: Mapping[str, Any], host: str, pulls: MirrorPulls) -> dict[str, Any]:
    """Return the patch that records the accounts, valid for the version read."""
    before = read_pulls(config_map)
    after = {key: each for key, each in before.items() if key != host}
    if pulls != MirrorPulls():
        after[host] = pulls.as_json()
    annotations: dict[str, str | None] = {}
    if after != before:
        annotations[ACCOUNTS_ANNOTATION] = json.dumps(after) if after else None
    version = (config_map.get("metadata") or {}).get("resourceVersion")
    return {"metadata": {"resourceVersion": version, "annotations": annotations}}


def _entry_of(config_map: Mapping[str, Any], host: str) -> Proof | None:
    """Return the entry of an upstream; None for an invalid one, which the next proof replaces."""
    text = (config_map.get("data") or {}).get(key_of(host))
    try:
        return None if text is None else Proof.parse(text)
    except InvalidProofError:
        return None


def _read_failures(config_map: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the counted failures by upstream; an invalid annotation counts as empty."""
    annotations = (config_map.get("metadata") or {}).get("annotations") or {}
    try:
        counted = json.loads(annotations.get(FAILURES_ANNOTATION) or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(counted, dict):
        return {}
    return {host: pods for host, pods in counted.items() if isinstance(pods, dict)}


def _make_fact(
    event: ImagePullFailed, pull: MirrorPull, waiting: Sequence[str], cluster: ClusterName
) -> Fact:
    origin = event.origin
    return MirrorDistrusted(
        subject=Subject(image=str(pull.upstream), mirror=event.image, cluster=str(cluster)),
        at=origin.timestamp,
        upstream=pull.host,
        pods=tuple(waiting),
        evidence=(Evidence("pull", origin.message, origin.log, origin.insert_id),),
        reason=event.failure.reason,
    ).as_fact()
