"""The rights of the deployment: each function has those that its calls need, and no more."""

import re
from typing import Any

import pytest

from tests.contract.terraform_files import (
    BOOTSTRAP,
    FILES,
    FOLDERS,
    MODULE,
    SETTINGS,
    find_block,
    read_blocks,
    read_local,
)

FUNCTIONS: dict[str, dict[str, Any]] = read_local("functions")
FUNCTION_ROLES: dict[str, list[str]] = read_local("function_roles")
ROLES: dict[str, dict[str, Any]] = read_local("roles")
TEXT = "\n".join(path.read_text("utf-8") for path in FILES)
GRANTS = [block for block in read_blocks("resource") if "_iam_" in block.labels[0]]

# The permissions of each call, as the reference of the API lists them.
NEEDED = {
    # ClusterDirectory: clusters.get, and the endpoint's own gate
    "cluster_access": {"container.clusters.connect", "container.clusters.get"},
    # ClusterDirectory.list_clusters
    "cluster_list": {"container.clusters.list"},
    # FactLog writes entries
    "facts": {"logging.logEntries.create"},
    # RegistryClient: manifests under /v2/. PrewarmingClient: its four methods
    "images": {
        "artifactregistry.repositories.checkPrewarmedArtifact",
        "artifactregistry.repositories.downloadArtifacts",
        "artifactregistry.repositories.listPrewarmedArtifacts",
        "artifactregistry.repositories.prewarmArtifact",
        "artifactregistry.repositories.removePrewarmedArtifact",
    },
    # ArtifactRegistry looks at a mirror
    "mirror_states": {"artifactregistry.repositories.get"},
    # ArtifactRegistry: get, create, and update for credentials
    "mirrors": {
        "artifactregistry.repositories.create",
        "artifactregistry.repositories.get",
        "artifactregistry.repositories.update",
    },
}


def permissions_of(role: str) -> set[str]:
    """Return the permissions of a role, those that depend on a variable included."""
    text = str(ROLES[role]["permissions"])
    return set(re.findall(r"""['"]([a-z]+\.[a-zA-Z]+\.[a-zA-Z]+)['"]""", text))


@pytest.mark.parametrize("role", sorted(ROLES))
def test_role_has_what_the_clients_call_and_no_more(role: str) -> None:
    assert permissions_of(role) == NEEDED[role]


def test_prewarming_is_allowed_only_where_the_ladder_has_its_rung() -> None:
    text = str(ROLES["images"]["permissions"])
    before, condition, conditional = text.partition(
        'contains(module.settings.settings.ladder, "prewarm-api") ?'
    )

    assert condition
    assert "rewarm" not in before
    assert conditional.count("rewarm") == 4


def test_detectors_may_only_publish_references() -> None:
    detectors = ("audit_log", "build_notification", "registry_push")

    for name in detectors:
        assert FUNCTION_ROLES[name] == []
        assert FUNCTIONS[name]["publishes_to"] == ["prestream-image-references"]


def test_one_function_creates_mirrors_and_one_more_reads_them() -> None:
    users = {
        role: {name for name, roles in FUNCTION_ROLES.items() if role in roles}
        for role in ("mirrors", "mirror_states")
    }

    assert users == {"mirrors": {"image_reference"}, "mirror_states": {"scheduled_sweep"}}


def test_other_identities_cannot_publish_or_read_messages() -> None:
    pubsub = [block for block in GRANTS if "pubsub." in str(block.body.get("role"))]

    granted = {
        (block.labels[1], block.body["role"], block.body["member"])
        for block in pubsub
        if "pipeline" not in block.labels[1]
    }
    # Google publishes logs and dead letters as its own agents.
    assert granted == {
        (
            "functions",
            "roles/pubsub.publisher",
            "serviceAccount:${local.accounts[each.value.function]}",
        ),
        ("sinks", "roles/pubsub.publisher", "${each.value.identity}"),
        ("dead_letters", "roles/pubsub.publisher", "${local.pubsub_agent}"),
        ("dead_letters", "roles/pubsub.subscriber", "${var.trigger.pubsub_agent}"),
    }


def test_pushes_are_signed_for_the_function_that_they_are_for() -> None:
    subscription = find_block("resource", "google_pubsub_subscription.main", MODULE)

    [push] = subscription["push_config"]
    [token] = push["oidc_token"]
    assert token["audience"] == push["push_endpoint"]
    assert push["push_endpoint"].endswith(".service_config[0].uri}")
    assert token["service_account_email"] == "${var.trigger.invoker_email}"


@pytest.mark.parametrize(
    "forbidden",
    [
        "roles/owner",
        "roles/editor",
        "roles/viewer",
        "roles/container.admin",
        "roles/iam.serviceAccountTokenCreator",
        "allUsers",
        "allAuthenticatedUsers",
        "google_service_account_key",
        "google_secret_manager_secret_version",
        "secretmanager.versions.access",
    ],
)
def test_roles_are_narrow_and_have_no_public_member(forbidden: str) -> None:
    assert forbidden not in TEXT


def test_no_permission_has_a_wildcard() -> None:
    literals = re.findall(r'"((?:[a-z]+\.)+[a-zA-Z.*]*\*)"', TEXT)

    assert literals == []


def test_grants_add_to_policies_and_never_replace_them() -> None:
    kinds = {block.labels[0].rpartition("_iam_")[2] for block in GRANTS}

    assert kinds == {"member", "custom_role"}


def test_project_wide_roles_of_functions_are_our_own() -> None:
    grant = find_block("resource", "google_project_iam_member.functions", BOOTSTRAP)

    assert grant["role"].startswith("${google_project_iam_custom_role.main[")


def test_secrets_are_for_artifact_registry_alone() -> None:
    readers = [block for block in GRANTS if "secretAccessor" in str(block.body.get("role"))]

    assert [block.body["member"] for block in readers] == ["${local.artifact_registry_agent}"]
    assert "gcp-sa-artifactregistry" in read_local("artifact_registry_agent")


def test_functions_are_reached_by_pubsub_alone() -> None:
    function = find_block("resource", "google_cloudfunctions2_function.main", MODULE)
    invokers = [block for block in GRANTS if block.body.get("role") == "roles/run.invoker"]

    [service] = function["service_config"]
    assert service["ingress_settings"] == "ALLOW_INTERNAL_ONLY"
    assert [block.body["member"] for block in invokers] == [
        "serviceAccount:${var.trigger.invoker_email}"
    ]


def test_each_function_has_an_identity_of_its_own() -> None:
    function = find_block("resource", "google_cloudfunctions2_function.main", MODULE)

    [service] = function["service_config"]
    call = find_block("module", "functions")
    account = find_block("resource", "google_service_account.functions", BOOTSTRAP)
    assert service["service_account_email"] == "${var.service_account}"
    assert call["service_account"] == "${local.accounts[each.key]}"
    assert account["for_each"] == "${local.function_roles}"
    assert set(FUNCTION_ROLES) == set(FUNCTIONS)
    # Either module derives the name of an identity alone.
    derived = '"prestream-${replace(name, "_", "-")}@${var.project_id}.iam.gserviceaccount.com"'
    assert derived in read_local("accounts")
    assert account["account_id"] == 'prestream-${replace(each.key, "_", "-")}'


def test_apis_stay_on_after_prestream_is_removed() -> None:
    assert (
        find_block("resource", "google_project_service.main", BOOTSTRAP)["disable_on_destroy"]
        is False
    )


def test_resources_of_a_new_project_wait_for_its_apis() -> None:
    bodies = {block.name: str(block.body) for block in read_blocks("resource", BOOTSTRAP)}
    waiting = {"google_project_service.main"}
    while found := {
        name
        for name, body in bodies.items()
        if name not in waiting and any(each in body for each in waiting)
    }:
        waiting |= found

    # An organization has no APIs to enable.
    assert set(bodies) - waiting == {"google_organization_iam_custom_role.pipeline"}


@pytest.mark.parametrize("kind", ["variable", "output"])
def test_variables_and_outputs_are_described_in_one_sentence_and_in_order(kind: str) -> None:
    for folder in FOLDERS:
        blocks = list(read_blocks(kind, folder))

        assert [block.name for block in blocks] == sorted(block.name for block in blocks)
        for block in blocks:
            assert block.body["description"].endswith("."), block.name
            assert kind == "output" or "type" in block.body, block.name


def test_versions_of_the_provider_are_within_one_major() -> None:
    for folder in FOLDERS:
        if folder == SETTINGS:
            continue
        [terraform] = [
            entry
            for path in FILES
            if path == folder / "versions.tf"
            for entry in find_terraform(path.read_text("utf-8"))
        ]

        assert terraform == ">= 7.0, < 8"


def find_terraform(text: str) -> list[str]:
    return re.findall(r'source  = "hashicorp/google"\n\s+version = "([^"]+)"', text)
