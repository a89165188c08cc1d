"""docs/recipes.md: its YAML is valid, and the command finds the images of its workloads."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.app import COMMANDS
from cli.exits import ExitCode
from tests.fakes.command_line import run_command

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
PLACE = ("--project", "demo", "--location", "us-central1")


def read_block(recipe: str, language: str = "yaml") -> str:
    """Return the only block of a recipe in this language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", RECIPES[recipe], re.MULTILINE | re.DOTALL)
    return str(block)


def read_documents(recipe: str) -> list[Any]:
    return list(yaml.safe_load_all(read_block(recipe)))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a command with the default configuration."""
    config = tmp_path / "prestream.yaml"
    config.write_text("")
    return {"PRESTREAM_CONFIG": str(config), "HOME": str(tmp_path)}


def test_page_has_every_recipe() -> None:
    assert list(RECIPES) == ["KubeRay", "vLLM", "Argo CD", "GitHub Actions", "Helm"]


@pytest.mark.parametrize(
    ("recipe", "image", "skipped"),
    [
        ("KubeRay", "rayproject/ray:2.9.0-gpu", {"rayproject/ray:2.9.0-gpu": "no_accelerator"}),
        ("vLLM", "vllm/vllm-openai:v0.6.3", {}),
    ],
)
def test_workload_is_warmed_and_rewritten(
    recipe: str, image: str, skipped: dict[str, str], environ: dict[str, str]
) -> None:
    text = read_block(recipe)

    result = run_command(environ, "plan", "--offline", "--json", *PLACE, "-f", "-", text=text)
    planned = json.loads(result.stdout)
    rewritten = run_command(environ, "rewrite", *PLACE, "-", text=text)

    assert (result.exit_code, rewritten.exit_code) == (ExitCode.DONE, ExitCode.DONE)
    assert [each["image"] for each in planned["images"]] == [image]
    assert planned["images"][0]["steps"][0]["target"].startswith("nvidia-l4-")
    assert {each["image"]: each["why"] for each in planned["left_out"]} == skipped
    assert planned["rejected"] == []
    assert rewritten.stdout == text.replace(f"image: {image}", f"image: {MIRROR}/{image}")


def test_hook_waits_and_retries_only_a_service_that_does_not_answer() -> None:
    (job,) = read_documents("Argo CD")
    pod = job["spec"]["template"]["spec"]
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]

    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PreSync"
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy requires it
    assert pod["containers"][0]["args"][0] in COMMANDS
    assert set(rule["onExitCodes"]["values"]) == set(ExitCode) - {
        ExitCode.DONE,
        ExitCode.UNAVAILABLE,
    }


def test_workflow_deploys_after_warming() -> None:
    (workflow,) = read_documents("GitHub Actions")
    runs = [each["run"] for each in workflow["jobs"]["deploy"]["steps"] if "run" in each]

    assert ["prestream warm" in each for each in runs] == [False, True, False]
    assert runs[-1].startswith("kubectl apply")
    assert f"{ExitCode.DIFFERENT}|{ExitCode.FAILED})" in runs[1]


def test_every_exit_code_has_a_next_step() -> None:
    rows = re.findall(r"^\| (\d[\d, ]*) \|", PAGE, re.MULTILINE)

    assert {int(code) for row in rows for code in row.split(",")} == set(ExitCode)
