"""ReplicaSets and ReplicationControllers: so many pods of one template."""

from sandbox.gke.controllers import Controller, make_pod
from sandbox.gke.owners import is_active, is_ready, merge_condition
from sandbox.kubernetes.bodies import Body, format_seconds, items
from sandbox.kubernetes.statuses import ApiError


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


class ReplicationController(ReplicaSetController):
    """The same, for the kind that came before."""

    component = "replication-controller"
    kind = "ReplicationController"
    resource = "replicationcontrollers"


def _worth(pod: Body) -> tuple[bool, bool, str]:
    """Order pods by who goes first: the one without a node, the one not ready, the youngest."""
    created = pod["metadata"].get("creationTimestamp", "")
    younger = "".join(chr(0x7F - ord(letter)) for letter in created)
    return bool(pod["spec"].get("nodeName")), is_ready(pod), younger
