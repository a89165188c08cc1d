"""Checks of the policy that rewrites pods, and of its parameter."""

from dataclasses import replace
from typing import Any

import pytest

from cli.connect.policy_version import ServedPolicies
from cli.doctor.check import Check
from cli.doctor.checks.rewriting_state import RewritingResponses, check_rewriting
from cli.doctor.response import NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
ALL = RewritingResponses(
    name=ClusterName("demo", "us-central1", "gpu"),
    served=ServedPolicies("v1"),
    policy={"kind": "MutatingAdmissionPolicy"},
    binding={"kind": "MutatingAdmissionPolicyBinding"},
    parameter={"data": {"pullSecrets": "skip", "docker.io": MIRROR}},
    namespaces=["ml"],
)
GONE, HIDDEN = NotFound("x"), Unavailable("x", "403")


def check(**more: Any) -> dict[str, Check]:
    return {each.name: each for each in check_rewriting(replace(ALL, **more))}


def test_policy_with_all_that_it_needs_is_ok() -> None:
    assert {name: each.verdict for name, each in check().items()} == {
        "policy-version": "ok",
        "policy": "ok",
        "policy-binding": "ok",
        "policy-parameter": "ok",
    }


def test_missing_policy_fails_only_with_opted_in_namespaces() -> None:
    assert check(policy=GONE, namespaces=[])["policy"].verdict == "ok"

    found = check(policy=GONE)["policy"]
    assert (found.verdict, found.fix) == (
        "failed",
        "kubectl --context=gke_demo_us-central1_gpu apply -k infra/kubernetes/rewriting",
    )


APPLY = "kubectl --context=gke_demo_us-central1_gpu apply -k infra/kubernetes/rewriting"
ENABLE = "gcloud container clusters update gpu --project=demo --location=us-central1"


@pytest.mark.parametrize(
    ("served", "verdict", "applied"),
    [
        pytest.param(ServedPolicies("v1"), "ok", APPLY, id="v1"),
        pytest.param(ServedPolicies("v1beta1"), "ok", f"{APPLY}-v1beta1", id="v1beta1"),
        pytest.param(ServedPolicies(None, (1, 35)), "warning", f"{APPLY}-v1beta1", id="disabled"),
        pytest.param(HIDDEN, "unknown", APPLY, id="unavailable"),
    ],
)
def test_version_that_applies_is_named(
    served: ServedPolicies | Unavailable, verdict: str, applied: str
) -> None:
    checks = check(served=served, policy=GONE)

    assert checks["policy-version"].verdict == verdict
    assert checks["policy"].fix == applied


@pytest.mark.parametrize(
    ("kubernetes", "can_enable"),
    [((1, 33), False), ((1, 34), True), ((1, 35), True), ((1, 36), False), (None, False)],
)
def test_beta_api_is_enabled_by_command_where_it_exists(
    kubernetes: tuple[int, int] | None, *, can_enable: bool
) -> None:
    found = check(served=ServedPolicies(None, kubernetes), policy=GONE)["policy-version"]

    assert "prestream rewrite" in found.finding
    assert (found.fix is not None) == can_enable
    if found.fix is not None:
        enable, apply = found.fix.splitlines()
        assert enable.startswith(f"{ENABLE} --enable-kubernetes-unstable-apis=")
        assert apply == f"{APPLY}-v1beta1"


def test_policy_that_no_namespace_opted_into_is_a_warning() -> None:
    assert check(namespaces=[])["policy"].verdict == "warning"


@pytest.mark.parametrize(("reading", "verdict"), [(GONE, "failed"), (HIDDEN, "unknown")])
def test_binding_and_the_parameter_must_be_there(reading: Response, verdict: str) -> None:
    assert check(binding=reading)["policy-binding"].verdict == verdict
    assert check(parameter=reading)["policy-parameter"].verdict == verdict


def test_broken_entry_fails_and_is_named() -> None:
    found = check(parameter={"data": {"docker.io": MIRROR, "quay.io": "no mirror"}})

    assert found["policy-parameter"].verdict == "failed"
    assert "quay.io" in found["policy-parameter"].finding


@pytest.mark.parametrize("data", [{}, {"pullSecrets": "skip"}, {"docker.io": "off"}])
def test_unproven_mirrors_rewrite_nothing(data: dict[str, str]) -> None:
    assert check(parameter={"data": data})["policy-parameter"].verdict == "warning"


@pytest.mark.parametrize(
    ("entry", "verdict"), [(MIRROR, "failed"), (f"on {MIRROR}", "failed"), ("off", "warning")]
)
def test_entry_of_an_upstream_without_a_mirror_fails(entry: str, verdict: str) -> None:
    found = check(parameter={"data": {"docker.io": entry}}, in_place=frozenset({"docker.io"}))

    assert found["policy-parameter"].verdict == verdict
    if verdict == "failed":
        assert found["policy-parameter"].fix == (
            "kubectl --context=gke_demo_us-central1_gpu -n prestream patch configmap proven-mirrors"
            """ --type=merge -p '{"data": {"docker.io": null}}'"""
        )


@pytest.mark.parametrize("field", ["policy", "namespaces"])
def test_unavailable_object_is_unknown(field: str) -> None:
    assert check(**{field: HIDDEN})["policy"].verdict == "unknown"
