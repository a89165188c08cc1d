"""The base of all controllers: work queue, owner references and conditions."""

import threading
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sandbox.clock import Clock
from sandbox.gke.event_recorder import EventRecorder
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, dig, format_seconds, items
from sandbox.kubernetes.statuses import ApiError

Key = tuple[str, str]
"""Namespace and name."""

FINISHED = ("Succeeded", "Failed")


def key_of(body: Body) -> Key:
    """Return the namespace and the name of an object."""
    metadata = body["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def controller_of(body: Body) -> Body | None:
    """Return the owner reference that controls an object."""
    for owner in items(body, "metadata", "ownerReferences"):
        if owner.get("controller"):
            found: Body = owner
            return found
    return None


def make_owner_reference(owner: Body) -> Body:
    """Return the reference by which ``owner`` controls another object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def list_owned(api: Api, resource: str, owner: Body) -> list[Body]:
    """List the objects that ``owner`` controls."""
    uid = owner["metadata"]["uid"]
    return [
        body
        for body in api.list(resource, owner["metadata"]["namespace"])
        if (controller_of(body) or {}).get("uid") == uid
    ]


def is_finished(pod: Body) -> bool:
    """Whether a pod's containers have ended for good."""
    return dig(pod, "status", "phase") in FINISHED


def is_deleting(body: Body) -> bool:
    """Whether an object is being deleted."""
    return bool(body["metadata"].get("deletionTimestamp"))


def is_active(pod: Body) -> bool:
    """Whether a pod runs or will run."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Body) -> bool:
    """Whether a pod is ready."""
    return has_condition(pod, "Ready")


def has_condition(body: Body, kind: str) -> bool:
    """Whether a condition of an object is true."""
    return any(
        condition["type"] == kind and condition["status"] == "True"
        for condition in items(body, "status", "conditions")
    )


def merge_condition(conditions: list[Body], condition: Body) -> list[Body]:
    """Set a condition; its transition time stays while its status does."""
    kept = []
    for known in conditions:
        if known["type"] != condition["type"]:
            kept.append(known)
        elif known["status"] == condition["status"] and "lastTransitionTime" in known:
            condition = {**condition, "lastTransitionTime": known["lastTransitionTime"]}
    return [*kept, condition]


_MOVED_CLOCK_S = 0.1
"""Real seconds after which a clock that was moved is noticed."""


def make_condition(
    kind: str, now: datetime, reason: str = "", message: str = "", *, is_true: bool = True
) -> Body:
    """Return a condition that changed now."""
    condition = {
        "type": kind,
        "status": "True" if is_true else "False",
        "lastTransitionTime": format_seconds(now),
    }
    texts = {"reason": reason, "message": message}
    return condition | {key: text for key, text in texts.items() if text}


def patch_condition(api: Api, pod: Body, condition: Body, *, user: str, **status: Any) -> None:
    """Set a condition of a pod and more fields of its status, unless they are set already."""
    conditions = merge_condition(items(pod, "status", "conditions"), condition)
    if status or conditions != items(pod, "status", "conditions"):
        namespace, name = key_of(pod)
        changed = {"status": {"conditions": conditions, **status}}
        api.patch("pods", name, changed, namespace, user=user, subresource="status")


class WorkQueue:
    """
    Keys that wait to be worked on, each at most once, the earliest first.

    It blocks until a key is due; nothing is polled while nothing is planned.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[Key, datetime] = {}
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: Key, after_s: float = 0.0) -> None:
        """Plan a key; the earlier time counts if it is planned already."""
        due = self._clock.now() + timedelta(seconds=after_s)
        with self._changed:
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def get(self) -> Key | None:
        """Wait for the next key that is due; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                timeout_s: float | None = None
                if self._due:
                    key, due = min(self._due.items(), key=lambda item: item[1])
                    left_s = (due - self._clock.now()).total_seconds()
                    if left_s <= 0:
                        del self._due[key]
                        return key
                    timeout_s = min(left_s / self._clock.scale, _MOVED_CLOCK_S)
                self._changed.wait(timeout_s)
        return None

    def close(self) -> None:
        """Wake all waiting threads, for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


_BACKOFF_FIRST_S = 1.0
_BACKOFF_MOST_S = 60.0
_CONFLICT_S = 0.05


class Controller:
    """
    Base of the controllers: their queue and their retries.

    A failed synchronisation is tried again with a growing delay, as the controller
    manager's rate limiter does; a conflict at once.
    """

    component: ClassVar[str]
    """The name in its principal."""
    kind: ClassVar[str]
    resource: ClassVar[str]

    def __init__(self, api: Api, clock: Clock) -> None:
        self.api = api
        self.clock = clock
        self.user = f"system:serviceaccount:kube-system:{self.component}"
        self.queue = WorkQueue(clock)
        self.events = EventRecorder(api, clock, component=self._event_component(), user=self.user)
        self._failures: dict[Key, int] = {}
        self._thread = threading.Thread(target=self._run, name=self.component, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the current object, and end."""
        self.queue.close()
        self._thread.join()

    def observe(self, event: str, body: Body) -> None:  # noqa: ARG002
        """Plan the objects that a change concerns: the object itself, or its controller."""
        if body["kind"] == self.kind:
            self.queue.add(key_of(body))
            return
        owner = controller_of(body)
        if owner is not None and owner["kind"] == self.kind:
            self.queue.add((body["metadata"].get("namespace", ""), owner["name"]))

    def sync(self, body: Body) -> None:
        """Bring one object to its desired state."""
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
        Create a pod, and record an Event of its owner.

        Raises:
            ApiError: The API server refused the pod; an Event records it.
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
        """Delete a pod, and record an Event of its owner."""
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
