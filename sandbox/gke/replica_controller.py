"""The controllers of ReplicaSets and Deployments."""

import hashlib
import json

from sandbox.gke.controller import (
    Controller,
    is_active,
    is_ready,
    list_owned,
    make_owner_reference,
    make_pod,
)
from sandbox.kubernetes.bodies import Body, dig

_HASH = "pod-template-hash"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""The alphabet of Kubernetes, without vowels: no word appears by chance."""


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
        wanted = body["spec"].get("replicas", 1)
        active.sort(key=lambda pod: (is_ready(pod), bool(pod["spec"].get("nodeName"))))
        for pod in active[: max(len(active) - wanted, 0)]:
            self.delete_pod(body, pod)
        active = active[max(len(active) - wanted, 0) :]
        for _ in range(wanted - len(active)):
            active.append(self.create_pod(body, make_pod(body, body["spec"]["template"])))
        ready = sum(is_ready(pod) for pod in active)
        status = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(active),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": body["metadata"].get("generation", 1),
        }
        self.write_status(body, status)


class DeploymentController(Controller):
    """Moves a Deployment's pods to the ReplicaSet of its template, all at once."""

    component = "deployment-controller"
    kind = "Deployment"
    resource = "deployments.apps"

    def sync(self, body: Body) -> None:
        """Scale the ReplicaSet of the current template up, and all others down."""
        wanted = hash_template(body["spec"]["template"])
        sets = list_owned(self.api, "replicasets.apps", body)
        if not any(_hash_of(each) == wanted for each in sets):
            sets.append(self._create_set(body, wanted))
        sets = [
            self._scale(body, each, body["spec"]["replicas"] if _hash_of(each) == wanted else 0)
            for each in sets
        ]
        self.write_status(body, _status(body, sets, wanted))

    def _create_set(self, body: Body, wanted: str) -> Body:
        metadata, spec = body["metadata"], body["spec"]
        template = spec["template"]
        labels = {**(dig(template, "metadata", "labels") or {}), _HASH: wanted}
        matched = {**(spec["selector"].get("matchLabels") or {}), _HASH: wanted}
        replica_set = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{wanted}",
                "labels": labels,
                "ownerReferences": [make_owner_reference(body)],
            },
            "spec": {
                "replicas": 0,
                "selector": {**spec["selector"], "matchLabels": matched},
                "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
            },
        }
        return self.api.create(
            "replicasets.apps", replica_set, metadata["namespace"], user=self.user
        )

    def _scale(self, body: Body, replica_set: Body, replicas: int) -> Body:
        before = replica_set["spec"]["replicas"]
        if before == replicas:
            return replica_set
        metadata = replica_set["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        changed = {"spec": {"replicas": replicas}}
        scaled = self.api.patch("replicasets.apps", name, changed, namespace, user=self.user)
        direction = "up" if replicas > before else "down"
        text = f"Scaled {direction} replica set {name} from {before} to {replicas}"
        self.events.normal(body, "ScalingReplicaSet", text)
        return scaled


def _hash_of(replica_set: Body) -> str:
    return str(dig(replica_set, "metadata", "labels", _HASH))


def _status(body: Body, sets: list[Body], wanted: str) -> Body:
    new = [each for each in sets if _hash_of(each) == wanted]
    available = _sum(sets, "availableReplicas")
    return {
        "observedGeneration": body["metadata"].get("generation", 1),
        "replicas": _sum(sets, "replicas"),
        "updatedReplicas": _sum(new, "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(body["spec"]["replicas"] - available, 0),
    }


def _sum(sets: list[Body], field: str) -> int:
    return sum(dig(each, "status", field) or 0 for each in sets)
