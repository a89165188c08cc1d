"""Checks of APIs: which are off, and what follows."""

from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("reading", "verdict", "fix"),
    [
        pytest.param({"containerfilesystem": "ENABLED"}, "ok", None, id="on"),
        pytest.param(
            {"containerfilesystem": "DISABLED"},
            "failed",
            f"gcloud services enable {STREAMING} --project=demo",
            id="off",
        ),
        pytest.param({}, "unknown", None, id="not-listed"),
    ],
)
def test_api_must_be_enabled(reading: dict[str, str], verdict: str, fix: str | None) -> None:
    found = check(states(artifactregistry="ENABLED", **reading))

    streaming = found.pop(f"{STREAMING} in project demo")
    assert (streaming.verdict, streaming.fix) == (verdict, fix)
    assert {each.verdict for each in found.values()} == {"ok"}


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
