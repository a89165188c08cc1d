"""DaemonSets: one pod on each node that takes it."""

from sandbox.gke.controller import Controller, is_active, is_finished, is_ready, key_of, make_pod
from sandbox.gke.placement import fits_node_affinity, untolerated_taint
from sandbox.gke.replica_controller import hash_template
from sandbox.kubernetes.bodies import Body, dig

_REVISION = "controller-revision-hash"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


class DaemonSetController(Controller):
    """Puts a pod on each node that fits, and removes the others."""

    component = "daemon-set-controller"
    kind = "DaemonSet"
    resource = "daemonsets.apps"

    def observe(self, event: str, body: Body) -> None:
        """Plan all DaemonSets when a node changes."""
        if body["kind"] != "Node":
            super().observe(event, body)
        elif event != "MODIFIED":
            for each in self.api.list(self.resource):
                self.queue.add(key_of(each))

    def sync(self, body: Body) -> None:
        """Create what is missing, delete what is too much or finished."""
        template = body["spec"]["template"]
        revision = hash_template(template)
        by_node: dict[str, list[Body]] = {}
        for pod in self.pods_of(body):
            by_node.setdefault(_target(pod), []).append(pod)
        wanted = [
            node["metadata"]["name"] for node in self.api.list("nodes") if _takes(node, template)
        ]
        for name in wanted:
            if not by_node.get(name):
                self.create_pod(body, _make_pod(body, name, revision))
        for name, pods in by_node.items():
            for pod in pods:
                outdated = pod["metadata"]["labels"].get(_REVISION) != revision
                if is_finished(pod) or (is_active(pod) and (name not in wanted or outdated)):
                    self.delete_pod(body, pod)
        pods = [pod for name in wanted for pod in by_node.get(name, [])[:1]]
        self.write_status(body, _status(body, pods, len(wanted), revision))

    def _event_component(self) -> str:
        return "daemonset-controller"


def _takes(node: Body, template: Body) -> bool:
    pod = {"spec": _with_tolerations(template["spec"])}
    taint = untolerated_taint(pod, node, ("NoSchedule", "NoExecute"))
    return taint is None and fits_node_affinity(pod, node)


def _with_tolerations(spec: Body) -> Body:
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in _TOLERATED]
    return {**spec, "tolerations": [*(spec.get("tolerations") or []), *added]}


def _make_pod(body: Body, node: str, revision: str) -> Body:
    pod = make_pod(body, body["spec"]["template"], labels={_REVISION: revision})
    spec = _with_tolerations(pod["spec"])
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = {
        **(spec.get("affinity") or {}),
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
        },
    }
    return {**pod, "spec": {**spec, "affinity": affinity}}


def _target(pod: Body) -> str:
    """Return the node that a pod was made for."""
    required = dig(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    )
    name: str = required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    return name


def _status(body: Body, pods: list[Body], wanted: int, revision: str) -> Body:
    ready = sum(is_ready(pod) for pod in pods)
    updated = sum(pod["metadata"]["labels"].get(_REVISION) == revision for pod in pods)
    return {
        "observedGeneration": body["metadata"].get("generation", 1),
        "currentNumberScheduled": len(pods),
        "desiredNumberScheduled": wanted,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": wanted - ready,
        "updatedNumberScheduled": updated,
    }
