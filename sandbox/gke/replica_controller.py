"""The controllers of ReplicaSets and Deployments."""

import hashlib
import json
import math
from collections.abc import Callable

from sandbox.gke.controller import (
    Controller,
    is_active,
    is_finished,
    is_ready,
    list_owned,
    make_owner_reference,
    make_pod,
    merge_condition,
)
from sandbox.kubernetes.bodies import Body, dig, format_seconds, items
from sandbox.kubernetes.statuses import ApiError

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' own: no vowels, so that no word appears by chance."""


def hash_template(template: Body, length: int = 10) -> str:
    """Return a short text that is the same for the same template."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])


class ReplicaSetController(Controller):
    """Keeps as many pods as a ReplicaSet wants."""

    component = "replicaset-controller"
    kind = "ReplicaSet"
    resource = "replicasets.apps"

    def sync(self, body: Body) -> None:
        """Create or delete pods, and count them."""
        active = [pod for pod in self.pods_of(body) if is_active(pod)]
        missing = body["spec"].get("replicas", 1) - len(active)
        refused: ApiError | None = None
        for _ in range(missing):
            try:
                created = self.create_pod(body, make_pod(body, body["spec"]["template"]))
            except ApiError as error:
                refused = error
                break
            active.append(created)
        if missing < 0:
            active.sort(key=_worth)
            for pod in active[:-missing]:
                self.delete_pod(body, pod)
            active = active[-missing:]
        self.write_status(body, self._status(body, active, refused))
        if refused is not None:
            raise refused

    def _status(self, body: Body, active: list[Body], refused: ApiError | None) -> Body:
        ready = sum(is_ready(pod) for pod in active)
        status = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(active),
            "observedGeneration": body["metadata"].get("generation", 1),
        }
        if ready:
            status |= {"readyReplicas": ready, "availableReplicas": ready}
        conditions = items(body, "status", "conditions")
        if refused is not None:
            failure = {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": str(refused),
                "lastTransitionTime": format_seconds(self.clock.now()),
            }
            status["conditions"] = merge_condition(conditions, failure)
        elif rest := [known for known in conditions if known["type"] != "ReplicaFailure"]:
            status["conditions"] = rest
        return status


def _worth(pod: Body) -> tuple[bool, bool, str]:
    """Order pods by who goes first: the one without a node, the one not ready, the youngest."""
    created = pod["metadata"].get("creationTimestamp", "")
    younger = "".join(chr(0x7F - ord(letter)) for letter in created)
    return bool(pod["spec"].get("nodeName")), is_ready(pod), younger


_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


class DeploymentController(Controller):
    """Moves a Deployment's pods to the ReplicaSet of its template."""

    component = "deployment-controller"
    kind = "Deployment"
    resource = "deployments.apps"

    def sync(self, body: Body) -> None:
        """Make the new ReplicaSet, and shift replicas to it as far as the strategy allows."""
        wanted = hash_template(body["spec"]["template"])
        sets = list_owned(self.api, "replicasets.apps", body)
        new = next(
            (each for each in sets if dig(each, "metadata", "labels", _HASH) == wanted), None
        )
        old = [each for each in sets if each is not new]
        if body["spec"].get("paused"):
            return
        if new is None:
            new = self._create_set(body, wanted, _revision(sets) + 1)
        if dig(body, "spec", "strategy", "type") == "Recreate":
            new = self._recreate(body, new, old)
        else:
            new, old = self._roll(body, new, old)
        self.write_status(body, self._status(body, new, old))

    def _create_set(self, body: Body, wanted: str, revision: int) -> Body:
        metadata, spec = body["metadata"], body["spec"]
        labels = {**dig(spec, "template", "metadata", "labels"), _HASH: wanted}
        selector = {
            **spec["selector"],
            "matchLabels": {**(spec["selector"].get("matchLabels") or {}), _HASH: wanted},
        }
        template = {
            **spec["template"],
            "metadata": {**spec["template"]["metadata"], "labels": labels},
        }
        return self.api.create(
            "replicasets.apps",
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"{metadata['name']}-{wanted}",
                    "labels": labels,
                    "annotations": {_REVISION: str(revision)},
                    "ownerReferences": [make_owner_reference(body)],
                },
                "spec": {"replicas": 0, "selector": selector, "template": template},
            },
            metadata["namespace"],
            user=self.user,
        )

    def _recreate(self, body: Body, new: Body, old: list[Body]) -> Body:
        for each in old:
            self._scale(body, each, 0)
        if any(not is_finished(pod) for each in old for pod in self.pods_of(each)):
            return new
        return self._scale(body, new, body["spec"]["replicas"])

    def _roll(self, body: Body, new: Body, old: list[Body]) -> tuple[Body, list[Body]]:
        desired = body["spec"]["replicas"]
        surge, unavailable = _limits(body, desired)
        total = sum(each["spec"]["replicas"] for each in (new, *old))
        room = max(desired + surge - total, 0)
        new = self._scale(body, new, min(desired, new["spec"]["replicas"] + room))
        not_up = new["spec"]["replicas"] - (dig(new, "status", "availableReplicas") or 0)
        total = sum(each["spec"]["replicas"] for each in (new, *old))
        spare = total - (desired - unavailable) - not_up
        scaled = []
        for each in old:
            cut = min(each["spec"]["replicas"], max(spare, 0))
            spare -= cut
            scaled.append(self._scale(body, each, each["spec"]["replicas"] - cut))
        return new, scaled

    def _scale(self, body: Body, replica_set: Body, replicas: int) -> Body:
        before = replica_set["spec"]["replicas"]
        if before == replicas:
            return replica_set
        metadata = replica_set["metadata"]
        scaled = self.api.patch(
            "replicasets.apps",
            metadata["name"],
            {"spec": {"replicas": replicas}},
            metadata["namespace"],
            user=self.user,
        )
        direction = "up" if replicas > before else "down"
        self.events.normal(
            body,
            "ScalingReplicaSet",
            f"Scaled {direction} replica set {metadata['name']} from {before} to {replicas}",
        )
        return scaled

    def _status(self, body: Body, new: Body, old: list[Body]) -> Body:
        desired = body["spec"]["replicas"]
        updated = dig(new, "status", "replicas") or 0
        available = _sum(new, *old, field="availableReplicas")
        counts = {
            "replicas": _sum(new, *old, field="replicas"),
            "updatedReplicas": updated,
            "readyReplicas": _sum(new, *old, field="readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(desired - available, 0),
        }
        conditions = items(body, "status", "conditions")
        _, unavailable = _limits(body, desired)
        for condition in _conditions(
            new, is_available=available >= desired - unavailable, is_complete=available >= desired
        ):
            condition |= {
                "lastTransitionTime": format_seconds(self.clock.now()),
                "lastUpdateTime": format_seconds(self.clock.now()),
            }
            same = [each for each in conditions if _is_same(each, condition)]
            conditions = conditions if same else merge_condition(conditions, condition)
        return {
            "observedGeneration": body["metadata"].get("generation", 1),
            **{name: count for name, count in counts.items() if count},
            "conditions": conditions,
        }


def _conditions(new: Body, *, is_available: bool, is_complete: bool) -> list[Body]:
    name = new["metadata"]["name"]
    has, done = (
        ("has", "MinimumReplicasAvailable")
        if is_available
        else ("does not have", "MinimumReplicasUnavailable")
    )
    progress = (
        ("NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
        if is_complete
        else ("ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    )
    return [
        {
            "type": "Available",
            "status": "True" if is_available else "False",
            "reason": done,
            "message": f"Deployment {has} minimum availability.",
        },
        {
            "type": "Progressing",
            "status": "True",
            "reason": progress[0],
            "message": progress[1],
        },
    ]


def _is_same(known: Body, condition: Body) -> bool:
    return all(known.get(key) == condition[key] for key in ("type", "status", "reason", "message"))


def _sum(*sets: Body, field: str) -> int:
    return sum(dig(each, "status", field) or 0 for each in sets)


def _revision(sets: list[Body]) -> int:
    return max(
        (int(dig(each, "metadata", "annotations", _REVISION) or 0) for each in sets), default=0
    )


def _limits(body: Body, desired: int) -> tuple[int, int]:
    """Return how many pods more, and how many fewer, there may be while it rolls."""
    if dig(body, "spec", "strategy", "type") == "Recreate":
        return 0, desired
    rolling = dig(body, "spec", "strategy", "rollingUpdate") or {}
    surge = _resolve(rolling.get("maxSurge", "25%"), desired, math.ceil)
    unavailable = _resolve(rolling.get("maxUnavailable", "25%"), desired, math.floor)
    return surge, unavailable or int(surge == 0)


def _resolve(value: int | str, desired: int, rounded: Callable[[float], int]) -> int:
    if isinstance(value, int):
        return value
    return rounded(int(value.removesuffix("%")) * desired / 100)
