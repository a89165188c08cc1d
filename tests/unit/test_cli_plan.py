"""prestream plan of files: its output, and the values that stay unknown."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from tests.fakes.command_line import run_command
from tests.fakes.recorded_events import read_event
from tests.fakes.warmups import L4

HUB = "us-docker.pkg.dev/demo/dockerhub-mirror"
OFFLINE = ("--offline", "--location", "us")

MANIFESTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: ml, labels: {prestream.dev/rewrite: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: trainer, namespace: ml}
spec:
  template:
    spec:
      nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4, team: a}
      containers:
      - {name: a, image: "anyscale/ray-ml:2.7.0", resources: {limits: {nvidia.com/gpu: 1}}}
      - {name: b, image: "No Image"}
---
{"kind": "List", "apiVersion": "v1", "items": [
  {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "site", "namespace": "web"},
   "spec": {"containers": [{"name": "a", "image": "nginx"}]}},
  {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "odd", "namespace": "ml"},
   "spec": {"imagePullSecrets": [{"name": "s"}], "containers": [
     {"name": "a", "image": "quay.io/acme/app:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
     {"name": "b", "image": "registry.example/x/y:1"}]}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns, namespace: kube-system, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  containers: [{name: a, image: hidden/app}]
  nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}
"""


def run(environ: Mapping[str, str], *arguments: str | Path, text: str = "") -> Result:
    return run_command(environ, "plan", *arguments, text=text)


def plan(environ: Mapping[str, str], *arguments: str | Path, text: str = MANIFESTS) -> Any:
    result = run(environ, "--json", *arguments, text=text)
    assert result.exit_code in {0, 3}, result.stderr
    return json.loads(result.stdout)


def outcomes(planned: Any) -> dict[str, str]:
    """Return the outcome of each image in the plan."""
    warmed = {
        image["image"]: image["steps"][0]["outcome"] or image["steps"][0]["result"]
        for image in planned["images"]
    }
    return warmed | {each["image"]: each["why"] for each in planned["left_out"]}


def test_each_image_of_manifests_is_warmed_or_left_alone_for_a_reason(
    environ: dict[str, str],
) -> None:
    assert outcomes(plan(environ, *OFFLINE, "-f", "-")) == {
        "anyscale/ray-ml:2.7.0": "warm_unless_small",
        "No Image": "invalid",
        "nginx": "no_accelerator",
        "quay.io/acme/app:1": "warm_unless_small",
        "registry.example/x/y:1": "not_allowed",
    }


def test_placement_is_reduced_as_the_functions_reduce_it(environ: dict[str, str]) -> None:
    planned = plan(environ, *OFFLINE, "-f", "-")

    image = planned["images"][0]
    assert image["steps"][0]["target"] == L4.name
    assert image["workloads"] == ["apps/v1/namespaces/ml/deployments/trainer"]


def test_pods_are_rewritten_where_their_namespace_opted_in(environ: dict[str, str]) -> None:
    pods = {
        each["workload"].rpartition("/")[2]: each
        for each in plan(environ, *OFFLINE, "-f", "-")["pods"]
    }

    assert pods["trainer"]["opted_in"] is True
    assert pods["trainer"]["rewritten"] == [
        {"image": "anyscale/ray-ml:2.7.0", "mirror": f"{HUB}/anyscale/ray-ml:2.7.0"}
    ]
    assert pods["site"]["opted_in"] is False
    assert [each["left"] for each in pods["odd"]["left"]] == ["pull_secrets", "no_mirror"]


def test_offline_plan_marks_unknown_values(environ: dict[str, str]) -> None:
    planned = plan(environ, *OFFLINE, "-f", "-")
    result = run(environ, *OFFLINE, "-f", "-", text=MANIFESTS)

    assert {each["state"] for each in planned["mirrors"]} == {"unknown"}
    assert {each["image_bytes"] for each in planned["images"]} == {None}
    assert {step["rung"] for each in planned["images"] for step in each["steps"]} == {None}
    assert "no service was asked (--offline)" in result.stdout
    assert "2 images to be warmed (2 of unknown size)" in result.stdout
    assert "0 mirrors to be made, 2 perhaps" in result.stdout
    assert "nothing was changed" in result.stdout


def test_saved_entries_are_planned_where_their_cluster_is(environ: dict[str, str]) -> None:
    entry = read_event("audit-deployment-create")

    planned = plan(environ, "--offline", "--from", "-", text=f"{entry}\nbroken\n")

    assert {each["cluster"] for each in planned["images"]} == {
        "projects/starling-lab/locations/europe-west4/clusters/tern"
    }
    assert [each["address"] for each in planned["mirrors"]] == [
        "europe-west4-docker.pkg.dev/demo/dockerhub-mirror"
    ]
    assert [each["reason"] for each in planned["rejected"]] == ["not a JSON object: 'broken'"]


def test_rejected_entry_is_an_exit_code(environ: dict[str, str]) -> None:
    result = run(environ, "--offline", "--from", "-", text="broken\n")

    assert result.exit_code == 3
    assert "standard input:1" in result.stdout


def test_image_that_was_pushed_to_google_needs_no_location(environ: dict[str, str]) -> None:
    build = read_event("build-success")

    planned = plan(environ, "--offline", "--from", "-", text=build)

    assert {each["mirror"] is None for each in planned["images"]} == {False}
    assert planned["mirrors"] == []


def test_plan_without_a_source_needs_a_kubeconfig(environ: dict[str, str]) -> None:
    del environ["GKE_EMULATOR_HOST"]

    result = run(environ)

    assert result.exit_code == 2
    assert "kubeconfig not found" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: [", id="no-yaml"),
        pytest.param("a: &a [*a]", id="itself"),
        pytest.param("a: 2\n  b: 3", id="wrong-indentation"),
    ],
)
def test_unreadable_manifests_are_reported_with_their_line(
    environ: dict[str, str], text: str
) -> None:
    result = run(environ, *OFFLINE, "-f", "-", text=text)

    assert result.exit_code == 3
    assert "standard input" in result.stderr


@pytest.mark.parametrize(
    "value",
    ["2026-13-45", "!secret x", "!!binary no", "!!int many", "=", "<<", "0o9", "1e400", ".nan"],
)
def test_odd_values_do_not_keep_a_manifest_from_being_read(
    environ: dict[str, str], value: str
) -> None:
    text = MANIFESTS.replace("team: a", f'team: "a"}}\n      odd: {{value: {value}')

    assert "anyscale/ray-ml:2.7.0" in outcomes(plan(environ, *OFFLINE, "-f", "-", text=text))


def test_context_that_names_no_cluster_of_gke_needs_one(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".kube").mkdir()
    config = {"contexts": [{"name": "kind"}], "current-context": "kind"}
    (tmp_path / ".kube" / "config").write_text(json.dumps(config), encoding="utf-8")

    result = run(environ)

    assert result.exit_code == 2
    assert "add --cluster" in result.stderr


def test_output_has_no_control_sequences(environ: dict[str, str]) -> None:
    text = MANIFESTS.replace('"No Image"', '"\\e[2J"')

    result = run(environ, *OFFLINE, "-f", "-", text=text)

    assert result.exit_code == 0
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", ["plan", "replay"])
def test_reference_names_every_option(command: str) -> None:
    reference = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
    section = reference.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    help_text = CliRunner().invoke(app, [command, "--help"]).stdout

    # The page names --output once, for every command.
    options = set(re.findall(r"--[a-z]+", help_text)) - {"--help", "--output"}

    assert options
    assert {each for each in options if f"`{each}" not in section} == set()
