"""The images that the demo deploys, and the expected outcome of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.catalogue.image import Image
from sandbox.messaging import BUILDS

if TYPE_CHECKING:
    from sandbox.local_cloud import Services

NAMESPACE = "ml"
NAMESPACE_BODY: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    # The label lets the policy rewrite its pods to pull from the mirror.
    "metadata": {"name": NAMESPACE, "labels": {"prestream.dev/rewrite": "enabled"}},
}

L4_SPOT = {
    "cloud.google.com/gke-accelerator": "nvidia-l4",
    "cloud.google.com/gke-spot": "true",
}
H100 = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
GB200 = {
    "cloud.google.com/gke-accelerator": "nvidia-gb200",
    "kubernetes.io/arch": "arm64",
}

APPS = "us-central1-docker.pkg.dev/demo/apps"
MIRRORS = "us-central1-docker.pkg.dev/demo"
TRAINER = Image(
    (30_440_000, 612_000_000, 1_180_000_000, 2_260_000_000, 716_000_000), build="trainer:v1"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A deployed or built image, and its expected outcome."""

    name: str
    """Name of the Deployment or the build."""
    image: str
    outcome: str = "pulled"
    strategy: str | None = "gpu-node"
    mirror: str | None = None
    """The name under which a second pod pulls it; None if no pod can."""
    node_selector: Mapping[str, str] = field(default_factory=lambda: L4_SPOT)
    replicas: int = 0
    """The image of a Deployment that is scaled to zero is warmed before anybody waits for it."""
    is_build: bool = False
    is_rewritten: bool = False
    """Whether the second pod belongs to the same Deployment: a policy rewrites it to the mirror."""

    @property
    def title(self) -> str:
        """The image, and its accelerator if the case is about that."""
        accelerator = self.node_selector["cloud.google.com/gke-accelerator"]
        return self.image if self.node_selector == L4_SPOT else f"{self.image} for {accelerator}"

    @property
    def streams(self) -> bool:
        """Whether a second node should stream it."""
        return self.mirror is not None

    def deployment(self) -> dict[str, Any]:
        """Return a workload with the usual name of the image."""
        return make_deployment(
            self.name, self.image, node_selector=self.node_selector, replicas=self.replicas
        )

    def build(self, services: "Services") -> None:
        """Push the image as a build does, and publish the message of Cloud Build."""
        digest = services.artifact_registry.push(f"{APPS}/{self.name}", "v1", TRAINER)
        message = {
            "id": f"build-of-{self.name}",
            "projectId": "demo",
            "status": "SUCCESS",
            "images": [self.image],
            "results": {"images": [{"name": self.image, "digest": digest}]},
        }
        attributes = {"buildId": f"build-of-{self.name}", "status": "SUCCESS"}
        services.messaging.publish(BUILDS, message, attributes)


CASES = (
    Case(
        "test",
        "anyscale/ray-ml:2.7.0",
        mirror=f"{MIRRORS}/dockerhub-mirror/anyscale/ray-ml:2.7.0",
        replicas=1,
        is_rewritten=True,
    ),
    Case("trainer", f"{APPS}/trainer:v1", mirror=f"{APPS}/trainer:v1", is_build=True),
    Case(
        "tgi",
        "ghcr.io/huggingface/text-generation-inference:2.4.0",
        mirror=f"{MIRRORS}/ghcr-io-mirror/huggingface/text-generation-inference:2.4.0",
    ),
    Case(
        "notebook",
        "quay.io/jupyter/pytorch-notebook:2024-10-28",
        mirror=f"{MIRRORS}/quay-io-mirror/jupyter/pytorch-notebook:2024-10-28",
    ),
    Case(
        "pytorch",
        "nvcr.io/nvidia/pytorch:24.11-py3",
        mirror=f"{MIRRORS}/nvcr-io-mirror/nvidia/pytorch:24.11-py3",
    ),
    Case(
        "dra-driver",
        "registry.k8s.io/dra-example-driver/dra-example-driver:v0.1.0",
        mirror=f"{MIRRORS}/registry-k8s-io-mirror/dra-example-driver/dra-example-driver:v0.1.0",
    ),
    Case(
        "training",
        "public.ecr.aws/deep-learning-containers/pytorch-training:2.4.0-gpu-py311",
        mirror=f"{MIRRORS}/public-ecr-aws-mirror/deep-learning-containers/pytorch-training"
        ":2.4.0-gpu-py311",
    ),
    Case(
        "vllm-on-h100",
        "vllm/vllm-openai:v0.6.3",
        strategy="any-node",
        mirror=f"{MIRRORS}/dockerhub-mirror/vllm/vllm-openai:v0.6.3",
        node_selector=H100,
    ),
    Case("misspelt", "anyscale/ray-ml:no-such-tag", "pull_failed", None),
    Case("elsewhere", "registry.example.com/team/model:1", "not_allowed", None),
    Case(
        "pytorch-on-gb200",
        "nvcr.io/nvidia/pytorch:24.11-py3",
        "no_node",
        None,
        node_selector=GB200,
    ),
)


def make_deployment(
    name: str,
    image: str,
    *,
    node_selector: Mapping[str, str],
    replicas: int = 1,
    gpus: int = 1,
) -> dict[str, Any]:
    """Return a Deployment of one container, as in any tutorial."""
    labels = {"app": name}
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": dict(node_selector),
                    "tolerations": [
                        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
                    ],
                    "containers": [
                        {
                            "name": "main",
                            "image": image,
                            "command": ["sleep", "infinity"],
                            "resources": resources,
                        }
                    ],
                },
            },
        },
    }
