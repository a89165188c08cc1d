"""
The warmup Job: its name and its body.

The name is derived from the warmup, so that duplicate requests lead to one Job.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NewType

from shared.domain.image_reference import Digest, ImageReference
from shared.domain.node import STREAMING_KEY
from shared.domain.placement import ACCELERATOR_KEY, Placement
from shared.domain.request import Cause

if TYPE_CHECKING:
    from shared.domain.ladder import Strategy

JobName = NewType("JobName", str)
"""A name that is also a valid label value, because Kubernetes copies it: at most 63 characters."""

APP_LABELS = {
    "app.kubernetes.io/name": "prestream",
    "app.kubernetes.io/component": "warmup",
}
SELECTOR = ",".join(f"{key}={value}" for key, value in APP_LABELS.items())
OWN_SELECTOR = "app.kubernetes.io/name=prestream"
"""The selector of every Job that Prestream creates."""
TARGET_LABEL = "prestream.dev/target"
QUEUE_LABEL = "prestream.dev/queue"
"""``waiting`` or ``running``; on a Job that has not been reported."""
WAITING, RUNNING = "waiting", "running"
CONTENT_LABEL = "prestream.dev/content"
"""The begin of the digest of the image, on a Job and its pods."""
_CONTENT_DIGITS = 32
TENANT_PREFIX = "tenant.prestream.dev/"
"""
The prefix of the labels that name the tenants of a warmup by a hash.

The value is ``first`` for the tenant that it counts for, and ``also`` for another one that waits.
"""
FIRST_TENANT, OTHER_TENANT = "first", "also"

IMAGE_ANNOTATION = "prestream.dev/image"
MIRROR_ANNOTATION = "prestream.dev/mirror"
DIGEST_ANNOTATION = "prestream.dev/digest"
CAUSE_ANNOTATION = "prestream.dev/cause"
REPORTED_ANNOTATION = "prestream.dev/reported"
OUTCOME_ANNOTATION = "prestream.dev/outcome"
"""The outcome in its fact; on a finished Job that has been reported."""
CACHE_ANNOTATION = "prestream.dev/fills-cache"
"""Whether the warmup filled the streaming cache, ``true`` or ``false``; with the outcome."""
NOT_BEFORE_ANNOTATION = "prestream.dev/not-before"
"""The earliest time for a retry, if known; on a failed Job that has been reported."""
STRATEGY_ANNOTATION = "prestream.dev/strategy"
SIZE_ANNOTATION = "prestream.dev/image-bytes"
SPENT_ANNOTATION = "prestream.dev/spent-bytes"
"""The bytes that the failed Jobs it replaced may have moved in the last 24 hours."""
QUEUED_ANNOTATION = "prestream.dev/queued"
"""The time of the request in microseconds: creation timestamps have whole seconds."""
HOLDING_ANNOTATION = "prestream.dev/nodes-with-image"
LACKING_ANNOTATION = "prestream.dev/nodes-without-image"
ATTEMPTS_ANNOTATION = "prestream.dev/attempts"
"""How many attempts found no node for the pod."""
REQUEUED_ANNOTATION = "prestream.dev/requeued"
"""When the warmup was last suspended again because its pod had no node."""

HOSTNAME_KEY = "kubernetes.io/hostname"

CONTAINER = "image"
"""The container that runs from the warmed image."""

HELPER_CONTAINER = "helper"
SERVICE_ACCOUNT = "prestream-warmup"

_USER = 65_532
_BINARY_VOLUME = "binary"
_BINARY_FOLDER = "/.prestream-warmup"
"""A path that an image hardly contains, because a mount hides the content below it."""

_TTL_MARGIN_S = 3600
_DAY_S = 24 * 3600
_UNBOUNDED_AGE_S = 31 * _DAY_S
"""The longest time for which Pub/Sub keeps a message."""

_NO_NAME = re.compile(r"[^a-z0-9]+")
_MAX_SLUG = 34
_HASH_DIGITS = 16
"""Enough digits that a tenant cannot find an image with the Job name of another image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupKey:
    """The identity of a warmup."""

    digest: Digest
    cluster: str
    target: Placement
    period: int
    forced_by: str | None = None
    """ID of the forced message, which warms again within a period."""

    def job_name(self, image: ImageReference) -> JobName:
        """
        Return the Job's name, from the image's name and a hash that makes it unique.

        The tag is not part of it: two tags of one digest are one warmup.

        >>> key = WarmupKey(digest=Digest("sha256:0"), cluster="c", target=Placement(), period=1)
        >>> key.job_name(ImageReference("docker.io", "anyscale/ray-ml", "2.7.0"))
        'warm-ray-ml-7a5dd73931a2ecae'
        """
        parts = [self.digest, self.cluster, self.target.canonical, str(self.period)]
        parts += [self.forced_by] if self.forced_by else []
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return JobName(f"warm-{make_slug(image)}-{digest[:_HASH_DIGITS]}")


def make_slug(image: ImageReference) -> str:
    """
    Return the last part of an image's name, as a part of the name of a Job.

    >>> make_slug(ImageReference("docker.io", "anyscale/ray_ml", "2.7.0"))
    'ray-ml'
    """
    name = image.repository.rpartition("/")[2]
    return _NO_NAME.sub("-", name).strip("-")[:_MAX_SLUG].strip("-")


def has_labels(body: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether an object has some labels."""
    own = (body.get("metadata") or {}).get("labels") or {}
    return all(own.get(key) == value for key, value in labels.items())


def period_of(moment: datetime, digest: Digest, period_s: float) -> int:
    """
    Return the number of the period that contains a moment, for an image.

    The periods of each digest begin at a different time, so that not all images are due at once.
    """
    return int((moment.timestamp() + _offset_s(digest, period_s)) // period_s)


def end_of_period(moment: datetime, digest: Digest, period_s: float) -> datetime:
    """Return the end of the period that contains a moment, when the image becomes due."""
    number = period_of(moment, digest, period_s) + 1
    return datetime.fromtimestamp(number * period_s - _offset_s(digest, period_s), UTC)


def _offset_s(digest: Digest, period_s: float) -> int:
    return int(hashlib.sha256(digest.encode()).hexdigest()[:12], 16) % max(int(period_s), 1)


def time_to_live_s(period_s: float, max_event_age_s: float) -> int:
    """
    Return the seconds for which a finished Job must be kept: longer than any request for it.

    A late message belongs to the period of its publish time, which may be the end of the period.
    Budgets count the Jobs of the last 24 hours.
    """
    longest = max(period_s + (max_event_age_s or _UNBOUNDED_AGE_S), _DAY_S)
    return math.ceil(longest) + _TTL_MARGIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """The content of a warmup Job."""

    name: JobName
    namespace: str
    image: str
    """The image as the user wrote it."""
    mirror: ImageReference
    """The pulled reference, by digest."""
    digest: Digest
    image_bytes: int
    target_name: str
    strategy: "Strategy"
    cause: Cause
    deadline_s: int
    time_to_live_s: int
    queued_at: datetime
    tenant_label: str | None = None
    """The label of the tenant that requested it; None for a person."""
    spent_bytes: int = 0
    """The bytes that the failed Jobs it replaces may have moved in the last 24 hours."""
    helper: ImageReference | None = None
    """The helper image, by digest; ``None`` until it is resolved, just before the creation."""

    @property
    def _helper(self) -> ImageReference:
        if self.helper is None:
            raise TypeError(f"the helper image of {self.name} is not resolved")
        return self.helper

    def body(self) -> dict[str, Any]:
        """
        Return the Job, suspended until the queue resumes it.

        https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
        """
        content = self.digest.partition(":")[2][:_CONTENT_DIGITS]
        labels = {**APP_LABELS, TARGET_LABEL: self.target_name, CONTENT_LABEL: content}
        tenant = {} if self.tenant_label is None else {self.tenant_label: FIRST_TENANT}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {**labels, QUEUE_LABEL: WAITING, **tenant},
                "annotations": self._annotations(),
            },
            "spec": {
                "suspend": True,
                "backoffLimit": 0,
                "activeDeadlineSeconds": self.deadline_s,
                "ttlSecondsAfterFinished": self.time_to_live_s,
                "podFailurePolicy": {
                    "rules": [
                        {
                            # A drained node or a preempted Spot VM is not a failure of the image.
                            "action": "Ignore",
                            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                        }
                    ]
                },
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
                    },
                    "spec": self._pod(),
                },
            },
        }

    def _annotations(self) -> dict[str, str]:
        return {
            IMAGE_ANNOTATION: self.image,
            MIRROR_ANNOTATION: str(self.mirror),
            DIGEST_ANNOTATION: self.digest,
            CAUSE_ANNOTATION: json.dumps(self.cause.as_json()),
            STRATEGY_ANNOTATION: self.strategy.rung,
            SIZE_ANNOTATION: str(self.image_bytes),
            QUEUED_ANNOTATION: self.queued_at.astimezone(UTC).isoformat(timespec="microseconds"),
            HOLDING_ANNOTATION: ",".join(self.strategy.avoided_nodes),
            LACKING_ANNOTATION: ",".join(self.strategy.lacking_nodes),
            **({SPENT_ANNOTATION: str(self.spent_bytes)} if self.spent_bytes else {}),
        }

    def _pod(self) -> dict[str, Any]:
        return {
            "restartPolicy": "Never",
            "serviceAccountName": SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "priorityClassName": self.strategy.priority_class,
            "nodeSelector": dict(self.strategy.node_selector),
            "tolerations": [each.as_json() for each in self.strategy.tolerations],
            "affinity": self._affinity(),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [
                _container(
                    HELPER_CONTAINER,
                    self._helper,
                    ["/bin/busybox", "cp", "/bin/busybox", f"{_BINARY_FOLDER}/true"],
                )
            ],
            "containers": [
                _container(
                    CONTAINER, self.mirror, [f"{_BINARY_FOLDER}/true"], is_binary_read_only=True
                )
            ],
            "volumes": [{"name": _BINARY_VOLUME, "emptyDir": {"sizeLimit": "16Mi"}}],
        }

    def _affinity(self) -> dict[str, Any]:
        """One warmup per node, on a node that lacks the image; prefer one that streams."""
        node = make_node_affinity(self.strategy)
        return {
            **({"nodeAffinity": node} if node else {}),
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "labelSelector": {"matchLabels": dict(APP_LABELS)},
                        "topologyKey": HOSTNAME_KEY,
                    }
                ]
            },
        }


def make_node_affinity(strategy: "Strategy") -> dict[str, Any]:
    """
    Return the node affinity of a warmup; empty on Autopilot.

    It requires a node that may pull the image or, where a drained or preempted node is replaced,
    one that joined later. If a node is added because all hold the image, it excludes these. It
    prefers nodes that stream, nodes that hold no other version of the image, and nodes without an
    accelerator, which cost less.
    """
    if strategy.is_autopilot:
        # Autopilot allows affinities only to a few labels of its own.
        return {}
    preferred = [
        _prefer(50, STREAMING_KEY, "In", ["true"]),
        _prefer(10, ACCELERATOR_KEY, "DoesNotExist"),
    ]
    if strategy.preferred_nodes:
        preferred.append(_prefer(30, HOSTNAME_KEY, "In", list(strategy.preferred_nodes)))
    affinity: dict[str, Any] = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    excluded = strategy.known_nodes if strategy.required_nodes else strategy.avoided_nodes
    terms = [
        {"matchExpressions": [{"key": HOSTNAME_KEY, "operator": operator, "values": list(names)}]}
        for operator, names in (("In", strategy.required_nodes), ("NotIn", excluded))
        if names
    ]
    if terms:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return affinity


def _container(
    name: str, image: ImageReference, command: list[str], *, is_binary_read_only: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "image": str(image),
        "imagePullPolicy": "Always",
        "command": command,
        # This user may not have access to the image's working directory.
        "workingDir": "/",
        "env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
        "resources": {
            "requests": {"cpu": "1m", "memory": "16Mi"},
            "limits": {"memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {
                "name": _BINARY_VOLUME,
                "mountPath": _BINARY_FOLDER,
                "readOnly": is_binary_read_only,
            }
        ],
    }


def _prefer(
    weight: int, key: str, operator: str, values: list[str] | None = None
) -> dict[str, Any]:
    expression = {"key": key, "operator": operator, **({"values": values} if values else {})}
    return {"weight": weight, "preference": {"matchExpressions": [expression]}}
