"""The warmup Job as Kubernetes takes it: its published schema, its rules, and Pod Security."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate.utils import validate

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.api import Api, ApiError
from sandbox.kubernetes.server import KubernetesServer
from sandbox.local_cloud import read_manifests, resource_name
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.ladder import (
    Strategy,
    WantedImage,
    plan_rung,
    serve_rung,
)
from shared.domain.node import Node
from shared.domain.placement import SCALING_PRIORITY_CLASS, Placement, Toleration
from shared.domain.request import Cause
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.warmups import DIGEST, L4, make_node, make_strategy, make_warmup

Body = dict[str, Any]

VERSIONS = ["1.30", "1.33", "1.36"]
HELD = f"us-docker.pkg.dev/demo/x/app@{DIGEST}"


def serve(rung: str, target: Placement, *nodes: Body, is_autopilot: bool = False) -> Strategy:
    planned = plan_rung(rung, target, None, is_autopilot=is_autopilot)
    return serve_rung(
        planned, [Node.from_body(each) for each in nodes], WantedImage(DIGEST), platform=None
    )


SPOT_CLASS = Placement.of(
    {"cloud.google.com/gke-spot": "true", "cloud.google.com/compute-class": "gpus"},
    [
        Toleration("cloud.google.com/gke-spot", "Equal", "true", "NoSchedule"),
        Toleration("a", "Exists"),
    ],
)
STRATEGIES = {
    "gpu-node": serve("gpu-node", L4, make_node("gpu-1"), make_node("gpu-2", images=[HELD])),
    "any-node": serve("any-node", L4, make_node("cpu-1", accelerator=None)),
    "new-gpu-node": serve("new-gpu-node", SPOT_CLASS),
    "autopilot": serve("any-node", L4, is_autopilot=True),
}
BODIES = {
    **{name: make_warmup(strategy=each).body() for name, each in STRATEGIES.items()},
    "longest": make_warmup(
        name=f"warm-{'a' * 40}-0123456789",
        image=f"registry.example/{'a' * 255}:{'b' * 128}@{DIGEST}",
        target_name="a" * 63,
        cause=Cause("audit_log", "i" * 512, "r" * 2000),
        deadline_s=1,
        strategy=make_strategy(required_nodes=tuple("n" * 63 for _ in range(20))),
    ).body(),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BODIES)
def test_job_follows_the_published_schema(name: str, version: str) -> None:
    assert validate(BODIES[name], version, strict=True).startswith(version)


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    for body in read_manifests("demo"):
        server.api.create(resource_name(body), body, user="admin")
    yield server
    server.stop()


@pytest.fixture
def cluster(server: KubernetesServer, tmp_path: Path) -> KubernetesCluster:
    """Connect with the rights of the function that makes warmups."""
    server.add_user("token", "prestream-image-reference@demo.iam.gserviceaccount.com")
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(server.kubeconfig(GPU_CLUSTER.context, "token")))
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")
    return directory.connect(GPU_CLUSTER)


def make_pod(job: Body) -> Body:
    """Return the pod that the Job controller makes of a Job."""
    template = job["spec"]["template"]
    name = {"name": f"{job['metadata']['name']}-abcde", "namespace": "prestream"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], **name},
        "spec": template["spec"],
    }


def create_pod(api: Api, pod: Body) -> Body:
    return api.create("pods", pod, user="system:serviceaccount:kube-system:job-controller")


@pytest.mark.parametrize("name", BODIES)
def test_job_is_accepted_and_so_is_its_pod(
    server: KubernetesServer, cluster: KubernetesCluster, name: str
) -> None:
    assert cluster.create_job(BODIES[name]) is True

    job = cluster.fetch_job(BODIES[name]["metadata"]["name"])
    assert job is not None
    pod = create_pod(server.api, make_pod(job))

    scales = BODIES[name]["spec"]["template"]["spec"]["priorityClassName"] == SCALING_PRIORITY_CLASS
    assert pod["spec"]["priority"] == (-5 if scales else -1000)
    assert pod["spec"]["preemptionPolicy"] == "Never"
    assert pod["spec"]["serviceAccountName"] == "prestream-warmup"
    assert all("serviceaccount" not in str(each) for each in pod["spec"]["volumes"])


def loosen(pod: Body, path: str) -> None:
    """Take a field of a pod's spec away."""
    *parents, last = path.split(".")
    at: Any = pod["spec"]
    for part in parents:
        at = at[int(part)] if part.isdigit() else at[part]
    del at[last]


@pytest.mark.parametrize(
    "path",
    [
        "securityContext.runAsNonRoot",
        "securityContext.seccompProfile",
        "containers.0.securityContext.allowPrivilegeEscalation",
        "containers.0.securityContext.capabilities",
        "initContainers.0.securityContext.allowPrivilegeEscalation",
        "initContainers.0.securityContext.capabilities",
    ],
)
def test_pod_security_would_refuse_less(server: KubernetesServer, path: str) -> None:
    pod = make_pod(make_warmup().body())
    loosen(pod, path)

    with pytest.raises(ApiError, match='violates PodSecurity "restricted'):
        create_pod(server.api, pod)


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "google.com/tpu"])
def test_quota_allows_no_accelerator_for_warmups(server: KubernetesServer, resource: str) -> None:
    pod = make_pod(make_warmup().body())
    pod["spec"]["containers"][0]["resources"]["limits"][resource] = 1

    with pytest.raises(ApiError, match="exceeded quota: prestream-warmup"):
        create_pod(server.api, pod)


def test_stored_job_equals_the_sent_one(cluster: KubernetesCluster) -> None:
    body = make_warmup().body()
    cluster.create_job(body)

    job = cluster.fetch_job(body["metadata"]["name"])

    assert job is not None
    sent, kept = body["spec"]["template"]["spec"], job["spec"]["template"]["spec"]
    for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "securityContext"):
        assert kept[key] == sent[key]
    for kind in ("initContainers", "containers"):
        for given, stored in zip(sent[kind], kept[kind], strict=True):
            for key in ("image", "imagePullPolicy", "command", "workingDir", "env", "resources"):
                assert stored[key] == given[key]
            assert stored["securityContext"] == given["securityContext"]
