"""A node: it registers itself, and runs the pods that are bound to it."""

import threading

from sandbox.clock import Clock
from sandbox.gke.container_starts import NodeServices
from sandbox.gke.events import EventRecorder
from sandbox.gke.image_puller import ImagePuller, Sources
from sandbox.gke.kubelet_messages import Wording
from sandbox.gke.nodes import NodeSpec, make_node
from sandbox.gke.owners import is_deleting
from sandbox.gke.pod_worker import PodWorker
from sandbox.gke.pulled_images import ImageStore
from sandbox.gke.snapshotter import Snapshotter, WriteLine
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Body, dig
from sandbox.kubernetes.statuses import ApiError


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
        version: str,
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
        node = self._register(
            make_node(spec, clock.now(), project=project, version=version, address=self._address)
        )
        snapshotter = Snapshotter(api, clock, node, switches=sources.switches, write=write)
        wording = Wording.of_version(version)
        puller = ImagePuller(
            spec,
            clock,
            sources,
            snapshotter,
            self._store,
            self._report_images,
            takes_schema_1=wording.takes_schema_1,
        )
        events = EventRecorder(api, clock, component="kubelet", host=spec.name, user=self._user)
        self._services = NodeServices(clock, events, puller, self._store, wording, sources.switches)
        self._begin(node, snapshotter)

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
            elif worker is None and dig(pod, "status", "phase") not in ("Succeeded", "Failed"):
                self._take_over(uid, pod)

    def preempt(self) -> None:
        """Fail all pods, as a Spot node does that is being taken away, and end."""
        for worker in self._close():
            worker.preempt()
            worker.join()

    def stop(self) -> None:
        """End, leaving the pods as they are."""
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

    def _begin(self, node: Body, snapshotter: Snapshotter) -> None:
        name = self.spec.name
        self._services.events.normal(node, "Starting", "Starting kubelet.")
        self._services.events.normal(node, "NodeReady", f"Node {name} status is now: NodeReady")
        for image in self.spec.images:
            self._services.puller.hold(image)
        if self.spec.images:
            self._report_images()
        if self.spec.streaming:
            snapshotter.start()

    def _report_images(self) -> None:
        try:
            self._api.patch(
                "nodes",
                self.spec.name,
                {"status": {"images": self._store.report()}},
                user=self._user,
                subresource="status",
            )
        except ApiError as error:
            if error.reason != "NotFound":
                raise
