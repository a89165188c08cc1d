"""Checks of mirrors: their region, and the repository under their name."""

from typing import Any

import pytest

from cli.doctor import google_requests
from cli.doctor.check import Check
from cli.doctor.checks.mirror_settings import check_mirror, check_region, check_secret_version
from cli.doctor.response import NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.mirror import RemoteRepository, RepositoryName, UpstreamCredentials

NAME = ClusterName("demo", "us-central1-a", "gpu")
HUB = RemoteRepository(RepositoryName("demo", "us-central1", "hub"), "docker.io", None)
LOOK = google_requests.repository(HUB.name)
VERSION = google_requests.secret_version("demo", "ngc", "3")
REMOTE: dict[str, Any] = {
    "format": "DOCKER",
    "mode": "REMOTE_REPOSITORY",
    "remoteRepositoryConfig": {"dockerRepository": {"publicRepository": "DOCKER_HUB"}},
}


def check(reading: Response, wanted: RemoteRepository = HUB) -> list[Check]:
    return list(check_mirror(wanted, LOOK, reading))


@pytest.mark.parametrize(
    ("setting", "verdict"),
    [
        pytest.param("region", "ok", id="region"),
        pytest.param("multi-region", "ok", id="multi-region"),
        pytest.param("us", "ok", id="multi-region-by-name"),
        pytest.param("us-central1", "ok", id="region-by-name"),
        pytest.param("us-east1", "failed", id="another-region"),
        pytest.param("europe", "failed", id="another-multi-region"),
    ],
)
def test_mirrors_must_lie_where_nodes_stream_from(setting: str, verdict: str) -> None:
    assert check_region(NAME, setting).verdict == verdict


def test_mirror_is_ok_also_before_it_is_made() -> None:
    assert [each.verdict for each in check(REMOTE)] == ["ok"]
    assert [each.verdict for each in check(NotFound("x"))] == ["ok"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({**REMOTE, "mode": "STANDARD_REPOSITORY"}, id="standard"),
        pytest.param({**REMOTE, "format": "PYTHON"}, id="another-format"),
        pytest.param(
            {
                **REMOTE,
                "remoteRepositoryConfig": {"commonRepository": {"uri": "https://quay.io"}},
            },
            id="another-upstream",
        ),
    ],
)
def test_another_repository_of_that_name_fails(body: dict[str, Any]) -> None:
    (found,) = check(body)

    assert (found.verdict, found.fix) == (
        "failed",
        "gcloud artifacts repositories describe hub --location=us-central1 --project=demo",
    )


def test_login_that_differs_is_a_warning() -> None:
    version = "projects/demo/secrets/hub/versions/1"
    wanted = RemoteRepository(HUB.name, "docker.io", None, UpstreamCredentials("me", version))
    login = {"usernamePasswordCredentials": {"username": "me", "passwordSecretVersion": version}}
    same = {**REMOTE["remoteRepositoryConfig"], "upstreamCredentials": login}

    assert [each.verdict for each in check(REMOTE, wanted)] == ["warning"]
    assert [each.verdict for each in check({**REMOTE, "remoteRepositoryConfig": same}, wanted)] == [
        "ok"
    ]


def test_key_of_ones_own_may_keep_images_from_being_streamed() -> None:
    assert [each.verdict for each in check({**REMOTE, "kmsKeyName": "k"})] == ["ok", "warning"]


def test_mirror_that_cannot_be_seen_is_unknown() -> None:
    assert [each.verdict for each in check(Unavailable("x", "403"))] == ["unknown"]


@pytest.mark.parametrize(
    ("reading", "verdict", "fix"),
    [
        pytest.param({"state": "ENABLED"}, "ok", None, id="enabled"),
        pytest.param(
            {"state": "DISABLED"},
            "failed",
            "gcloud secrets versions enable 3 --secret=ngc --project=demo",
            id="disabled",
        ),
        pytest.param(
            NotFound("x"),
            "failed",
            "gcloud secrets versions add ngc --project=demo --data-file=-",
            id="absent",
        ),
        pytest.param(Unavailable("x", "403"), "unknown", None, id="unseen"),
    ],
)
def test_version_of_a_secret_must_be_on(reading: Response, verdict: str, fix: str | None) -> None:
    found = check_secret_version("secret ngc", VERSION, reading)

    assert (found.verdict, found.fix) == (verdict, fix)
