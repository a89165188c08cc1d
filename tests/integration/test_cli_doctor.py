"""prestream doctor in the local cloud: a cluster as it is, images as a registry serves them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.app import app
from sandbox.fault import Fault
from sandbox.local_cloud import LocalCloud
from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.fact_log import FactLog
from shared.domain.fact import PullObserved, Subject, WarmupFinished
from shared.domain.mirror import RemoteRepository, RepositoryName
from shared.domain.request import Cause
from shared.domain.streaming_verdict import Evidence, Verdict

pytestmark = pytest.mark.integration

ADMIN = "admin@example.com"
NOBODY = "nobody@example.com"
NOBODYS_TOKEN = "token-of-nobody"  # noqa: S105  # of a local API server
VLLM = "vllm/vllm-openai:v0.6.3"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
CONTEXT = "gke_demo_us-central1_gpu"
Found = dict[str, dict[str, Any]]


class Cloud:
    """A local cloud with our manifests, a node that streams, and Docker Hub's mirror."""

    def __init__(self) -> None:
        self.local = LocalCloud(scale=400.0).start()
        self.local.apply_manifests()
        self.local.gke.add_node("gke-l4-a", pool="l4-spot", accelerator="nvidia-l4")
        name = RepositoryName("demo", "us-central1", "dockerhub-mirror")
        self.local.artifact_registry.switches.operation_delay_s = 0
        ArtifactRegistry(emulator_host=self.local.artifact_registry.address).create_repository(
            RemoteRepository(name, "docker.io", None)
        )

    def run(
        self, *arguments: str, token: str | None = None, config: str = ""
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how the command ends, and the checks that it prints."""
        path: Path = self.local.folder / f"{token or 'admin'}.kubeconfig"
        server = self.local.kubernetes
        kubeconfig = server.kubeconfig(CONTEXT, token) if token else server.kubeconfig(CONTEXT)
        path.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
        settings = path.with_suffix(".yaml")
        settings.write_text(config, encoding="utf-8")
        environ = self.local.environ("pull_event")
        environ |= {"KUBECONFIG": str(path), "PRESTREAM_CONFIG": str(settings)}
        result = CliRunner().invoke(app, ["doctor", "--json", *arguments], obj=environ)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, json.loads(result.stdout)["checks"]

    def image(self, image: str) -> Found:
        """Return what is found of an image, by the names of the checks."""
        _, checks = self.run("--image", image)
        return {each["name"]: each for each in checks if each["topic"] == "image"}

    def add_pod(self, namespace: str, image: str, **spec: Any) -> None:
        """Let a pod of a namespace of its own run an image."""
        api = self.local.kubernetes.api
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        api.create("namespaces", space, user=ADMIN)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "trainer", "namespace": namespace},
            "spec": {"containers": [{"name": "app", "image": image}], **spec},
        }
        api.create("pods", pod, namespace, user=ADMIN)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.local.stop()


def by_name(checks: list[dict[str, Any]]) -> dict[str, set[str]]:
    verdicts: dict[str, set[str]] = {}
    for each in checks:
        verdicts.setdefault(each["name"], set()).add(each["verdict"])
    return verdicts


def test_cluster_that_streams_is_ok_and_services_without_a_server_are_unknown(
    cloud: Cloud,
) -> None:
    exit_code, checks = cloud.run()

    verdicts = by_name(checks)
    seen = ("streaming-on", "node-image", "node-scopes", "node-labels", "manifests")
    inside = ("function-rights", "policy-version", "policy-binding", "mirror")
    unseen = ("api-enabled", "sink", "subscription", "dead-letters", "node-reads-images")
    assert exit_code == 0
    assert {name: verdicts[name] for name in (*seen, *inside, *unseen)} == {
        **{name: {"ok"} for name in (*seen, *inside)},
        **{name: {"unknown"} for name in unseen},
    }


def test_missing_rights_in_the_cluster_are_reported(cloud: Cloud) -> None:
    cloud.local.kubernetes.add_user(NOBODYS_TOKEN, NOBODY)

    _, checks = cloud.run(token=NOBODYS_TOKEN)

    verdicts = by_name(checks)
    for name in ("own-rights", "node-labels", "manifests", "function-rights", "policy"):
        assert verdicts[name] == {"unknown"}, name
    (own,) = [each for each in checks if each["name"] == "own-rights"]
    assert own["finding"].startswith("you may not list nodes, list pods, list namespaces")


def test_cluster_that_is_not_there_fails(cloud: Cloud) -> None:
    absent = "projects/demo/locations/us-central1/clusters/absent"

    exit_code, checks = cloud.run("--cluster", absent)

    assert exit_code == 1
    assert by_name(checks)["clusters"] == {"failed"}


def test_proven_mirror_that_the_configuration_gives_up_fails(cloud: Cloud) -> None:
    api = cloud.local.kubernetes.api
    proven = {"data": {"docker.io": MIRROR}}
    api.patch("configmaps", "proven-mirrors", proven, "prestream", user=ADMIN)

    _, checks = cloud.run(config="upstreams: {docker.io: {mirror: never}}")
    unproven = {"data": {"docker.io": None}}
    api.patch("configmaps", "proven-mirrors", unproven, "prestream", user=ADMIN)

    verdicts = by_name(checks)
    assert verdicts["policy-parameter"] == {"failed"}
    assert "mirror" not in verdicts


def test_silent_api_server_is_called_once(cloud: Cloud) -> None:
    path = cloud.local.folder / "dead.kubeconfig"
    dead = cloud.local.kubernetes.kubeconfig(CONTEXT)
    dead["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    path.write_text(yaml.safe_dump(dead), encoding="utf-8")
    environ = cloud.local.environ("pull_event") | {"KUBECONFIG": str(path)}

    result = CliRunner().invoke(app, ["doctor", "--json"], obj=environ)

    checks = json.loads(result.stdout)["checks"]
    inside = [each for each in checks if each["topic"] in {"access", "rewriting"}]
    assert [(each["name"], each["verdict"]) for each in inside] == [("cluster-api", "unknown")]


def test_image_in_the_mirror_can_be_streamed(cloud: Cloud) -> None:
    found = cloud.image(VLLM)

    expected = {
        "image-place": "ok",
        "manifest": "ok",
        "platform": "ok",
        "size": "ok",
        "pulled-name": "unknown",
        "last-warmup": "warning",
    }
    assert {name: found[name]["verdict"] for name in expected} == expected


@pytest.mark.parametrize(
    ("image", "name", "verdict"),
    [
        pytest.param("prestream/schema-1:1.0", "manifest", "failed", id="schema-1"),
        pytest.param("prestream/repeated-layer:1.0", "layers", "warning", id="layer-twice"),
        pytest.param("prestream/arm-only:1.0", "platform", "failed", id="another-platform"),
        pytest.param("prestream/absent:1.0", "manifest", "failed", id="absent"),
        pytest.param("library/busybox:1.37.0-musl", "size", "warning", id="small"),
        pytest.param("ghcr.io/acme/app:1", "manifest", "warning", id="mirror-not-made"),
        pytest.param("europe-docker.pkg.dev/demo/apps/a:1", "image-place", "failed", id="far"),
    ],
)
def test_doctor_explains_why_an_image_is_not_streamed(
    cloud: Cloud, image: str, name: str, verdict: str
) -> None:
    assert cloud.image(image)[name]["verdict"] == verdict


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        pytest.param(Fault("registry", status=503), "manifest", id="registry-down"),
        pytest.param(Fault("registry", status=403), "manifest", id="registry-refuses"),
        pytest.param(Fault("registry", "blobs", 503), "platform", id="configuration-unread"),
        pytest.param(Fault("kubernetes", "pods", 503), "pulled-name", id="cluster-down"),
    ],
)
def test_silent_service_is_unknown(cloud: Cloud, fault: Fault, name: str) -> None:
    cloud.local.faults.add(fault)

    found = cloud.image("prestream/repeated-layer:1.0")

    cloud.local.faults.remove(fault)
    assert found[name]["verdict"] == "unknown"


def test_platform_comes_from_nodes_without_the_container_api(cloud: Cloud) -> None:
    fault = cloud.local.faults.add(Fault("container", status=403))
    name = "projects/demo/locations/us-central1/clusters/gpu"

    _, checks = cloud.run("--cluster", name, "--image", "prestream/arm-only:1.0")

    cloud.local.faults.remove(fault)
    assert by_name(checks)["cluster"] == {"unknown"}
    (told,) = [each for each in checks if each["name"] == "platform"]
    assert (told["verdict"], told["subject"]) == (
        "failed",
        "prestream/arm-only:1.0 for linux/amd64",
    )


def test_workload_that_bypasses_or_may_bypass_the_mirror_is_named(cloud: Cloud) -> None:
    cloud.add_pod("bypassing", "library/alpine:3.20")
    secrets = [{"name": "hub"}]
    cloud.add_pod("secretive", f"{MIRROR}/library/alpine:3.19", imagePullSecrets=secrets)

    bypassing = cloud.image("alpine:3.20")["pulled-name"]
    secretive = cloud.image("alpine:3.19")

    assert bypassing["verdict"] == "failed"
    assert bypassing["finding"].startswith("core/v1/namespaces/bypassing/pods/trainer pull it from")
    assert bypassing["mend"] == (
        f"kubectl --context={CONTEXT} label --overwrite namespace bypassing"
        " prestream.dev/rewrite=enabled"
    )
    assert secretive["pulled-name"]["verdict"] == "ok"
    assert secretive["pull-secrets"]["verdict"] == "warning"


def test_history_of_an_image_comes_from_its_facts(cloud: Cloud) -> None:
    image = "prestream/repeated-layer:1.0"
    at = datetime.now(UTC) - timedelta(hours=1)
    subject = Subject(image=image, mirror=f"{MIRROR}/{image}", cause=Cause("manual", "1", None))
    log = FactLog("demo", emulator_host=cloud.local.logging.address)
    slow = Verdict("not_streamed", (), None)
    log.write(
        WarmupFinished(
            subject=subject, outcome="pulled", at=at, job_uid="u", verdict=slow
        ).as_fact()
    )
    seen = (Evidence("layer_failure", "Layer download failed"),)
    log.write(
        PullObserved(
            subject=subject,
            at=at,
            verdict=Verdict("not_streamed", seen, "Build it without the layer."),
            pod_uid="p",
            container="app",
            event_uid="e",
            pull_seconds=31.5,
        ).as_fact()
    )

    found = cloud.image(image)

    assert found["last-warmup"]["verdict"] == "ok"
    assert found["last-pull"]["verdict"] == "failed"
    assert "31.5 s" in found["last-pull"]["finding"]
    assert found["last-pull"]["finding"].endswith(
        "Layer download failed. Build it without the layer."
    )


@pytest.fixture
def own_cloud() -> Iterator[Cloud]:
    """A cloud that no other test looks at."""
    made = Cloud()
    yield made
    made.local.stop()


def test_node_that_does_not_stream_fails(own_cloud: Cloud) -> None:
    own_cloud.local.gke.add_node("gke-l4-old", pool="old", accelerator="nvidia-l4", streaming=False)

    exit_code, checks = own_cloud.run()

    assert exit_code == 1
    failed = [each for each in checks if each["verdict"] == "failed"]
    assert [(each["name"], "gke-l4-old" in each["finding"]) for each in failed] == [
        ("node-labels", True)
    ]
