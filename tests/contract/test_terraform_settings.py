"""Terraform reads the configuration file as the functions do, with the same defaults."""

import json
import re
from collections.abc import Mapping

import pytest

from shared.domain import mirror as repositories
from shared.domain.image_reference import DOCKER_HUB
from shared.domain.upstream import Upstream
from shared.settings.keys import Settings
from tests.contract.terraform_files import BOOTSTRAP, INFRA, PRESTREAM, SETTINGS, find_block

DEFAULTS = json.loads((SETTINGS / "defaults.json").read_text("utf-8"))
TEXT = "\n".join(
    path.read_text("utf-8")
    for folder in (PRESTREAM, BOOTSTRAP, SETTINGS)
    for path in sorted(folder.glob("*.tf"))
)
KEYS = sorted(set(re.findall(r"(?:local|module\.settings)\.settings\.(\w+)", TEXT)))
CLIENT = (INFRA.parent / "shared" / "clients" / "artifact_registry.py").read_text("utf-8")
WITHOUT_DEFAULT = {"project"}
"""Its default is another variable; Terraform asks whether the file has it."""


def test_terraform_reads_some_of_the_settings() -> None:
    assert {"clusters", "namespace", "system_namespaces", "upstreams"} <= set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_key_that_terraform_reads_exists(key: str) -> None:
    assert key in DEFAULTS


@pytest.mark.parametrize("key", sorted(set(KEYS) - WITHOUT_DEFAULT))
def test_default_is_that_of_the_settings(key: str) -> None:
    default = getattr(Settings(project="p", deployment_project="p"), key)
    documented = DEFAULTS[key]

    if isinstance(default, Mapping):
        assert documented == dict.fromkeys(default)
        assert set(default.values()) == {Upstream()}
    elif isinstance(default, frozenset | tuple):
        assert set(documented) == set(default)
    else:
        assert documented == default


def test_project_of_mirrors_defaults_to_that_of_the_functions() -> None:
    assert DEFAULTS["project"] is None
    assert "mirrors_project = try(local.settings.project, var.project_id)" in TEXT


def test_repository_of_our_functions_is_ignored_by_the_detectors() -> None:
    functions = find_block("resource", "google_artifact_registry_repository.functions", BOOTSTRAP)

    assert functions["repository_id"] in repositories.SERVERLESS_REPOSITORIES


def test_mirror_made_in_advance_is_the_one_that_a_function_would_make() -> None:
    mirror = find_block("resource", "google_artifact_registry_repository.mirrors")
    host = "${each.value.host}"
    wanted = repositories.RemoteRepository(
        repositories.RepositoryName("p", "us", repositories.make_repository_id("quay.io")),
        upstream=host,
        uri=None,
    )
    key, value = repositories.OWNER_LABEL

    deletion, keeping = mirror["cleanup_policies"]
    [remote] = mirror["remote_repository_config"]
    assert mirror["description"] == remote["description"] == wanted.description
    assert mirror["labels"] == {key: value}
    assert (mirror["format"], mirror["mode"]) == ("DOCKER", "REMOTE_REPOSITORY")
    assert f'_CLEANUP_ID = "{deletion["id"]}"' in CLIENT
    assert deletion["condition"][0]["tag_state"] == "ANY"
    assert f'_KEEP_ID = "{keeping["id"]}"' in CLIENT
    assert keeping["action"] == "KEEP"
    [kept] = keeping["most_recent_versions"]
    assert f"_KEPT_VERSIONS = {kept['keep_count']}\n" in CLIENT


def test_mirrors_have_the_names_that_the_functions_know() -> None:
    hub = repositories.make_repository_id(DOCKER_HUB)
    suffix = repositories.make_repository_id("quay.io").removeprefix("quay-io")

    assert f'host == "{DOCKER_HUB}" ? "{hub}"' in TEXT
    assert f'"${{local._repository_ids[host]}}{suffix}"' in TEXT
