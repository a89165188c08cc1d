"""prestream plan, policy and replay with the services of the local cloud."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import Result

from cli.exits import ExitCode
from sandbox.local_cloud import PROJECT, LocalCloud
from shared.clients.artifact_registry import ArtifactRegistry
from shared.domain.mirror import RemoteRepository, RepositoryName
from tests.fakes.command_line import run_command
from tests.fakes.recorded_events import load_event, read_event
from tests.fakes.warmups import L4
from tests.integration.conftest import ENDLESS_PERIOD

pytestmark = pytest.mark.integration

ADMIN = "admin@example.com"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
RAY = "anyscale/ray-ml:2.7.0"
TOPIC = f"projects/{PROJECT}/topics/prestream-image-references"


class Lab:
    """A cloud with one GPU node, and the commands of its administrator."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.environ = cloud.environ("image_reference")
        self.context = f"gke_{PROJECT}_us-central1_gpu"
        self.environ["KUBECONFIG"] = self.write_kubeconfig()

    def create(self, resource: str, body: Mapping[str, Any], namespace: str | None = None) -> None:
        self.cloud.kubernetes.api.create(resource, dict(body), namespace, user=ADMIN)

    def run(self, *arguments: str, text: str = "", **environ: str) -> Result:
        return run_command({**self.environ, **environ}, *arguments, text=text)

    def write_kubeconfig(self, token: str | None = None, server: str | None = None) -> str:
        """Return the path of a kubeconfig with another user or another server."""
        tokens = () if token is None else (token,)
        config = self.cloud.kubernetes.kubeconfig(self.context, *tokens)
        if server is not None:
            config["clusters"][0]["cluster"]["server"] = server
        name = f"{token or 'admin'}{'' if server is None else '-elsewhere'}.kubeconfig"
        path = self.cloud.folder / name
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return str(path)

    def state(self) -> Any:
        """Return all that a function could have changed."""
        missing = RepositoryName(PROJECT, "us-central1", "quay-io-mirror")
        client = ArtifactRegistry(emulator_host=self.cloud.artifact_registry.address)
        messages = self.cloud.pubsub.messages(TOPIC) if self.cloud.pubsub else []
        jobs = self.cloud.kubernetes.api.list("jobs.batch")
        return jobs, self.cloud.facts(), len(messages), client.fetch_repository(missing)

    def plan(self, *arguments: str, text: str = "") -> Any:
        result = self.run("plan", "--json", *arguments, text=text)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


def make_deployment(name: str, image: str, namespace: str, *, gpus: int = 1) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": image}]}
    if gpus:
        spec["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
        spec["nodeSelector"] = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    cloud = LocalCloud(scale=400.0, config=ENDLESS_PERIOD)
    cloud.start()
    try:
        cloud.apply_manifests()
        cloud.gke.add_node("gke-gpu-l4-a", pool="l4-spot", accelerator="nvidia-l4")
        lab = Lab(cloud)
        fill(lab)
        yield lab
    finally:
        cloud.stop()


def fill(lab: Lab) -> None:
    """Put workloads into two namespaces, of which one opted in, and make one of two mirrors."""
    label = {"prestream.dev/rewrite": "enabled"}
    for name, labels in (("ml", label), ("web", {})):
        lab.create(
            "namespaces",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )
    for body in (
        make_deployment("trainer", RAY, "ml"),
        make_deployment("small", "alpine:3.20", "ml"),
        make_deployment("absent", "anyscale/ray-ml:nope", "ml"),
        make_deployment("tool", "quay.io/acme/tool:1", "ml"),
        make_deployment("site", "nginx:1.27", "web", gpus=0),
    ):
        lab.create("deployments.apps", body, body["metadata"]["namespace"])
    lab.cloud.kubernetes.api.patch(
        "configmaps", "proven-mirrors", {"data": {"docker.io": MIRROR}}, "prestream", user=ADMIN
    )
    mirror = RepositoryName(PROJECT, "us-central1", "dockerhub-mirror")
    client = ArtifactRegistry(emulator_host=lab.cloud.artifact_registry.address)
    client.create_repository(RemoteRepository(mirror, "docker.io", None))
    while client.fetch_repository(mirror) is None:
        lab.cloud.clock.sleep(1)


def test_policy_shows_the_proven_mirrors(lab: Lab) -> None:
    result = lab.run("policy", "--status")

    assert result.exit_code == 0, result.stderr
    (row,) = [line.split() for line in result.stdout.splitlines() if line.startswith("docker.io")]
    assert row == ["docker.io", "proven", MIRROR, "all"]


def test_policy_reports_an_unreadable_parameter(lab: Lab) -> None:
    result = lab.run("policy", "--status", KUBECONFIG=lab.write_kubeconfig("nobody"))

    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "nothing is rewritten" not in result.stdout


def test_plan_of_a_cluster_lists_its_actions_and_the_pods_to_rewrite(lab: Lab) -> None:
    planned = lab.plan()

    images = {each["image"]: each for each in planned["images"]}
    ray = images[RAY]
    assert ray["image_bytes"] > 9_000_000_000
    assert ray["mirror"].startswith(f"{MIRROR}/anyscale/ray-ml@sha256:")
    assert [(each["target"], each["rung"]) for each in ray["steps"]] == [(L4.name, "gpu-node")]
    assert images["alpine:3.20"]["steps"][0]["result"] == "too_small"
    assert images["anyscale/ray-ml:nope"]["steps"][0]["outcome"] == "pull_failed"
    assert images["quay.io/acme/tool:1"]["image_bytes"] is None
    assert [each["image"] for each in planned["left_out"]] == ["nginx:1.27"]
    assert {each["upstream"]: each["state"] for each in planned["mirrors"]} == {
        "docker.io": "exists",
        "quay.io": "missing",
    }
    pods = {each["workload"].rpartition("/")[2]: each for each in planned["pods"]}
    assert pods["trainer"]["opted_in"] is True
    assert pods["trainer"]["rewritten"][0]["mirror"] == f"{MIRROR}/{RAY}"
    assert pods["site"]["opted_in"] is False
    assert pods["tool"]["left"][0]["left"] == "no_mirror"


def test_plan_changes_nothing(lab: Lab) -> None:
    before = lab.state()

    result = lab.run("plan")

    assert result.exit_code == 0
    assert "1 mirror to be made" in result.stdout
    assert lab.state() == before


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--context", "gke_demo_us-central1_gpu"], id="context"),
        pytest.param(["--cluster", "projects/demo/locations/us-central1/clusters/gpu"], id="name"),
    ],
)
def test_manifests_are_planned_for_a_cluster_that_is_named(lab: Lab, options: list[str]) -> None:
    text = json.dumps(make_deployment("new", "vllm/vllm-openai:v0.6.3", "ml"))

    planned = lab.plan("-f", "-", *options, text=text)

    (image,) = planned["images"]
    assert image["steps"][0]["rung"] == "gpu-node"
    assert image["image_bytes"] > 4_000_000_000
    assert planned["pods"][0]["opted_in"] is True


def test_log_export_and_cluster_give_the_same_plan(lab: Lab) -> None:
    assert lab.cloud.router.flush(10.0)
    text = json.dumps(lab.cloud.logging.query(), indent=2)

    logged = {each["image"] for each in lab.plan("--from", "-", text=text)["images"]}

    assert logged == {each["image"] for each in lab.plan()["images"]}


def test_missing_cluster_is_reported(lab: Lab) -> None:
    name = "projects/demo/locations/us-central1/clusters/absent"

    result = lab.run("plan", "--cluster", name, KUBECONFIG="")

    assert result.exit_code == 5
    assert "absent" in result.stderr


def test_silent_cluster_is_reported(lab: Lab) -> None:
    kubeconfig = lab.write_kubeconfig(server="http://127.0.0.1:9")

    assert lab.run("plan", KUBECONFIG=kubeconfig).exit_code == 5


def allow(lab: Lab, user: str, groups: list[str]) -> None:
    """Let a user read everything of some API groups, and nothing of others."""
    group = "rbac.authorization.k8s.io"
    common = {"apiVersion": f"{group}/v1", "metadata": {"name": "some"}}
    rules = [{"apiGroups": groups, "resources": ["*"], "verbs": ["get", "list"]}]
    lab.create(f"clusterroles.{group}", {**common, "kind": "ClusterRole", "rules": rules})
    binding = {
        **common,
        "kind": "ClusterRoleBinding",
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "some"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    lab.create(f"clusterrolebindings.{group}", binding)


def test_forbidden_kind_does_not_hide_the_others(lab: Lab) -> None:
    allow(lab, "dev@example.com", ["", "apps"])
    lab.cloud.kubernetes.add_user("token-of-dev", "dev@example.com")

    result = lab.run("plan", "--json", KUBECONFIG=lab.write_kubeconfig("token-of-dev"))

    planned = json.loads(result.stdout)
    assert RAY in {each["image"] for each in planned["images"]}
    assert any("cronjobs" in each for each in planned["notes"])


def test_replay_publishes_after_consent(lab: Lab, tmp_path: Path) -> None:
    assert lab.cloud.pubsub is not None
    entry = load_event("build-success")
    export = tmp_path / "builds.json"
    export.write_text(json.dumps([entry, entry]), encoding="utf-8")
    before = len(lab.cloud.pubsub.messages(TOPIC))

    result = lab.run("replay", "--publish", str(export), text="y\n")

    assert result.exit_code == 0, result.stderr
    published = lab.cloud.pubsub.messages(TOPIC)[before:]
    assert f"{len(published)} of {len(published)} reference" in result.stdout
    assert {json.loads(each.data)["cause"]["kind"] for each in published} == {"build"}


def test_failed_publish_is_reported(lab: Lab) -> None:
    text = read_event("build-success")

    result = lab.run("replay", "--publish", "--yes", "-", text=text, GOOGLE_CLOUD_PROJECT="another")

    assert result.exit_code == 5
    assert "0 of" in result.stderr
