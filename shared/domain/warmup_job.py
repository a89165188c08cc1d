"""
The warmup Job: its name, its body, and what a Job that stands in a cluster says.

Its name is derived from what it warms, so that asking twice is asking once.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NewType, Self

from shared.domain.image_reference import Digest, ImageReference
from shared.domain.ladder import STREAMING_KEY, Strategy
from shared.domain.placement import ACCELERATOR_KEY, Placement
from shared.domain.request import Cause

JobName = NewType("JobName", str)
"""A name that also fits a label, which Kubernetes makes of it: at most 63 characters."""

APP_LABELS = {
    "app.kubernetes.io/name": "prestream",
    "app.kubernetes.io/component": "warmup",
}
SELECTOR = ",".join(f"{key}={value}" for key, value in APP_LABELS.items())
TARGET_LABEL = "prestream.dev/target"

IMAGE_ANNOTATION = "prestream.dev/image"
MIRROR_ANNOTATION = "prestream.dev/mirror"
DIGEST_ANNOTATION = "prestream.dev/digest"
CAUSE_ANNOTATION = "prestream.dev/cause"
REPORTED_ANNOTATION = "prestream.dev/reported"
NOT_BEFORE_ANNOTATION = "prestream.dev/not-before"
"""Of one that failed, once it is reported: when trying again can help, where that is known."""
STRATEGY_ANNOTATION = "prestream.dev/strategy"
SIZE_ANNOTATION = "prestream.dev/image-bytes"
QUEUED_ANNOTATION = "prestream.dev/queued"
"""When it was asked for, to the microsecond: creation timestamps have whole seconds."""
HOLDING_ANNOTATION = "prestream.dev/nodes-with-image"
LACKING_ANNOTATION = "prestream.dev/nodes-without-image"

HOSTNAME_KEY = "kubernetes.io/hostname"

CONTAINER = "image"
"""The container that runs from the image that is warmed."""

HELPER_CONTAINER = "helper"
SERVICE_ACCOUNT = "prestream-warmup"

_USER = 65_532
_BINARY_VOLUME = "binary"
_BINARY_FOLDER = "/.prestream-warmup"
"""Improbable as a path of an image: what is mounted over is hidden."""

_TTL_MARGIN_S = 3600
_UNBOUNDED_AGE_S = 31 * 24 * 3600
"""Pub/Sub keeps a message no longer than that."""

_NO_NAME = re.compile(r"[^a-z0-9]+")
_MAX_SLUG = 34
_HASH_DIGITS = 16
"""So many that nobody finds an image whose warmup would have the name of another's."""

"""Of a size in bytes, an int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupKey:
    """What makes two warmups the same one."""

    digest: Digest
    cluster: str
    target: Placement
    period: int
    forced_by: str | None = None
    """Id of the message that asked with ``force``, which warms again within a period."""

    def job_name(self, image: ImageReference) -> JobName:
        """
        Return the Job's name: recognisable by the image, unique by the hash behind it.

        The tag is no part of it: two tags of one digest are one warmup.

        >>> key = WarmupKey(digest=Digest("sha256:0"), cluster="c", target=Placement(), period=1)
        >>> key.job_name(ImageReference("docker.io", "anyscale/ray-ml", "2.7.0"))
        'warm-ray-ml-7a5dd73931a2ecae'
        """
        parts = [self.digest, self.cluster, self.target.canonical, str(self.period)]
        parts += [self.forced_by] if self.forced_by else []
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        name = image.repository.rpartition("/")[2]
        slug = _NO_NAME.sub("-", name).strip("-")[:_MAX_SLUG].strip("-")
        return JobName(f"warm-{slug}-{digest[:_HASH_DIGITS]}")


def period_of(moment: datetime, digest: Digest, period_s: float) -> int:
    """
    Return the number of the period that a moment lies in, for an image.

    The periods of each digest begin at another time, so that not everything falls due at once.
    """
    return int((moment.timestamp() + _offset_s(digest, period_s)) // period_s)


def end_of_period(moment: datetime, digest: Digest, period_s: float) -> datetime:
    """Return when the period ends that a moment lies in, for an image: it falls due then."""
    number = period_of(moment, digest, period_s) + 1
    return datetime.fromtimestamp(number * period_s - _offset_s(digest, period_s), UTC)


def _offset_s(digest: Digest, period_s: float) -> int:
    return int(hashlib.sha256(digest.encode()).hexdigest()[:12], 16) % max(int(period_s), 1)


def time_to_live_s(period_s: float, max_event_age_s: float) -> int:
    """
    Return how long a finished Job must stay: longer than anything can still ask for it.

    A message that is delivered late belongs to the period in which it was published, and may have
    been published at the very end of it.
    """
    return math.ceil(period_s + (max_event_age_s or _UNBOUNDED_AGE_S)) + _TTL_MARGIN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """Everything that a warmup Job says."""

    name: JobName
    namespace: str
    image: str
    """As the user wrote it."""
    mirror: ImageReference
    """What is pulled: a reference by digest."""
    digest: Digest
    helper: ImageReference
    """The helper image, by digest."""
    image_bytes: int
    target_name: str
    strategy: Strategy
    cause: Cause
    deadline_s: int
    time_to_live_s: int
    queued_at: datetime

    def body(self) -> dict[str, Any]:
        """
        Return the Job, suspended: it runs when its turn has come.

        https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
        """
        labels = {**APP_LABELS, TARGET_LABEL: self.target_name}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": labels,
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
                            # A drained node or a preempted Spot VM is no failure of the image.
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
                    self.helper,
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
        """One warmup a node at a time; rather a node that streams, lacks the image, is cheap."""
        preferred = self._preferences()
        node = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
        return {
            **({"nodeAffinity": node} if preferred else {}),
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "labelSelector": {"matchLabels": dict(APP_LABELS)},
                        "topologyKey": HOSTNAME_KEY,
                    }
                ]
            },
        }

    def _preferences(self) -> list[dict[str, Any]]:
        if self.strategy.is_autopilot:
            # Autopilot refuses pods with an affinity to any label but a few of its own.
            return []
        preferred = [
            _prefer(50, STREAMING_KEY, "In", ["true"]),
            _prefer(10, ACCELERATOR_KEY, "DoesNotExist"),
        ]
        if self.strategy.avoided_nodes:
            preferred.append(_prefer(100, HOSTNAME_KEY, "NotIn", [*self.strategy.avoided_nodes]))
        return preferred


@dataclass(frozen=True, slots=True)
class JobState:
    """A warmup Job that stands in a cluster, as far as its turn and its end depend on it."""

    name: JobName
    uid: str
    resource_version: str
    created: str
    queued: str
    is_suspended: bool
    is_complete: bool
    is_failed: bool
    is_reported: bool
    asked_by: str | None = None
    """The namespace of the workload that asked for it first; None where it was none."""

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Read a Job as the Kubernetes API describes it."""
        metadata = body.get("metadata") or {}
        annotations = metadata.get("annotations") or {}
        conditions = {
            condition.get("type")
            for condition in (body.get("status") or {}).get("conditions") or []
            if condition.get("status") == "True"
        }
        cause = Cause.from_text(annotations.get(CAUSE_ANNOTATION))
        return cls(
            name=JobName(metadata.get("name") or ""),
            uid=metadata.get("uid") or "",
            resource_version=metadata.get("resourceVersion") or "",
            created=metadata.get("creationTimestamp") or "",
            queued=annotations.get(QUEUED_ANNOTATION) or "",
            is_suspended=bool((body.get("spec") or {}).get("suspend")),
            is_complete="Complete" in conditions,
            is_failed="Failed" in conditions,
            is_reported=REPORTED_ANNOTATION in annotations,
            asked_by=cause.namespace if cause is not None else None,
        )

    @property
    def is_finished(self) -> bool:
        """Whether it ended, well or not."""
        return self.is_complete or self.is_failed

    @property
    def is_waiting(self) -> bool:
        """Whether its turn has not come."""
        return self.is_suspended and not self.is_finished

    @property
    def is_running(self) -> bool:
        """Whether it has its turn, with or without a pod yet."""
        return not self.is_suspended and not self.is_finished

    @property
    def turn(self) -> tuple[str, str, JobName]:
        """By what warmups that wait are ordered: when they were asked for."""
        return self.created, self.queued, self.name


def _container(
    name: str, image: ImageReference, command: list[str], *, is_binary_read_only: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "image": str(image),
        "imagePullPolicy": "Always",
        "command": command,
        # The image's own folder may be one that this user cannot enter.
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
