"""Images of custom resources outside pod specs, and remarks on texts that may be images."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.rewrite.custom_resources import IMAGE_PATHS, add_paths
from cli.rewrite.found_image import Found, Rules
from cli.rewrite.rewritten_files import rewrite_text
from shared.domain.proven_mirrors import ProvenMirrors
from tests.contract.rewriting_cases import HUB, PROVEN
from tests.fakes.command_line import run_command

PROOFS = ProvenMirrors.from_data(PROVEN).proofs
IMAGE = "acme/app:1"


def made(kind: str, **spec: Any) -> dict[str, Any]:
    """Make an object of KIND.GROUP."""
    name, _, group = kind.partition(".")
    return {"apiVersion": f"{group}/v1", "kind": name, "spec": spec}


def find(body: Any, **rules: Any) -> tuple[Found, ...]:
    return rewrite_text(yaml.safe_dump(body), "app.yaml", Rules(PROOFS, **rules)).found


STEPS = {"steps": [{"image": IMAGE}]}
DISK = {"volumes": [{"containerDisk": {"image": IMAGE}}]}
COLLECTOR = {"historyServerOptions": {"collectorOptions": {"image": IMAGE}}}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(made("Task.tekton.dev", **STEPS), id="tekton-task"),
        pytest.param(made("Task.tekton.dev", stepTemplate={"image": IMAGE}), id="step-template"),
        pytest.param(made("TaskRun.tekton.dev", taskSpec=STEPS), id="tekton-task-run"),
        pytest.param(
            made("PipelineRun.tekton.dev", pipelineSpec={"finally": [{"taskSpec": STEPS}]}),
            id="tekton-pipeline-run",
        ),
        pytest.param(made("StepAction.tekton.dev", image=IMAGE), id="tekton-step-action"),
        pytest.param(made("SparkApplication.sparkoperator.k8s.io", image=IMAGE), id="spark"),
        pytest.param(
            made("SparkApplication.sparkoperator.k8s.io", driver={"image": IMAGE}), id="driver"
        ),
        pytest.param(
            made(
                "ScheduledSparkApplication.sparkoperator.k8s.io",
                template={"executor": {"image": IMAGE}},
            ),
            id="spark-schedule",
        ),
        pytest.param(made("RayCluster.ray.io", **COLLECTOR), id="ray-cluster"),
        pytest.param(made("RayJob.ray.io", rayClusterSpec=COLLECTOR), id="ray-job"),
        pytest.param(
            made("VirtualMachine.kubevirt.io", template={"spec": DISK}), id="virtual-machine"
        ),
        pytest.param(made("VirtualMachineInstance.kubevirt.io", **DISK), id="machine-instance"),
        pytest.param(made("Prometheus.monitoring.coreos.com", image=IMAGE), id="prometheus"),
        pytest.param(made("ThanosRuler.monitoring.coreos.com", image=IMAGE), id="thanos"),
        pytest.param(
            made("Prometheus.monitoring.coreos.com", thanos={"image": IMAGE}), id="sidecar"
        ),
        pytest.param(
            {"kind": "List", "items": [made("StepAction.tekton.dev", image=IMAGE)]}, id="list"
        ),
    ],
)
def test_image_of_a_known_kind_is_rewritten(body: Any) -> None:
    assert [each.mirror for each in find(body)] == [f"{HUB}/{IMAGE}"]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        pytest.param(
            made("VirtualMachineInstance.kubevirt.io", volumes=[
                {"containerDisk": {"image": IMAGE, "imagePullSecret": "hub"}}
            ]),
            "pull_secrets",
            id="secret-beside-the-image",
        ),
        pytest.param(
            made("Prometheus.monitoring.coreos.com", image=IMAGE, imagePullSecrets=[{"name": "a"}]),
            "pull_secrets",
            id="secret-of-the-pod",
        ),
        pytest.param(
            made("StepAction.tekton.dev", image=IMAGE, imagePullPolicy="Never"),
            "never_pulled",
            id="never-pulled",
        ),
        pytest.param(
            made("StepAction.tekton.dev", image=IMAGE)
            | {"metadata": {"labels": {"prestream.dev/rewrite": "disabled"}}},
            "opted_out",
            id="opted-out",
        ),
    ],
)  # fmt: skip
def test_rules_of_pods_hold_for_custom_resources(body: Any, left: str) -> None:
    assert [(each.mirror, each.rewrite.left) for each in find(body)] == [(None, left)]


def test_configured_path_is_rewritten(environ: dict[str, str], tmp_path: Path) -> None:
    config = "image_paths: {Fleet.example.com: ['spec.pools[].runner']}\n"
    Path(environ["PRESTREAM_CONFIG"]).write_text(config, encoding="utf-8")
    file = tmp_path / "fleet.yaml"
    file.write_text(json.dumps(made("Fleet.example.com", pools=[{"runner": IMAGE}])), "utf-8")

    result = run_command(environ, "rewrite", "--project", "demo", "--location", "us-central1", file)

    assert json.loads(result.stdout)["spec"]["pools"] == [{"runner": f"{HUB}/{IMAGE}"}]


def test_path_of_a_container_does_not_count_as_a_second_use() -> None:
    text = (
        "{apiVersion: example.com/v1, kind: Fleet, spec: {containers: [{image: &app nginx}],"
        " args: [*app]}}"
    )
    paths = {"Fleet.example.com": ("spec.containers[].image",)}

    (found,) = rewrite_text(text, "app.yaml", Rules(PROOFS, image_paths=paths)).found

    assert found.as_json()["left"] == "shared"


def test_configured_paths_of_a_known_kind_add_to_its_own() -> None:
    kind = "StepAction.tekton.dev"

    assert add_paths({kind: ("spec.other",)})[kind] == (*IMAGE_PATHS[kind], "spec.other")


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"image": IMAGE}, id="image"),
        pytest.param({"workerImage": "nginx"}, id="key-that-ends-with-image"),
        pytest.param({"images": ["nginx:1"]}, id="list"),
        pytest.param({"image": {"repository": "nginx", "tag": "1"}}, id="values-of-a-chart"),
        pytest.param({"runner": "ghcr.io/acme/app:1"}, id="host-and-tag"),
        pytest.param({"runner": f"ghcr.io/acme/app@sha256:{'a' * 64}"}, id="host-and-digest"),
    ],
)
@pytest.mark.parametrize("kind", ["Fleet.example.com", "RayCluster.ray.io", ""])
def test_possible_image_gets_a_remark(kind: str, spec: dict[str, Any]) -> None:
    body = made(kind, **spec) if kind else {"spec": spec}

    (found,) = find(body)

    assert found.mirror is None
    assert (found.remark or "").startswith("it may be an image")
    assert found.as_json()["left"] == "unknown_field"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"kind": "Pod", "apiVersion": "v1", "image": IMAGE}, id="built-in"),
        pytest.param(made("CronJob.batch", image=IMAGE), id="built-in-group"),
        pytest.param(made("Fleet.example.com", image="registry.example.com/a:1"), id="no-mirror"),
        pytest.param(made("Fleet.example.com", image="us-docker.pkg.dev/a/b/c:1"), id="at-google"),
        pytest.param(made("Fleet.example.com", image="No Image"), id="invalid"),
        pytest.param(made("Fleet.example.com", image=5), id="number"),
        pytest.param(made("Fleet.example.com", address="https://ghcr.io/acme/app:1"), id="address"),
        pytest.param(made("Fleet.example.com", chart="ghcr.io/acme/chart"), id="without-a-tag"),
        pytest.param(made("Fleet.example.com", repository="acme/app"), id="other-key"),
        pytest.param(made("Fleet.example.com") | {"status": {"image": IMAGE}}, id="status"),
    ],
)  # fmt: skip
def test_other_text_gets_no_remark(body: Any) -> None:
    assert find(body) == ()


def test_remark_contains_the_line_of_the_configuration() -> None:
    (found,) = find(made("Fleet.example.com", pools=[{"image": IMAGE}]))
    (odd,) = find(made("Fleet.example.com", **{"a.b": {"image": IMAGE}}))

    assert "image_paths: {Fleet.example.com: ['spec.pools[].image']}" in (found.remark or "")
    assert "image_paths" not in (odd.remark or "")
