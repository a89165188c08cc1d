"""The pipeline may do what planning and applying the module prestream needs, and no more."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.contract.terraform_files import (
    BOOTSTRAP,
    INFRA,
    MODULE,
    PRESTREAM,
    find_block,
    read_blocks,
    read_local,
)

# Permissions that the provider needs to create, read, update and delete a resource of each type.
# The provider reads a resource when it refreshes the state, and an operation until it has ended.
# Sources: the provider's calls, and the page of each service below
# https://docs.cloud.google.com/iam/docs/roles-permissions.
NEEDED: Mapping[str, set[str]] = {
    "google_artifact_registry_repository": {
        f"artifactregistry.repositories.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_cloud_run_v2_service_iam_member": {
        "run.services.getIamPolicy",
        "run.services.setIamPolicy",
    },
    "google_cloud_scheduler_job": {
        # The attribute `paused` is set by calls of its own.
        f"cloudscheduler.jobs.{verb}"
        for verb in ("create", "delete", "enable", "get", "pause", "update")
    },
    "google_cloudfunctions2_function": {
        *(f"cloudfunctions.functions.{verb}" for verb in ("create", "delete", "get", "update")),
        "cloudfunctions.operations.get",
    },
    "google_logging_metric": {
        f"logging.logMetrics.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_logging_project_bucket_config": {
        *(f"logging.buckets.{verb}" for verb in ("create", "delete", "get", "update")),
        # buckets:createAsync and buckets:updateAsync
        "logging.operations.get",
    },
    "google_logging_project_sink": {
        f"logging.sinks.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_logging_folder_sink": {
        f"logging.sinks.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_logging_organization_sink": {
        f"logging.sinks.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_monitoring_alert_policy": {
        *(f"monitoring.alertPolicies.{verb}" for verb in ("create", "delete", "get", "update")),
        # condition_matched_log makes a rule of Cloud Logging.
        *(f"logging.notificationRules.{verb}" for verb in ("create", "delete", "update")),
    },
    "google_monitoring_dashboard": {
        f"monitoring.dashboards.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_pubsub_subscription": {
        *(f"pubsub.subscriptions.{verb}" for verb in ("create", "delete", "get", "update")),
        # https://docs.cloud.google.com/pubsub/docs/access-control: on the topic
        "pubsub.topics.attachSubscription",
    },
    "google_pubsub_subscription_iam_member": {
        "pubsub.subscriptions.getIamPolicy",
        "pubsub.subscriptions.setIamPolicy",
    },
    "google_pubsub_topic": {
        f"pubsub.topics.{verb}" for verb in ("create", "delete", "get", "update")
    },
    "google_pubsub_topic_iam_member": {"pubsub.topics.getIamPolicy", "pubsub.topics.setIamPolicy"},
    "google_storage_bucket_object": {
        # The name of an archive changes with its content, so no object is updated.
        f"storage.objects.{verb}"
        for verb in ("create", "delete", "get")
    },
    "data.google_project": {"resourcemanager.projects.get"},
    "data.google_pubsub_topic": {"pubsub.topics.get"},
}

# The types of resources that may be elsewhere than in the functions' project, by the place.
ELSEWHERE = {
    "pipeline_mirror_permissions": {"google_artifact_registry_repository"},
    "pipeline_sink_permissions": {"google_logging_project_sink"},
}
# Objects are in a bucket, and sinks of folders and organizations have grants there.
NOT_IN_PROJECT = {
    "google_artifact_registry_repository",
    "google_logging_folder_sink",
    "google_logging_organization_sink",
    "google_storage_bucket_object",
}


def find_types() -> set[str]:
    """Return the types of all resources and data sources that the pipeline applies."""
    folders = (PRESTREAM, MODULE)
    managed = {block.labels[0] for folder in folders for block in read_blocks("resource", folder)}
    read = {
        f"data.{block.labels[0]}" for folder in folders for block in read_blocks("data", folder)
    }
    return managed | read


def permissions_for(types: set[str]) -> set[str]:
    return {permission for each in types for permission in NEEDED[each]}


def permissions_of(role: str) -> set[str]:
    body = find_block("resource", f"google_project_iam_custom_role.{role}", BOOTSTRAP)
    return set(body["permissions"])


def read_permissions(name: str) -> list[str]:
    permissions: list[str] = read_local(name)
    return permissions


def grants_of_the_pipeline() -> dict[str, dict[str, Any]]:
    return {
        block.name: block.body
        for block in read_blocks("resource", BOOTSTRAP)
        if "google_service_account.pipeline[" in str(block.body.get("member"))
    }


def test_every_resource_of_the_pipeline_has_known_permissions() -> None:
    assert find_types() == set(NEEDED)


def test_pipeline_may_manage_all_resources_of_its_project_and_no_more() -> None:
    permissions = read_permissions("pipeline_permissions")

    assert permissions == sorted(permissions)
    assert set(permissions) == permissions_for(find_types() - NOT_IN_PROJECT)


@pytest.mark.parametrize(("name", "types"), ELSEWHERE.items())
def test_pipeline_may_manage_the_resources_of_other_projects(name: str, types: set[str]) -> None:
    assert set(read_permissions(name)) == permissions_for(types)


def test_pipeline_may_subscribe_to_the_topics_of_other_projects() -> None:
    assert set(read_permissions("pipeline_source_permissions")) == permissions_for(
        {"google_pubsub_topic", "data.google_pubsub_topic"}
    ) | {"pubsub.topics.attachSubscription"}


def test_pipeline_may_upload_archives_and_keep_its_state() -> None:
    # The backend writes the state and its lock as objects, and lists those of all workspaces.
    assert permissions_of("pipeline_objects") == NEEDED["google_storage_bucket_object"]
    assert permissions_of("pipeline_list") == {"storage.objects.list"}


def test_pipeline_may_act_as_the_identities_that_it_deploys() -> None:
    grant = find_block("resource", "google_service_account_iam_member.pipeline", BOOTSTRAP)
    named = set(re.findall(r"google_service_account\.(\w+)", grant["for_each"]))

    # The functions run as the first, are built by the second, and Pub/Sub signs as the third.
    assert named == {"functions", "builder", "invoker"}
    assert permissions_of("pipeline_act_as") == {"iam.serviceAccounts.actAs"}


def test_pipeline_has_no_other_grants() -> None:
    predefined = {
        name: body["role"]
        for name, body in grants_of_the_pipeline().items()
        if body["role"].startswith("roles/")
    }

    assert predefined == {
        # A folder has no custom roles.
        "google_folder_iam_member.pipeline": "roles/logging.configWriter",
        # Uploads of gcloud builds submit, by a condition.
        "google_project_iam_member.pipeline_sources": "roles/storage.objectViewer",
    }


def test_pipeline_cannot_change_rights_of_projects_roles_and_identities() -> None:
    lists = [
        "pipeline_permissions",
        "pipeline_mirror_permissions",
        "pipeline_sink_permissions",
        "pipeline_source_permissions",
        "pipeline_build_permissions",
    ]
    permissions = {permission for name in lists for permission in read_permissions(name)}

    policies = {each for each in permissions if each.endswith("setIamPolicy")}
    assert policies == {
        "pubsub.subscriptions.setIamPolicy",
        "pubsub.topics.setIamPolicy",
        "run.services.setIamPolicy",
    }
    assert not {each for each in permissions if each.startswith(("iam.", "secretmanager."))}


def test_pipeline_applies_no_identity_role_or_grant_of_a_project() -> None:
    assert not {
        each
        for each in find_types()
        if re.match(r"google_(project|folder|organization|service_account|secret)_?", each)
    }


def test_pipeline_may_apply_the_manifests_of_clusters_and_nothing_else() -> None:
    objects = read_local("_pipeline_objects")
    kinds = {body["kind"] for body in _read_manifests("base", "pipeline", "rewriting")}
    [role] = [body for body in _read_manifests("pipeline") if body["kind"] == "ClusterRole"]
    [rule] = role["rules"]
    by_rbac = set(rule["resources"])

    plurals = {_make_plural(kind) for kind in kinds}
    assert {name.lower() for name in objects} == plurals - by_rbac
    assert by_rbac <= plurals
    assert set(rule["verbs"]) == {"create", "get", "patch"}
    for name, verbs in objects.items():
        # kubectl apply patches, which IAM calls an update.
        extra = {"bind", "escalate"} if name in {"clusterRoles", "roles"} else set()
        assert set(verbs) == {"create", "get", "update"} | extra, name


def _make_plural(kind: str) -> str:
    return re.sub(r"y$", "ie", re.sub(r"ss$", "sse", kind.lower())) + "s"


def _read_manifests(*folders: str) -> list[dict[str, Any]]:
    return [
        body
        for folder in folders
        for path in sorted((INFRA / "kubernetes" / folder).glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for body in yaml.safe_load_all(path.read_text("utf-8"))
    ]
