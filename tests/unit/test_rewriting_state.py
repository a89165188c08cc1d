"""Checks of the policy that rewrites pods, and of its parameter."""

from dataclasses import replace
from typing import Any

import pytest

from cli.doctor.check import Check
from cli.doctor.checks.rewriting_state import RewritingResponses, check_rewriting
from cli.doctor.response import NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
ALL = RewritingResponses(
    name=ClusterName("demo", "us-central1", "gpu"),
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


@pytest.mark.parametrize("field", ["policy", "namespaces"])
def test_unavailable_object_is_unknown(field: str) -> None:
    assert check(**{field: HIDDEN})["policy"].verdict == "unknown"
