"""The objects of a cluster: valid, with the names and the rights that the code needs."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
import yaml
from kubernetes_validate.utils import validate

from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.placement import PRIORITY_CLASS, SCALING_PRIORITY_CLASS
from shared.domain.proven_mirrors import PARAMETER_NAME
from shared.domain.warmup_job import SERVICE_ACCOUNT
from shared.pipeline.sweep.inventory import KINDS, PODS
from shared.settings.keys import Settings

KUSTOMIZATIONS = Path(__file__).parents[2] / "infra" / "kubernetes"
FOLDER = KUSTOMIZATIONS / "base"
EXAMPLE = KUSTOMIZATIONS / "overlays" / "example" / "kustomization.yaml"
DEFAULTS = Settings(project="demo", deployment_project="demo")

Right = tuple[str, str, str]
"""A namespace (empty for the cluster), a resource with its group (and name), and a verb."""

PRESTREAM, DEFAULT = "prestream", "default"

# The rights of each call of the Kubernetes client. A new call must be added here, and to the
# manifests of the functions that make it.
CALLS: dict[str, set[Right]] = {
    "fetch_job": {(PRESTREAM, "batch/jobs", "get")},
    "create_job": {(PRESTREAM, "batch/jobs", "create")},
    "patch_job": {(PRESTREAM, "batch/jobs", "patch")},
    "delete_job": {(PRESTREAM, "batch/jobs", "delete")},
    "list_jobs": {(PRESTREAM, "batch/jobs", "list")},
    "list_pods": {(PRESTREAM, "/pods", "list")},
    "list_pending_pods": {("", "/pods", "list")},
    "fetch_pod": {("", "/pods", "get")},
    "list_events": {(PRESTREAM, "/events", "list"), (DEFAULT, "/events", "list")},
    "list_pod_events": {("", "/events", "list")},
    "fetch_node": {("", "/nodes", "get")},
    "list_nodes": {("", "/nodes", "list")},
    "list_objects": {
        ("", f"{api_version.rpartition('/')[0]}/{plural}", "list")
        for api_version, plural in (*KINDS, PODS, ("v1", "namespaces"))
    },
    # Every user of the API server may list its groups.
    "fetch_group_versions": set(),
    "fetch_namespace": {(PRESTREAM, "/namespaces/prestream", "get")},
    "fetch_config_map": {(PRESTREAM, f"/configmaps/{PARAMETER_NAME}", "get")},
    "patch_config_map": {(PRESTREAM, f"/configmaps/{PARAMETER_NAME}", "patch")},
    # Commands make these calls as the person who runs them; no function does.
    "fetch_object": set(),
    "create_object": set(),
    "delete_object": set(),
    "review_access": set(),
    "fetch_discovery": set(),
}
INVENTORY = {"list_objects", "fetch_group_versions", "fetch_namespace"}
PROOFS = {"fetch_config_map", "patch_config_map"}
CLAIMS = {"list_pod_events", "fetch_pod", "list_pending_pods"}
"""The calls that check events, which any tenant can create."""

NEEDED = {
    "image-reference": set(CALLS) - INVENTORY - PROOFS - CLAIMS,
    "pull-event": set(CALLS) - INVENTORY - {"create_job", "delete_job"},
    "scheduled-sweep": set(CALLS) - CLAIMS - {"fetch_job", "create_job", "patch_config_map"},
}


def read_objects() -> Iterator[dict[str, Any]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


OBJECTS = list(read_objects())


def describe(body: dict[str, Any]) -> str:
    metadata = body["metadata"]
    return "/".join([body["kind"], metadata.get("namespace", ""), metadata["name"]])


def find(kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    (body,) = (
        each
        for each in OBJECTS
        if (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace"))
        == (kind, name, namespace)
    )
    return body


def list_rights(name: str) -> set[Right]:
    """List what the roles of a name grant, and where."""
    roles = [
        each
        for each in OBJECTS
        if each["kind"] in {"Role", "ClusterRole"} and each["metadata"]["name"] == name
    ]
    return {
        (role["metadata"].get("namespace", ""), f"{group}/{resource}{name}", verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in [f"/{each}" for each in rule.get("resourceNames", [])] or [""]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("version", ["1.30", "1.33", "1.36"])
@pytest.mark.parametrize("body", OBJECTS, ids=describe)
def test_each_object_follows_the_published_schema(body: dict[str, Any], version: str) -> None:
    assert validate(body, version, strict=True).startswith(version)


def test_kustomization_lists_every_file() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}

    assert sorted(kustomization["resources"]) == sorted(files)


def test_objects_have_unique_names_and_our_label() -> None:
    labels = {each["metadata"]["labels"]["app.kubernetes.io/name"] for each in OBJECTS}

    assert len({describe(each) for each in OBJECTS}) == len(OBJECTS)
    assert labels == {"prestream"}


def test_namespace_is_the_configured_one_and_admits_restricted_pods_only() -> None:
    labels = find("Namespace", DEFAULTS.namespace)["metadata"]["labels"]

    levels = {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert levels == {"restricted"}


def test_objects_are_in_the_namespace_except_for_events_of_nodes() -> None:
    # The role of pull_event for the events of pods covers those of nodes.
    elsewhere = {
        describe(each)
        for each in OBJECTS
        if each["metadata"].get("namespace") not in {DEFAULTS.namespace, None}
    }

    assert elsewhere == {
        f"{kind}/default/prestream-{function}"
        for kind in ("Role", "RoleBinding")
        for function in set(NEEDED) - {"pull-event"}
    }


def test_warmups_have_an_identity_without_token_and_rights() -> None:
    account = find("ServiceAccount", SERVICE_ACCOUNT, DEFAULTS.namespace)
    subjects = [subject for each in OBJECTS for subject in each.get("subjects", [])]

    assert account["automountServiceAccountToken"] is False
    assert {subject["kind"] for subject in subjects} == {"User"}


def test_autoscaler_ignores_ordinary_warmups() -> None:
    ordinary = find("PriorityClass", PRIORITY_CLASS)
    scaling = find("PriorityClass", SCALING_PRIORITY_CLASS)

    assert ordinary["value"] < -10 <= scaling["value"] < 0
    for each in (ordinary, scaling):
        assert (each["preemptionPolicy"], each["globalDefault"]) == ("Never", False)


def test_quota_leaves_room_for_the_configured_limit() -> None:
    quota = find("ResourceQuota", "prestream-warmup", DEFAULTS.namespace)

    assert int(quota["spec"]["hard"]["pods"]) > DEFAULTS.max_running


def test_no_traffic_is_allowed() -> None:
    policies = [each for each in OBJECTS if each["kind"] == "NetworkPolicy"]

    (spec,) = (each["spec"] for each in policies)
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_calls_of_the_client_are_listed() -> None:
    calls = {
        name
        for name, _ in inspect.getmembers(KubernetesCluster, inspect.isfunction)
        if not name.startswith("_")
    }

    assert calls == set(CALLS)


@pytest.mark.parametrize("function", NEEDED)
def test_function_has_the_rights_that_its_calls_need_and_no_more(function: str) -> None:
    needed = set().union(*(CALLS[call] for call in NEEDED[function]))
    if NEEDED[function] >= CLAIMS:
        # A right in all namespaces includes that in one.
        needed -= CALLS["list_events"] | CALLS["list_pods"]

    assert list_rights(f"prestream-{function}") == needed


def test_no_right_is_a_wildcard() -> None:
    rules = [rule for each in OBJECTS for rule in each.get("rules", [])]

    assert rules
    for rule in rules:
        assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


@pytest.mark.parametrize("function", NEEDED)
def test_each_role_is_bound_to_the_identity_of_its_function(function: str) -> None:
    name = f"prestream-{function}"
    bindings = [
        each
        for each in OBJECTS
        if each["kind"].endswith("Binding") and each["metadata"]["name"] == name
    ]

    assert len(bindings) == (2 if function == "pull-event" else 3)
    for binding in bindings:
        kind, namespace = binding["roleRef"]["kind"], binding["metadata"].get("namespace")
        assert binding["kind"] == f"{kind}Binding"
        assert find(kind, binding["roleRef"]["name"], namespace)
        assert binding["subjects"] == [
            {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "User",
                "name": f"{name}@PROJECT_ID.iam.gserviceaccount.com",
            }
        ]


def test_example_overlay_names_the_project_everywhere() -> None:
    overlay = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    bindings = [each for each in OBJECTS if each["kind"].endswith("Binding")]

    for patch in overlay["patches"]:
        target = patch["target"]
        matching = [
            each
            for each in bindings
            if re.fullmatch(target["kind"], each["kind"])
            and re.fullmatch(target["name"], each["metadata"]["name"])
        ]
        assert len(matching) == (2 if "pull-event" in target["name"] else 3)
        bindings = [
            jsonpatch.apply_patch(each, yaml.safe_load(patch["patch"]))
            if each in matching
            else each
            for each in bindings
        ]

    names = {(each["metadata"]["name"], each["subjects"][0]["name"]) for each in bindings}
    assert names == {
        (f"prestream-{function}", f"prestream-{function}@my-project.iam.gserviceaccount.com")
        for function in NEEDED
    }
    assert [(EXAMPLE.parent / each).resolve() for each in overlay["resources"]] == [FOLDER]
