"""The agent of a node: it registers the node and runs its pods."""

import contextlib
import threading
from collections.abc import Iterator

from sandbox.clock import Clock
from sandbox.gke.container import (
    ContainerRecord,
    ContainerStarter,
    NodeServices,
    ends_by_itself,
    is_restarted,
    make_records,
    make_status,
)
from sandbox.gke.controller import FINISHED, is_deleting, key_of, make_condition, merge_condition
from sandbox.gke.event_recorder import EventRecorder
from sandbox.gke.image_pull import (
    ImagePuller,
    InterruptedPullError,
    Snapshotter,
    Sources,
    WriteLine,
)
from sandbox.gke.node import ImageStore, NodeSpec, make_node
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, dig, format_seconds
from sandbox.kubernetes.statuses import ApiError

_SYNC_S = 12.0
"""About how often the kubelet looks again at a pod that waits for something."""
_RUN_S = 1.0
"""How long a small program runs."""
_KILLED = 137


class PodWorker:
    """
    Starts the containers of a pod, reports its status, and stops them when the pod is to go.

    A pull continues when its pod is deleted: the kubelet stops a container only after it started.
    """

    def __init__(
        self, api: Api, pod: Body, services: NodeServices, *, user: str, addresses: Body
    ) -> None:
        self._api = api
        self._pod = pod
        self._services = services
        self._user = user
        self._addresses = addresses
        self._records = make_records(pod)
        self._going = threading.Event()
        self._stopped = threading.Event()
        self._disruption: Body | None = None
        self._starters = [
            ContainerStarter(pod, record, services, self._stopped) for record in self._records
        ]
        self._thread = threading.Thread(target=self._run, name="pod-worker", daemon=True)

    def start(self) -> None:
        """Start the pod, or stop it if it is being deleted already."""
        self._thread.start()

    def remove(self) -> None:
        """Stop the containers of the pod, which was deleted."""
        self._going.set()

    def preempt(self) -> None:
        """Fail the pod, since its node is being shut down."""
        self._disruption = make_condition(
            "DisruptionTarget",
            self._services.clock.now(),
            "TerminationByKubelet",
            "Pod was terminated in response to imminent node shutdown.",
        )
        self._stopped.set()
        self._going.set()

    def abandon(self) -> None:
        """Stop working and leave the pod as it is; ``join`` waits for the end."""
        self._stopped.set()
        self._going.set()

    def join(self) -> None:
        """Wait until the worker has ended."""
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(InterruptedPullError):
            self._live()
        self._going.wait()
        if self._disruption is not None or not self._stopped.is_set():
            self._take_down()

    def _live(self) -> None:
        self._report("Pending")
        init = [each for each in self._starters if each.record.is_init]
        main = [each for each in self._starters if not each.record.is_init]
        for starter in init:
            self._settle([starter])
            if starter.record.exit_code:
                self._report("Failed")
                return
        self._settle(main)
        ended = [starter.record for starter in main if starter.record.is_ended]
        if len(ended) == len(main):
            self._report(_final_phase(ended))

    def _settle(self, starters: list[ContainerStarter]) -> None:
        """Start containers until each has ended for good or stays running."""
        left = list(starters)
        while left and not self._going.is_set():
            for starter in left:
                starter.attempt()
                self._report(self._phase())
            self._let_run([starter for starter in left if starter.record.is_running])
            left = [starter for starter in left if not self._is_settled(starter)]
            if left:
                self._report(self._phase())
                self._sleep(_SYNC_S)

    def _let_run(self, starters: list[ContainerStarter]) -> None:
        short = [starter.record for starter in starters if self._ends_by_itself(starter.record)]
        if not short or not self._sleep(_RUN_S):
            return
        for record in short:
            self._end(record)
        if any(record.is_init for record in short):
            self._report(self._phase())

    def _ends_by_itself(self, record: ContainerRecord) -> bool:
        return ends_by_itself(self._pod, record, self._services.switches)

    def _end(self, record: ContainerRecord) -> None:
        code = self._services.switches.exit_code(record.spec["image"])
        record.end(code, "Error" if code else "Completed", self._now())

    def _is_settled(self, starter: ContainerStarter) -> bool:
        record = starter.record
        if record.is_ended and is_restarted(self._pod, record):
            starter.fail_again()
        return record.is_running or record.is_ended

    def _take_down(self) -> None:
        """Stop the containers, record Events, and remove a deleted pod from the API server."""
        for record in self._records:
            if record.is_running:
                self._services.events.normal(
                    self._pod,
                    "Killing",
                    f"Stopping container {record.name}",
                    field_path=record.field_path,
                )
                # A small program is faster than the signal that stops it.
                if self._ends_by_itself(record):
                    self._end(record)
                else:
                    record.end(_KILLED, "Error", self._now())
        main = [record for record in self._records if not record.is_init]
        with _absence_ignored():
            if dig(self._read(), "status", "phase") not in FINISHED:
                self._report(_final_phase(main), disruption=self._disruption)
            if self._disruption is None:
                namespace, name = key_of(self._pod)
                self._api.delete("pods", name, namespace, user=self._user, grace_period_s=0)

    def _report(self, phase: str, disruption: Body | None = None) -> None:
        """Write the status of the pod if it still exists, keeping the conditions of others."""
        with _absence_ignored():
            while not self._write(phase, disruption):
                pass

    def _write(self, phase: str, disruption: Body | None) -> bool:
        """Write the status once; False after a conflict."""
        current = self._read()
        status = make_status(
            current.get("status") or {},
            self._records,
            phase=phase,
            now=self._services.clock.now(),
            addresses=self._addresses,
        )
        if disruption is not None:
            status["conditions"] = merge_condition(status["conditions"], disruption)
            status |= {"reason": "Terminated", "message": disruption["message"]}
        if status == current.get("status"):
            return True
        namespace, name = key_of(self._pod)
        body = {**current, "status": status}
        try:
            self._api.replace("pods", name, body, namespace, user=self._user, subresource="status")
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            return False
        return True

    def _read(self) -> Body:
        """Return the current pod; a later one of the same name counts as absent."""
        namespace, name = key_of(self._pod)
        current = self._api.read("pods", name, namespace)
        if current["metadata"]["uid"] != self._pod["metadata"]["uid"]:
            raise _gone(name)
        return current

    def _phase(self) -> str:
        main = [record for record in self._records if not record.is_init]
        has_begun = any(record.is_running or record.restarts for record in main)
        is_waiting = any("waiting" in record.state and not record.restarts for record in main)
        return "Running" if has_begun and not is_waiting else "Pending"

    def _sleep(self, seconds: float) -> bool:
        """Wait; False if the pod is to go before the end."""
        return self._services.clock.sleep(seconds, self._going)

    def _now(self) -> str:
        return format_seconds(self._services.clock.now())


def _final_phase(main: list[ContainerRecord]) -> str:
    return "Succeeded" if all(record.exit_code == 0 for record in main) else "Failed"


@contextlib.contextmanager
def _absence_ignored() -> Iterator[None]:
    """Ignore that a pod or node does not exist any more."""
    try:
        yield
    except ApiError as error:
        if error.reason != "NotFound":
            raise


def _gone(name: str) -> ApiError:
    return ApiError({"code": 404, "reason": "NotFound", "message": f'pods "{name}" not found'})


class Kubelet:
    """The agent of one node."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        spec: NodeSpec,
        sources: Sources,
        *,
        project: str,
        number: int,
        write: WriteLine,
    ) -> None:
        self.spec = spec
        self._api = api
        self._number = number
        self._user = f"system:node:{spec.name}"
        self._address = f"10.128.0.{number + 1}"
        self._workers: dict[str, PodWorker] = {}
        self._lock = threading.Lock()
        self._is_stopped = False
        self._store = ImageStore()
        node = self._register(make_node(spec, clock.now(), project=project, address=self._address))
        snapshotter = Snapshotter(api, clock, node, switches=sources.switches, write=write)
        puller = ImagePuller(
            spec,
            clock,
            sources,
            snapshotter,
            self._store,
            self._report_images,
        )
        events = EventRecorder(api, clock, component="kubelet", host=spec.name, user=self._user)
        self._services = NodeServices(clock, events, puller, self._store, sources.switches)
        self._begin(node)

    def observe(self, event: str, pod: Body) -> None:
        """Follow a pod that is bound to this node."""
        uid = pod["metadata"]["uid"]
        with self._lock:
            worker = self._workers.get(uid)
            if event == "DELETED" or is_deleting(pod):
                if worker is None and event != "DELETED":
                    self._take_over(uid, pod, is_going=True)
                elif worker is not None:
                    worker.remove()
            elif worker is None and dig(pod, "status", "phase") not in FINISHED:
                self._take_over(uid, pod)

    def preempt(self) -> None:
        """Fail all pods, as on a Spot node that is preempted, and end."""
        for worker in self._close():
            worker.preempt()
            worker.join()

    def stop(self) -> None:
        """End without changing the pods."""
        workers = self._close()
        for worker in workers:
            worker.abandon()
        for worker in workers:
            worker.join()

    def _close(self) -> list[PodWorker]:
        with self._lock:
            self._is_stopped = True
            return list(self._workers.values())

    def _take_over(self, uid: str, pod: Body, *, is_going: bool = False) -> None:
        if self._is_stopped:
            return
        octet = len(self._workers) % 250 + 2
        addresses: Body = {
            "hostIP": self._address,
            "hostIPs": [{"ip": self._address}],
            "podIP": f"10.4.{self._number}.{octet}",
            "podIPs": [{"ip": f"10.4.{self._number}.{octet}"}],
        }
        worker = PodWorker(self._api, pod, self._services, user=self._user, addresses=addresses)
        self._workers[uid] = worker
        if is_going:
            worker.remove()
        worker.start()

    def _register(self, node: Body) -> Body:
        self._api.create("nodes", node, user=self._user)
        return self._api.patch(
            "nodes",
            self.spec.name,
            {"status": node["status"]},
            user=self._user,
            subresource="status",
        )

    def _begin(self, node: Body) -> None:
        name = self.spec.name
        self._services.events.normal(node, "Starting", "Starting kubelet.")
        self._services.events.normal(node, "NodeReady", f"Node {name} status is now: NodeReady")
        for image in self.spec.images:
            self._services.puller.hold(image)
        if self.spec.images:
            self._report_images()

    def _report_images(self) -> None:
        with _absence_ignored():
            self._api.patch(
                "nodes",
                self.spec.name,
                {"status": {"images": self._store.report()}},
                user=self._user,
                subresource="status",
            )
