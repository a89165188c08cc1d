"""Terraform gives each function what its code and the sandbox expect."""

import ast
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import messaging
from sandbox.pubsub.subscription_filter import parse_subscription_filter
from shared.clients import publisher as pubsub
from shared.clients.endpoint import Endpoints
from shared.messages.build import BuildNotification
from shared.messages.pubsub_message import PubsubMessage
from shared.runtime.log_line import configure_logs
from shared.settings.keys import load_settings
from tests.contract.terraform_files import BOOTSTRAP, INFRA, MODULE, find_block, read_local
from tests.fakes.environ import Environ

ROOT = INFRA.parent
FUNCTIONS: dict[str, dict[str, Any]] = read_local("functions")
MODULE_CALL = find_block("module", "functions")
TRIGGERS = {trigger.function: trigger for trigger in messaging.TRIGGERS}

EACH_FUNCTION = pytest.mark.parametrize("name", sorted(FUNCTIONS))


def test_only_the_functions_are_deployed() -> None:
    folders = {path.parent.name for path in ROOT.glob("functions/*/main.py")}

    assert set(FUNCTIONS) == folders == set(TRIGGERS)


def test_functions_get_the_variables_that_settings_read_at_google_and_no_others() -> None:
    environ = Environ(GOOGLE_CLOUD_PROJECT="demo")
    load_settings(environ)
    configure_logs(environ)
    local = Environ()
    Endpoints.from_environ(local)
    deployed = set(re.findall(r"\b([A-Z_]{8,}) =", MODULE_CALL["environment"]))

    assert deployed == environ.asked
    assert not deployed & local.asked


@EACH_FUNCTION
def test_entry_point_exists(name: str) -> None:
    source = ast.parse((ROOT / "functions" / name / "main.py").read_text("utf-8"))
    defined = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}

    assert MODULE_CALL["entry_point"].replace("${each.key}", name) in defined


def test_archives_are_those_that_make_archives_writes() -> None:
    call = find_block("module", "prestream", INFRA)

    assert '"${var.archives_folder}/${each.key}.zip"' in MODULE_CALL["archive"]["path"]
    assert '"${path.module}/../build/functions"' in call["archives_folder"]


@EACH_FUNCTION
def test_topic_is_that_of_the_sandbox(name: str) -> None:
    assert FUNCTIONS[name]["topic"] == TRIGGERS[name].topic


def test_topics_that_functions_publish_to_are_those_of_the_clients() -> None:
    published = {topic for function in FUNCTIONS.values() for topic in function["publishes_to"]}

    assert published == {pubsub.REFERENCES_TOPIC, pubsub.SCHEDULE_TOPIC}
    assert read_local("references") == pubsub.REFERENCES_TOPIC
    assert read_local("dead_letters") == messaging.DEAD_LETTERS


@EACH_FUNCTION
@pytest.mark.parametrize(
    "status", ["SUCCESS", "FAILURE", "QUEUED", "WORKING", "TIMEOUT", "CANCELLED", "PENDING"]
)
def test_filter_keeps_back_only_what_its_function_would_ignore(name: str, status: str) -> None:
    # The sandbox has no filter: its functions receive every message.
    accepts = parse_subscription_filter(FUNCTIONS[name]["filter"] or "")
    attributes = {"buildId": "b-1", "status": status}

    if name != "build_notification":
        assert accepts({})
        return
    data = b'{"id": "b-1", "status": "%s"}' % status.encode()
    message = PubsubMessage("1", datetime.now(UTC), data, attributes)
    notification = BuildNotification.from_message(message)
    assert accepts(attributes) == (notification.status == "SUCCESS")


def test_subscription_retries_slowly_and_gives_up_into_the_dead_letters() -> None:
    subscription = find_block("resource", "google_pubsub_subscription.main", MODULE)

    [retry] = subscription["retry_policy"]
    [dead_letters] = subscription["dead_letter_policy"]
    [expiration] = subscription["expiration_policy"]
    assert (retry["minimum_backoff"], retry["maximum_backoff"]) == ("10s", "600s")
    assert dead_letters["dead_letter_topic"] == "${var.trigger.dead_letter_topic}"
    assert subscription["retain_acked_messages"] is True
    assert expiration["ttl"] == ""
    assert all(10 <= function["timeout_s"] <= 540 for function in FUNCTIONS.values())


def test_runtime_is_one_that_the_tests_run_on() -> None:
    runtime = find_block("variable", "runtime", INFRA)["default"]
    version = runtime.removeprefix("python3")

    assert MODULE_CALL["runtime"] == "${var.runtime}"
    assert int(version) >= 11
    build = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text("utf-8"))
    images = {step["name"] for step in build["steps"] if step["name"].startswith("python:")}
    assert images == {f"python:3.{version}"}


@EACH_FUNCTION
def test_clusters_know_a_function_by_the_name_that_terraform_gives_it(name: str) -> None:
    pattern = find_block("resource", "google_service_account.functions", BOOTSTRAP)["account_id"]
    account = pattern.replace('${replace(each.key, "_", "-")}', name.replace("_", "-"))
    subjects = set(re.findall(r"name: (prestream-[a-z-]+)@PROJECT_ID", _read_manifests()))

    assert (account in subjects) == ("cluster_access" in read_local("function_roles")[name])


def _read_manifests() -> str:
    kustomization = INFRA / "kubernetes" / "kustomization.yaml"
    return "".join(
        path.read_text("utf-8")
        for resource in yaml.safe_load(kustomization.read_text("utf-8"))["resources"]
        for path in _list_files(INFRA / "kubernetes" / resource)
    )


def _list_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.yaml")) if path.is_dir() else [path]
