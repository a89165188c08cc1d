"""Checks of rights in a cluster, and of objects that must exist there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.doctor.check import Check
from cli.doctor.checks.access_review import (
    OWN,
    Access,
    check_accesses,
    check_manifests,
    needed_accesses,
)
from cli.doctor.response import Body, NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.manifests_version import MANIFESTS_VERSION

BASE = Path(__file__).parents[2] / "infra" / "kubernetes" / "base"
NAME = ClusterName("demo", "us-central1", "gpu")
USER = "prestream-pull-event@demo.iam.gserviceaccount.com"
GET = Access("get", "nodes", user=USER)
PATCH = Access("patch", "jobs", "batch", "prestream", user=USER)


def manifests() -> list[Any]:
    return [
        body
        for path in sorted(BASE.glob("rbac-*.yaml"))
        for body in yaml.safe_load_all(path.read_text("utf-8"))
    ]


def check(answers: dict[Access, bool | Unavailable]) -> Check:
    (found,) = check_accesses(NAME, answers)
    return found


def test_required_access_equals_the_roles() -> None:
    needed = needed_accesses(manifests(), "demo")

    assert GET in needed
    assert PATCH in needed
    assert Access("list", "events", user=USER) in needed
    assert Access("get", "configmaps", "", "prestream", "proven-mirrors", USER) in needed
    assert Access("create", "jobs", "batch", "prestream", USER) not in needed
    assert len({each.user for each in needed}) == 3


def test_function_that_may_do_all_is_ok() -> None:
    assert check({GET: True, PATCH: True}).verdict == "ok"


def test_function_that_may_not_fails_with_what_it_lacks() -> None:
    found = check({GET: True, PATCH: False})

    assert (found.verdict, found.finding) == (
        "failed",
        "it may not patch jobs.batch in prestream",
    )
    assert found.fix is not None
    assert found.fix.startswith(
        "kubectl --context=gke_demo_us-central1_gpu apply -k infra/kubernetes"
    )


def test_forbidden_review_is_unknown() -> None:
    found = check({GET: True, PATCH: Unavailable("x", "403 cannot create subjectaccessreviews")})

    assert (found.verdict, "subjectaccessreviews" in found.finding) == ("unknown", True)


def test_own_rights_are_reported() -> None:
    assert check(dict.fromkeys(OWN, True)).verdict == "ok"

    found = check({**dict.fromkeys(OWN, True), OWN[1]: False})
    assert (found.verdict, found.finding.partition(":")[0]) == (
        "unknown",
        "you may not list pods",
    )


CURRENT: Body = {
    "metadata": {"labels": {"prestream.dev/manifests-version": str(MANIFESTS_VERSION)}}
}


@pytest.mark.parametrize(
    ("namespace", "verdict"),
    [
        pytest.param(CURRENT, "ok", id="current"),
        pytest.param({"metadata": {"labels": {}}}, "failed", id="no-label"),
        pytest.param(
            {"metadata": {"labels": {"prestream.dev/manifests-version": "1"}}}, "failed", id="older"
        ),
        pytest.param(
            {"metadata": {"labels": {"prestream.dev/manifests-version": "99"}}}, "ok", id="newer"
        ),
    ],
)
def test_manifests_must_have_the_version_of_the_release(namespace: Body, verdict: str) -> None:
    (found,) = check_manifests(NAME, {("Namespace", "prestream"): namespace})

    assert found.verdict == verdict
    assert ("apply -k infra/kubernetes" in (found.fix or "")) is (verdict == "failed")


def test_objects_of_warmups_must_exist() -> None:
    there: dict[tuple[str, str], Response] = {
        ("Namespace", "prestream"): CURRENT,
        ("PriorityClass", "a"): NotFound("x"),
        ("PriorityClass", "b"): Unavailable("x", "403"),
    }

    assert [each.verdict for each in check_manifests(NAME, there)] == ["ok", "failed", "unknown"]
