"""Checks of grants: what a policy says, and what it cannot say."""

from typing import Any

import pytest

from cli.doctor import google_requests
from cli.doctor.check import Check
from cli.doctor.checks.iam_grants import (
    check_right,
    project_number,
    reads_images,
    reads_secret,
    uses_services,
)
from cli.doctor.response import NotFound, Response, Unavailable

ACCOUNT = "nodes@demo.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{ACCOUNT}"
READER = "roles/artifactregistry.reader"
LOOK = google_requests.project_policy("demo")


def policy(role: str, *members: str, **more: Any) -> dict[str, Any]:
    return {"version": 1, "bindings": [{"role": role, "members": list(members), **more}]}


def check(*readings: Response, may_inherit: bool = False) -> Check:
    right = reads_images(ACCOUNT, "demo")
    return check_right(right, [(LOOK, each) for each in readings], may_inherit=may_inherit)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(policy(READER, MEMBER), id="reader"),
        pytest.param(policy("roles/editor", "user:x", MEMBER), id="editor"),
        pytest.param(policy(READER, "allUsers"), id="public"),
    ],
)
def test_grant_is_ok(found: dict[str, Any]) -> None:
    assert check(found).verdict == "ok"


def test_one_policy_with_the_grant_is_enough() -> None:
    assert check({}, policy(READER, MEMBER)).verdict == "ok"
    assert check(Unavailable("x", "403"), policy(READER, MEMBER)).verdict == "ok"


def test_grant_that_is_nowhere_fails_with_the_command_that_gives_it() -> None:
    found = check(policy("roles/viewer", MEMBER), NotFound("no repository"))

    assert (found.verdict, found.fix) == (
        "failed",
        f"gcloud projects add-iam-policy-binding demo --member={MEMBER} --role={READER}",
    )


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(policy(READER, "group:nodes@example.com"), id="group"),
        pytest.param(policy("projects/demo/roles/puller", MEMBER), id="custom-role"),
        pytest.param(policy(READER, MEMBER, condition={"expression": "x"}), id="condition"),
    ],
)
def test_condition_that_a_policy_does_not_show_is_a_warning(found: dict[str, Any]) -> None:
    assert check(found).verdict == "warning"


def test_folder_may_grant_what_is_not_seen() -> None:
    found = check({}, may_inherit=True)

    assert (found.verdict, "a folder or an organization" in found.finding) == ("warning", True)


def test_policy_that_cannot_be_seen_is_unknown() -> None:
    found = check({}, Unavailable("x", "403", "resourcemanager.projects.getIamPolicy"))

    assert found.verdict == "unknown"


def test_streaming_takes_a_right_of_its_own() -> None:
    right = uses_services(ACCOUNT, "demo")
    consumer = "roles/serviceusage.serviceUsageConsumer"

    granted = check_right(right, [(LOOK, policy(consumer, MEMBER))], may_inherit=False)
    missing = check_right(right, [(LOOK, policy(READER, MEMBER))], may_inherit=False)

    assert (granted.verdict, missing.verdict) == ("ok", "failed")
    assert missing.fix is not None
    assert missing.fix.endswith(f"--role={consumer}")


def test_artifact_registry_needs_the_secret_of_an_upstream() -> None:
    agent = "service-1@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    right = reads_secret(agent, "demo", "ngc", "nvcr.io")
    accessor = policy("roles/secretmanager.secretAccessor", f"serviceAccount:{agent}")

    granted = check_right(right, [(LOOK, accessor)], may_inherit=False)
    missing = check_right(right, [(LOOK, {})], may_inherit=False)

    assert (granted.verdict, missing.verdict) == ("ok", "failed")
    assert missing.fix == (
        "gcloud secrets add-iam-policy-binding ngc --project=demo"
        f" --member=serviceAccount:{agent} --role=roles/secretmanager.secretAccessor"
    )


def test_number_of_a_project_may_be_unknown() -> None:
    assert project_number({"projectNumber": "1234"}) == "1234"
    readings: list[Response] = [NotFound("p"), Unavailable("p", "403"), {}]
    assert all(isinstance(project_number(each), Unavailable) for each in readings)
