"""Deletion of finished Jobs, and of pods whose node no longer exists."""

from datetime import datetime

from sandbox.gke.controller import Controller, is_finished, key_of, make_condition, patch_condition
from sandbox.gke.job_controller import is_job_finished
from sandbox.kubernetes.bodies import Body, dig, items


class TtlController(Controller):
    """Deletes finished Jobs when ``ttlSecondsAfterFinished`` have passed."""

    component = "ttl-after-finished-controller"
    kind = "Job"
    resource = "jobs.batch"

    def observe(self, event: str, body: Body) -> None:
        """Plan a Job that has finished."""
        if body["kind"] == self.kind and event != "DELETED" and _ttl_s(body) is not None:
            self.queue.add(key_of(body))

    def sync(self, body: Body) -> None:
        """Delete a Job, or wait until it may be deleted."""
        ttl_s = _ttl_s(body)
        if ttl_s is None:
            return
        left_s = ttl_s - (self.clock.now() - _finished_at(body)).total_seconds()
        namespace, name = key_of(body)
        if left_s > 0:
            self.queue.add((namespace, name), left_s)
            return
        self.api.delete(self.resource, name, namespace, user=self.user, propagation="Foreground")


class PodCollector(Controller):
    """Fails and deletes the pods that are bound to a node that is gone."""

    component = "pod-garbage-collector"
    kind = "Pod"
    resource = "pods"

    def observe(self, event: str, body: Body) -> None:
        """Plan the pods of a node that was deleted."""
        if body["kind"] == "Node" and event == "DELETED":
            name = body["metadata"]["name"]
            for pod in self.api.list("pods", field_selector=f"spec.nodeName={name}"):
                self.queue.add(key_of(pod))

    def find(self, key: tuple[str, str]) -> Body | None:
        """Return the pod, even while it is being deleted: no kubelet completes that deletion."""
        namespace, name = key
        pods = self.api.list("pods", namespace, field_selector=f"metadata.name={name}")
        return pods[0] if pods else None

    def sync(self, body: Body) -> None:
        """Fail the pod, so that its controller knows why, and delete it."""
        nodes = {node["metadata"]["name"] for node in self.api.list("nodes")}
        if dig(body, "spec", "nodeName") in nodes:
            return
        namespace, name = key_of(body)
        if not is_finished(body):
            text = "PodGC: node no longer exists"
            now = self.clock.now()
            condition = make_condition("DisruptionTarget", now, "DeletionByPodGC", text)
            patch_condition(self.api, body, condition, user=self.user, phase="Failed")
        self.api.delete("pods", name, namespace, user=self.user, grace_period_s=0)


def _ttl_s(body: Body) -> float | None:
    ttl_s = dig(body, "spec", "ttlSecondsAfterFinished")
    return float(ttl_s) if ttl_s is not None and is_job_finished(body) else None


def _finished_at(body: Body) -> datetime:
    return max(
        datetime.fromisoformat(condition["lastTransitionTime"])
        for condition in items(body, "status", "conditions")
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
    )
