"""A controller: a loop that brings what is to what shall be, one object at a time."""

import threading
from typing import ClassVar

from sandbox.clock import Clock
from sandbox.gke.events import EventRecorder
from sandbox.gke.owners import (
    Key,
    controller_of,
    is_deleting,
    key_of,
    list_owned,
    make_owner_reference,
)
from sandbox.gke.work_queues import WorkQueue
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.statuses import ApiError

_BACKOFF_FIRST_S = 1.0
_BACKOFF_MOST_S = 60.0
_CONFLICT_S = 0.05


class Controller:
    """
    Base of the controllers: what they watch, and how they retry.

    Whatever the API server refuses is tried again with a growing delay, as the controller
    manager's rate limiter does; a conflict at once, since the object has only moved on.
    """

    component: ClassVar[str]
    """Its name, from which its principal follows."""
    kind: ClassVar[str]
    resource: ClassVar[str]

    def __init__(self, api: Api, clock: Clock) -> None:
        self.api = api
        self.clock = clock
        self.user = f"system:serviceaccount:kube-system:{self.component}"
        self.queue: WorkQueue[Key] = WorkQueue(clock)
        self.events = EventRecorder(api, clock, component=self._event_component(), user=self.user)
        self._failures: dict[Key, int] = {}
        self._thread = threading.Thread(target=self._run, name=self.component, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in hand, and end."""
        self.queue.close()
        self._thread.join()

    def observe(self, event: str, body: Body) -> None:  # noqa: ARG002
        """Plan what a change may concern: the object itself, or its controller."""
        if body["kind"] == self.kind:
            self.queue.add(key_of(body))
            return
        owner = controller_of(body)
        if owner is not None and owner["kind"] == self.kind:
            self.queue.add((body["metadata"].get("namespace", ""), owner["name"]))

    def sync(self, body: Body) -> None:
        """Bring one object to what it shall be."""
        raise NotImplementedError

    def find(self, key: Key) -> Body | None:
        """Return the object, or None if it is gone or going."""
        try:
            body = self.api.read(self.resource, key[1], key[0] or None)
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise
        return None if is_deleting(body) else body

    def write_status(self, body: Body, status: Body) -> Body:
        """Replace an object's status, if it is another."""
        if body.get("status") == status:
            return body
        namespace, name = key_of(body)
        return self.api.replace(
            self.resource,
            name,
            {**body, "status": status},
            namespace or None,
            user=self.user,
            subresource="status",
        )

    def create_pod(self, owner: Body, pod: Body) -> Body:
        """
        Create a pod, and say so at its owner.

        Raises:
            ApiError: The pod was refused, which is said as well.
        """
        namespace = owner["metadata"]["namespace"]
        try:
            created = self.api.create("pods", pod, namespace, user=self.user)
        except ApiError as error:
            self.events.warning(owner, "FailedCreate", f"Error creating: {error}")
            raise
        self.events.normal(owner, "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        return created

    def delete_pod(self, owner: Body, pod: Body) -> None:
        """Delete a pod, and say so at its owner."""
        namespace, name = key_of(pod)
        try:
            self.api.delete("pods", name, namespace, user=self.user)
        except ApiError as error:
            if error.reason == "NotFound":
                return
            self.events.warning(owner, "FailedDelete", f"Error deleting: {error}")
            raise
        self.events.normal(owner, "SuccessfulDelete", f"Deleted pod: {name}")

    def pods_of(self, owner: Body) -> list[Body]:
        """List the pods that an object controls."""
        return list_owned(self.api, "pods", owner)

    def _event_component(self) -> str:
        return self.component

    def _run(self) -> None:
        while (key := self.queue.get()) is not None:
            try:
                body = self.find(key)
                if body is not None:
                    self.sync(body)
                self._failures.pop(key, None)
            except ApiError as error:
                self.queue.add(key, self._backoff_s(key, error))

    def _backoff_s(self, key: Key, error: ApiError) -> float:
        if error.reason == "Conflict":
            return _CONFLICT_S
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(_BACKOFF_FIRST_S * 2 ** (failures - 1), _BACKOFF_MOST_S))


def make_pod(
    owner: Body, template: Body, *, name: str | None = None, labels: Body | None = None
) -> Body:
    """Return a pod of a template; without a name, one is generated from its owner's."""
    metadata = template.get("metadata") or {}
    named = {"name": name} if name else {"generateName": f"{owner['metadata']['name'][:58]}-"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **named,
            "labels": {**(metadata.get("labels") or {}), **(labels or {})},
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [make_owner_reference(owner)],
        },
        "spec": template["spec"],
    }
