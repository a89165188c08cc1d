"""Checks of grants: those that a policy shows, and those that it cannot show."""

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


GRANTED = policy(READER, MEMBER)
HIDDEN = Unavailable("x", "403", "resourcemanager.projects.getIamPolicy")


@pytest.mark.parametrize(
    ("readings", "verdict"),
    [
        pytest.param([GRANTED], "ok", id="reader"),
        pytest.param([policy("roles/editor", "user:x", MEMBER)], "ok", id="editor"),
        pytest.param([policy(READER, "allUsers")], "ok", id="public"),
        pytest.param([{}, GRANTED], "ok", id="in-one-of-two-policies"),
        pytest.param([HIDDEN, GRANTED], "ok", id="in-the-policy-that-is-seen"),
        pytest.param([{}, HIDDEN], "unknown", id="a-policy-is-unseen"),
        pytest.param([policy(READER, "group:nodes@example.com")], "warning", id="group"),
        pytest.param([policy("projects/demo/roles/puller", MEMBER)], "warning", id="custom-role"),
        pytest.param(
            [policy(READER, MEMBER, condition={"expression": "x"})], "warning", id="condition"
        ),
    ],
)
def test_grant_is_found_in_the_policies(readings: list[Response], verdict: str) -> None:
    assert check(*readings).verdict == verdict


def test_missing_grant_fails_with_the_command_that_adds_it() -> None:
    found = check(policy("roles/viewer", MEMBER), NotFound("no repository"))

    assert (found.verdict, found.fix) == (
        "failed",
        f"gcloud projects add-iam-policy-binding demo --member={MEMBER} --role={READER}",
    )


def test_grant_may_be_inherited_from_a_folder() -> None:
    found = check({}, may_inherit=True)

    assert (found.verdict, "a folder or an organization" in found.finding) == ("warning", True)


def test_streaming_needs_its_own_right() -> None:
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
