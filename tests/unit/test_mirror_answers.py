"""Answers of a mirror: the fault behind a refusal, and the entries of an index."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.catalogue.image import Image
from shared.domain.manifest import DamagedManifestError, InvalidManifestError, RegistryRefusalError
from shared.errors import (
    ConfigurationError,
    FailedOutcome,
    ManifestUnavailableError,
    TransientError,
)
from tests.fakes.mirrors import HUB, HUB_NAME, OUR_403, PAIR, UNKNOWN, Deployment, fails


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


# The fault behind a refusal


def refusal(
    status: int, code: str = "DENIED", message: str = "denied", **fields: Any
) -> RegistryRefusalError:
    return RegistryRefusalError(status, code, message, **fields)


def test_absent_image_is_the_image_s_fault(deployment: Deployment) -> None:
    with fails("pull_failed", "there is no image docker.io/team/tool:9"):
        deployment.resolve("team/tool:9")


def test_absent_path_in_a_mirror_that_is_there_is_the_image_s_fault(
    deployment: Deployment,
) -> None:
    error = refusal(404, "NAME_UNKNOWN", 'Package "team/tool" not found')

    with fails("pull_failed", "there is no image"):
        deployment.answer(error)()


def test_mirror_that_our_identity_may_not_read_is_the_deployment_s_fault(
    deployment: Deployment,
) -> None:
    with pytest.raises(ConfigurationError, match=r"artifactregistry\.reader"):
        deployment.answer(OUR_403)()


def test_missing_identity_is_misconfigured(deployment: Deployment) -> None:
    with pytest.raises(ConfigurationError, match="identity"):
        deployment.answer(refusal(401, "UNAUTHORIZED"))()


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_of_an_upstream_is_the_fault_of_the_image(
    deployment: Deployment, status: int
) -> None:
    error = refusal(status, message=OUR_403.message, by_upstream=True)

    with fails("pull_failed", "docker.io/team/tool:1.0 is refused") as caught:
        deployment.answer(error)()

    assert "credentials" in caught.value.hint


@pytest.mark.parametrize("status", [401, 403])
def test_upstream_that_refuses_through_a_new_mirror_is_the_image_s_fault(
    deployment: Deployment, status: int
) -> None:
    deployment.registry.refusals["docker.io"] = refusal(status, by_upstream=True)

    with fails("pull_failed", "refused"):
        deployment.resolve()

    assert deployment.repositories.created == [HUB]
    # Before and after the creation: a refusal of the upstream is not about the mirror.
    assert deployment.repositories.fetched == [HUB_NAME, HUB_NAME]


@pytest.mark.parametrize("status", [400, 403, 410, 451])
def test_any_other_refusal_is_the_image_s_fault(deployment: Deployment, status: int) -> None:
    with fails("pull_failed", "refused"):
        deployment.answer(refusal(status))()


def test_upstream_s_limit_lasts_until_the_time_that_it_names(deployment: Deployment) -> None:
    until = datetime(2026, 5, 17, 12, tzinfo=UTC)

    with fails("postponed", "docker.io limits pulls") as caught:
        deployment.answer(refusal(429, retry_at=until))()

    assert caught.value.not_before == until


def test_upstream_s_limit_lasts_an_hour_where_it_names_no_time(
    deployment: Deployment,
) -> None:
    message = "Resource has been exhausted (e.g. check quota)."
    before = datetime.now(UTC)

    with fails("postponed") as caught:
        deployment.answer(refusal(429, message=message))()

    assert caught.value.not_before is not None
    waits = caught.value.not_before - timedelta(hours=1)
    assert before <= waits <= datetime.now(UTC)


QUOTA = "Quota exceeded for quota metric 'Requests' of service 'artifactregistry.googleapis.com'"


def test_our_own_quota_is_the_world_s_fault(deployment: Deployment) -> None:
    with pytest.raises(TransientError, match="quota is spent"):
        deployment.answer(refusal(429, message=QUOTA))()


def test_upstream_that_speaks_of_a_quota_limits_us_as_well(deployment: Deployment) -> None:
    with fails("postponed"):
        deployment.answer(refusal(429, message=QUOTA, by_upstream=True))()


OURS = ["gcr.io/demo/tool:1", "us-docker.pkg.dev/demo/apps/tool:1", "gcr.io/example.com/ml/tool:1"]
FOREIGN = [
    "gcr.io/other/demo:1",
    "us-docker.pkg.dev/other/demo/tool:1",
    "gcr.io/example.com/other/tool:1",
    "us-docker.pkg.dev/example.org/ml/apps/tool:1",
]


@pytest.mark.parametrize("image", OURS)
@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, ConfigurationError), (429, TransientError)],
)
def test_limit_or_missing_identity_in_our_projects_is_not_the_image_s_fault(
    status: int, expected: type[Exception], image: str
) -> None:
    deployment = Deployment({"projects": ["example.com:ml"]})
    deployment.registry.error = refusal(status)

    with pytest.raises(expected):
        deployment.resolve(image)


@pytest.mark.parametrize("image", FOREIGN)
@pytest.mark.parametrize(
    ("status", "outcome"), [(401, "pull_failed"), (403, "pull_failed"), (429, "postponed")]
)
def test_refusal_in_a_foreign_project_is_the_image_s_fault(
    status: int, outcome: FailedOutcome, image: str
) -> None:
    deployment = Deployment({"projects": ["example.com:ml"]})
    deployment.registry.error = refusal(status, message=QUOTA)

    with fails(outcome) as caught:
        deployment.resolve(image)

    assert (caught.value.not_before is not None) is (outcome == "postponed")


@pytest.mark.parametrize("error", [UNKNOWN, OUR_403], ids=["unknown", "hidden"])
def test_repository_at_google_that_we_may_not_read_is_never_made(
    deployment: Deployment, error: RegistryRefusalError
) -> None:
    deployment.registry.refusals["gcr.io"] = error

    with fails("pull_failed"):
        deployment.resolve("gcr.io/other/tool:1")

    assert deployment.repositories.created == []


def test_registry_that_is_not_there_is_the_world_s_fault(deployment: Deployment) -> None:
    with pytest.raises(TransientError, match="502"):
        deployment.answer(TransientError("502"))()


def test_answer_that_is_no_manifest_is_the_image_s_fault(deployment: Deployment) -> None:
    with fails("pull_failed", "schema version 1"):
        deployment.answer(InvalidManifestError("the manifest has schema version 1"))()


def test_answer_that_came_damaged_is_the_world_s_fault(deployment: Deployment) -> None:
    with pytest.raises(ManifestUnavailableError, match="damaged manifest"):
        deployment.answer(DamagedManifestError("the manifest is no JSON"))()


# The entries of an index


@pytest.mark.parametrize("platform", PAIR.platforms)
def test_size_is_that_of_the_platform_s_manifest(deployment: Deployment, platform: str) -> None:
    source = deployment.locate("team/pair:1.0")
    index = deployment.mirrors.resolve(source)

    manifest = deployment.mirrors.fetch_platform(source, index, platform)

    assert index.digest == PAIR.digest
    assert manifest.digest == PAIR.manifest_for(platform).digest
    assert manifest.image_bytes == PAIR.manifest_for(platform).image_bytes


def test_single_manifest_serves_any_platform(deployment: Deployment) -> None:
    source = deployment.locate("team/tool:1.0")
    manifest = deployment.mirrors.resolve(source)
    deployment.registry.asked.clear()

    assert deployment.mirrors.fetch_platform(source, manifest, "linux/arm64") is manifest
    assert deployment.registry.asked == []


def test_platform_that_an_index_lacks_is_named_with_those_that_it_has(
    deployment: Deployment,
) -> None:
    source = deployment.locate("team/pair:1.0")
    index = deployment.mirrors.resolve(source)

    with fails("pull_failed", "no manifest for linux/s390x; it has linux/amd64, linux/arm64"):
        deployment.mirrors.fetch_platform(source, index, "linux/s390x")


def test_long_list_of_platforms_is_shortened(deployment: Deployment) -> None:
    many = Image((1,), tuple(f"linux/cpu{number}" for number in range(1_000)))
    deployment.registry.add("docker.io/team/many", "1.0", many)
    source = deployment.locate("team/many:1.0")
    index = deployment.mirrors.resolve(source)

    with fails("pull_failed", "and 992 more") as caught:
        deployment.mirrors.fetch_platform(source, index, "linux/amd64")

    assert len(str(caught.value)) < 300


def test_index_in_an_index_has_no_size(deployment: Deployment) -> None:
    source = deployment.locate("team/pair:1.0")
    index = deployment.mirrors.resolve(source)
    entry = replace(index.platforms[0], digest=index.digest)

    with fails("pull_failed", "index again"):
        deployment.mirrors.fetch_platform(source, replace(index, platforms=(entry,)), "linux/amd64")


def test_manifest_that_an_index_names_in_vain_is_the_image_s_fault(
    deployment: Deployment,
) -> None:
    source = deployment.locate("team/pair:1.0")
    index = deployment.mirrors.resolve(source)
    deployment.registry.images.clear()

    with fails("pull_failed", "there is no image"):
        deployment.mirrors.fetch_platform(source, index, "linux/amd64")
