"""Checks of APIs: which are off, and what follows."""

from typing import Any

from cli.doctor import google_requests
from cli.doctor.check import Check
from cli.doctor.checks.enabled_apis import OF_IMAGES, STREAMING, check_apis
from cli.doctor.response import NotFound, Response, Unavailable

LOOK = google_requests.apis("demo", OF_IMAGES)


def states(**named: str) -> dict[str, Any]:
    return {
        "services": [
            {"name": f"projects/1234/services/{name}.googleapis.com", "state": state}
            for name, state in named.items()
        ]
    }


def check(reading: Response) -> dict[str, Check]:
    return {each.subject: each for each in check_apis(LOOK, OF_IMAGES, reading)}


def test_api_that_is_on_is_ok() -> None:
    found = check(states(containerfilesystem="ENABLED", artifactregistry="ENABLED"))

    assert {each.verdict for each in found.values()} == {"ok"}


def test_api_that_is_off_fails_with_the_command_that_enables_it() -> None:
    found = check(states(containerfilesystem="DISABLED", artifactregistry="ENABLED"))

    failed = found[f"{STREAMING} in project demo"]
    assert failed.verdict == "failed"
    assert failed.fix == f"gcloud services enable {STREAMING} --project=demo"


def test_unlisted_api_is_unknown() -> None:
    found = check(states(artifactregistry="ENABLED"))

    assert found[f"{STREAMING} in project demo"].verdict == "unknown"


def test_check_without_permission_reports_no_success() -> None:
    unseen = Unavailable(str(LOOK), "403 no", LOOK.permission, "gcloud projects …")

    (found,) = check_apis(LOOK, OF_IMAGES, unseen)

    assert found.verdict == "unknown"
    assert "the right serviceusage.services.get is missing" in found.finding
    assert found.fix == "gcloud projects …"


def test_project_that_is_not_there_is_unknown() -> None:
    (found,) = check_apis(LOOK, OF_IMAGES, NotFound(str(LOOK)))

    assert (found.verdict, "project does not exist" in found.finding) == ("unknown", True)


def test_look_asks_for_all_apis_at_once() -> None:
    assert LOOK.path.startswith("v1/projects/demo/services:batchGet?names=projects%2Fdemo%2F")
    assert LOOK.path.count("names=") == len(OF_IMAGES)
