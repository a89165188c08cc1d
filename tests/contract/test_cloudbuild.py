"""The pipeline of Cloud Build: valid, in order, and with no more rights than its own account's."""

import json
import re
import subprocess
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from shared.messages.image_request import parse_reference_request
from shared.messages.pubsub_message import PubsubMessage
from tests.contract.terraform_files import BOOTSTRAP, INFRA, find_block, read_blocks

ROOT = Path(__file__).parents[2]
BUILD: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text("utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["id"]: step for step in BUILD["steps"]}
SCHEMA = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "cloudbuild.json"

EACH_STEP = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


def outputs_read(script: str) -> set[str]:
    return set(re.findall(r"terraform output -raw (\w+)", script))


def test_pipeline_follows_the_published_schema() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))

    assert [error.message for error in Draft7Validator(schema).iter_errors(BUILD)] == []


def test_deployment_follows_the_tests() -> None:
    assert list(STEPS) == [
        "check",
        "test",
        "archives",
        "validate",
        "plan",
        "apply",
        "manifests",
        "smoke-test",
    ]


def test_pipeline_runs_as_the_account_of_terraform() -> None:
    account = find_block("resource", "google_service_account.pipeline", BOOTSTRAP)["account_id"]

    assert (
        BUILD["serviceAccount"].split("/")[-1] == f"{account}@$PROJECT_ID.iam.gserviceaccount.com"
    )
    # Cloud Build asks for this where the account is one's own.
    assert BUILD["options"]["logging"] == "CLOUD_LOGGING_ONLY"


@EACH_STEP
def test_step_is_a_script_that_a_shell_can_read(step: dict[str, Any]) -> None:
    assert step["script"].startswith("#!/bin/sh\n")
    checked = subprocess.run(  # the script is ours
        ["/bin/sh", "-n"], input=step["script"], text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@EACH_STEP
def test_image_has_a_version(step: dict[str, Any]) -> None:
    name, _, tag = step["name"].rpartition(":")

    assert name
    assert tag != "latest"


@EACH_STEP
def test_variables_of_a_script_are_defined(step: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{?([A-Z_]*[A-Z])", step["script"]))

    assert used <= {*BUILD["substitutions"], "PROJECT_ID", "BUILD_ID"}


def test_pull_request_changes_nothing() -> None:
    for name in ("apply", "manifests", "smoke-test"):
        guard = STEPS[name]["script"].splitlines()[2]

        assert guard.startswith('[ "$_APPLY" = true ] || {')
        assert guard.endswith("exit 0; }")
    assert "terraform apply" not in STEPS["plan"]["script"]


def test_values_of_later_steps_are_terraform_outputs() -> None:
    outputs = {block.name for block in read_blocks("output", INFRA)}

    read = outputs_read(STEPS["apply"]["script"])
    assert read == {"dry_run", "searched_projects", "watched_clusters"}
    assert read <= outputs


def test_smoke_test_publishes_a_reference_that_the_functions_understand() -> None:
    script = STEPS["smoke-test"]["script"]
    [written] = re.findall(r'^message="(.*)"$', script, re.MULTILINE)
    text = written.replace('\\"', '"').replace("$_SMOKE_IMAGE", "a/b:1").replace("$BUILD_ID", "b-1")

    message = PubsubMessage("m-1", datetime.now(UTC), text.encode(), {})
    request = parse_reference_request(message)
    assert (request.image, request.cause.kind, request.cause.id) == ("a/b:1", "manual", "b-1")
    assert request.force


def test_smoke_test_passes_for_the_outcomes_that_leave_an_image_in_the_cache() -> None:
    [passing] = re.findall(r"^\s+(\w+(?: \| \w+)+)\)", STEPS["smoke-test"]["script"], re.MULTILINE)

    assert set(passing.split(" | ")) == {"pulled", "already_present", "prewarmed"}
