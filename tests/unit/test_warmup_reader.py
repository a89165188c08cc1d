"""The reader of Jobs, facts and artifacts, and the images that it looks for."""

from datetime import datetime
from typing import Any

import pytest

from cli.status.warmup_reader import Observations, ResolvedImage, WarmupReader, resolve_images
from shared.domain.image_reference import Digest, WrittenImage
from shared.domain.prewarm import (
    PrewarmRefusedError,
)
from shared.errors import ConfigurationError, TransientError
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.mirrors import OUR_403, TOOL, Deployment
from tests.fakes.node_reports import (
    end,
    place_warmup,
)
from tests.fakes.observations import IMAGE, NOW, Facts, Prewarmed
from tests.fakes.warmups import DIGEST


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def facts() -> Facts:
    return Facts()


def settings_of(**values: Any) -> Settings:
    return make_settings(Document(values), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")


def look(cluster: FakeCluster, facts: Facts | None = None, now: datetime = NOW) -> Observations:
    return WarmupReader(settings_of(), facts=facts).look([cluster], now)


def test_unreadable_facts_are_reported_beside_the_jobs(cluster: FakeCluster, facts: Facts) -> None:
    end(place_warmup(cluster))
    facts.error = ConfigurationError("403 logging.logEntries.list")

    seen = look(cluster, facts)

    assert [each.progress for each in seen.observations] == ["good"]
    assert [str(each) for each in seen.problems] == [
        "the facts cannot be read: 403 logging.logEntries.list"
    ]


def test_cluster_whose_jobs_cannot_be_read_is_named(cluster: FakeCluster) -> None:
    cluster.fail("list_jobs", TransientError("503"))

    seen = look(cluster)

    assert seen.observations == ()
    assert [each.cluster for each in seen.problems] == [str(GPU_CLUSTER)]


def test_failed_job_with_unreadable_pods_has_no_reason(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster), "BackoffLimitExceeded")
    cluster.fail("list_pods", ConfigurationError("403 pods"))

    seen = look(cluster)

    assert [each.progress for each in seen.observations] == ["bad"]
    assert "403 pods" in str(seen.problems[0])


def test_only_facts_of_the_images_that_matter_are_read(cluster: FakeCluster, facts: Facts) -> None:
    resolved = ResolvedImage(written=WrittenImage.parse(IMAGE), cluster=GPU_CLUSTER)

    WarmupReader(settings_of(), facts=facts).look([cluster], NOW, [resolved])

    assert facts.asked == ['jsonPayload.event="warmup.finished" AND (jsonPayload.image:"ray-ml")']


def test_artifacts_are_not_read_without_the_prewarm_rung(
    cluster: FakeCluster,
) -> None:
    prewarmed = Prewarmed()
    prewarmed.error = AssertionError("asked")

    assert WarmupReader(settings_of(), facts=None, prewarming=prewarmed).look(
        [cluster], NOW
    ) == Observations(())


def test_unreadable_artifacts_are_reported(cluster: FakeCluster) -> None:
    prewarmed = Prewarmed()
    prewarmed.error = PrewarmRefusedError("permission", "403 prewarmedArtifacts")
    watching = WarmupReader(settings_of(ladder=["prewarm-api"]), facts=None, prewarming=prewarmed)

    seen = watching.look([cluster], NOW)

    assert "403 prewarmedArtifacts" in str(seen.problems[0])


@pytest.fixture
def deployment() -> Deployment:
    deployment = Deployment({"dry_run": True})
    deployment.mirrors = deployment.start_instance(dry_run=False)
    deployment.resolve()
    deployment.mirrors = deployment.start_instance(dry_run=True)
    return deployment


def mean(deployment: Deployment, text: str = "team/tool:1.0") -> ResolvedImage:
    return resolve_images(deployment.mirrors, WrittenImage.parse(text), GPU_CLUSTER)


def test_tag_is_resolved_by_its_mirror(deployment: Deployment) -> None:
    resolved = mean(deployment)

    assert resolved.digest == TOOL.digest
    assert resolved.mirror == "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/tool"


def test_tag_without_its_mirror_has_no_digest() -> None:
    resolved = mean(Deployment({"dry_run": True}))

    assert (resolved.digest, resolved.problem) == (None, "its mirror is not made yet")


def test_image_that_is_not_allowed_has_the_hint(deployment: Deployment) -> None:
    resolved = mean(deployment, "strange.example/tool:1")

    assert resolved.digest is None
    assert "strange.example" in (resolved.problem or "")
    assert "upstreams" in (resolved.hint or "")


def test_unreadable_mirror_does_not_reveal_the_last_digest(
    deployment: Deployment,
) -> None:
    deployment.answer(OUR_403)

    with pytest.raises(ConfigurationError):
        mean(deployment)


def test_digest_needs_no_resolution(deployment: Deployment) -> None:
    deployment.answer(OUR_403)

    resolved = mean(deployment, f"team/tool@{DIGEST}")

    assert (resolved.digest, resolved.problem) == (Digest(DIGEST), None)


def test_artifacts_of_an_image_are_read_by_version(
    cluster: FakeCluster, deployment: Deployment
) -> None:
    prewarmed = Prewarmed()
    prewarmed.add("ACTIVE")
    watching = WarmupReader(settings_of(ladder=["prewarm-api"]), facts=None, prewarming=prewarmed)
    resolved = mean(deployment)

    (observation,) = watching.look([cluster], NOW, [resolved]).observations

    assert resolved.is_seen_in(observation)
    assert [(each.package, each.digest) for each in prewarmed.checked] == [
        ("team/tool", TOOL.digest)
    ]
