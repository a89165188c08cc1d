"""StatefulSets: pods with names and an order."""

from sandbox.gke.controller import Controller, is_deleting, is_finished, is_ready, make_pod
from sandbox.gke.replica_controller import hash_template
from sandbox.kubernetes.bodies import Body, dig

_REVISION = "controller-revision-hash"


class StatefulSetController(Controller):
    """Keeps the ordinals of a StatefulSet, one after the other unless it says Parallel."""

    component = "statefulset-controller"
    kind = "StatefulSet"
    resource = "statefulsets.apps"

    def sync(self, body: Body) -> None:
        """Create the next ordinal, delete the last one too many, replace an outdated one."""
        revision = f"{body['metadata']['name']}-{hash_template(body['spec']['template'])}"
        pods = {pod["metadata"]["name"]: pod for pod in self.pods_of(body)}
        self._converge(body, pods, revision)
        self.write_status(body, _status(body, list(pods.values()), revision))

    def _converge(self, body: Body, pods: dict[str, Body], revision: str) -> None:
        ordered = body["spec"].get("podManagementPolicy") != "Parallel"
        names = [f"{body['metadata']['name']}-{place}" for place in range(body["spec"]["replicas"])]
        for place, name in enumerate(names):
            pod = pods.get(name)
            if pod is None:
                pods[name] = self._create(body, name, place, revision)
            elif is_finished(pod) and not is_deleting(pod):
                self.delete_pod(body, pod)
            if ordered and not is_ready(pods[name]):
                return
        for name in sorted(set(pods) - set(names), key=_ordinal, reverse=True):
            self._delete(body, pods[name])
            if ordered:
                return
        self._update(body, [pods[name] for name in reversed(names)], revision)

    def _update(self, body: Body, pods: list[Body], revision: str) -> None:
        if dig(body, "spec", "updateStrategy", "type") == "OnDelete":
            return
        for pod in pods:
            if pod["metadata"]["labels"].get(_REVISION) != revision:
                self._delete(body, pod)
                return
            if not is_ready(pod):
                return

    def _create(self, body: Body, name: str, place: int, revision: str) -> Body:
        labels = {
            _REVISION: revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(place),
        }
        pod = make_pod(body, body["spec"]["template"], name=name, labels=labels)
        pod["spec"] = {**pod["spec"], "hostname": name}
        created = self.api.create("pods", pod, body["metadata"]["namespace"], user=self.user)
        self.events.normal(
            body,
            "SuccessfulCreate",
            f"create Pod {name} in StatefulSet {body['metadata']['name']} successful",
        )
        return created

    def _delete(self, body: Body, pod: Body) -> None:
        if is_deleting(pod):
            return
        name = pod["metadata"]["name"]
        self.api.delete("pods", name, body["metadata"]["namespace"], user=self.user)
        self.events.normal(
            body,
            "SuccessfulDelete",
            f"delete Pod {name} in StatefulSet {body['metadata']['name']} successful",
        )


def _ordinal(name: str) -> int:
    return int(name.rsplit("-", 1)[1])


def _status(body: Body, pods: list[Body], revision: str) -> Body:
    ready = sum(is_ready(pod) for pod in pods)
    updated = sum(pod["metadata"]["labels"].get(_REVISION) == revision for pod in pods)
    return {
        "observedGeneration": body["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": updated,
        "updatedReplicas": updated,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
    }
