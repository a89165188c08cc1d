"""The reader of Jobs, facts and artifacts, and the images that it looks for."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cli.status.cluster_groups import ClusterGroups
from cli.status.poll import Poller, WaitRequest
from cli.status.resolved_image import ResolvedImage, resolve_images
from cli.status.warmup_reader import Observations, WarmupReader
from shared.domain.image_reference import Digest, WrittenImage, parse_reference
from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import RepositoryName
from shared.domain.postponement import Postponement
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmRefusedError,
    PrewarmState,
)
from shared.errors import ConfigurationError, ImageError, TransientError
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.mirrors import OUR_403, TOOL, Deployment
from tests.fakes.node_reports import (
    end,
    mark,
    place_warmup,
)
from tests.fakes.observations import IMAGE, NOW, Facts, Prewarmed
from tests.fakes.warmups import DIGEST, make_node


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
    mark(end(place_warmup(cluster)))
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


@pytest.mark.parametrize(
    ("location", "project", "is_known", "is_seen"),
    [
        pytest.param("us-central1", "demo", False, True, id="region"),
        pytest.param("europe-west4", "demo", False, True, id="far"),
        pytest.param("us-central1", "other", False, False, id="another-project"),
        pytest.param("us-central1", "other", True, True, id="another-project-of-a-known-warmup"),
    ],
)
def test_prewarmed_image_of_another_repository_is_read(
    cluster: FakeCluster,
    facts: Facts,
    location: str,
    project: str,
    *,
    is_known: bool,
    is_seen: bool,
) -> None:
    name = f"{location}-docker.pkg.dev/{project}/apps/trainer"
    prewarmed = Prewarmed()
    prewarmed.repositories = [RepositoryName(project, location, "apps")]
    prewarmed.add("CACHING", name=name)
    if is_known:
        facts.add("no_node", image=f"{name}:1", mirror=f"{name}@{DIGEST}")
    reader = WarmupReader(settings_of(ladder=["prewarm-api"]), facts=facts, prewarming=prewarmed)

    seen = reader.look([cluster, cluster], NOW)

    assert seen.problems == ()
    found = [each for each in seen.observations if each.progress == "warming"]
    assert [(each.image, each.mirror, each.cluster) for each in found] == (
        [(name, name, str(GPU_CLUSTER))] if is_seen else []
    )


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


def mean(
    deployment: Deployment, text: str = "team/tool:1.0", cluster: FakeCluster | None = None
) -> ResolvedImage:
    image = WrittenImage.parse(text)
    return resolve_images(deployment.mirrors, image, cluster or FakeCluster(), NOW)


def test_tag_is_resolved_by_its_mirror(deployment: Deployment) -> None:
    resolved = mean(deployment)

    assert resolved.digest == TOOL.digest
    assert resolved.mirror == "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/tool"


def test_tag_without_its_mirror_has_no_digest() -> None:
    resolved = mean(Deployment({"dry_run": True}))

    assert (resolved.digest, resolved.problem) == (None, "its mirror does not exist yet")


def test_image_that_is_not_allowed_has_the_hint(deployment: Deployment) -> None:
    resolved = mean(deployment, "strange.example/tool:1")

    assert resolved.digest is None
    assert "strange.example" in (resolved.problem or "")
    assert "upstreams" in (resolved.hint or "")


def test_limited_upstream_is_not_asked(deployment: Deployment) -> None:
    cluster, until = FakeCluster(), NOW + timedelta(hours=6)
    source = deployment.mirrors.locate(parse_reference("team/tool:1.0"), "us-central1")
    record = Postponement.of(source, ImageError("postponed", "slow", hint="wait", not_before=until))
    assert record is not None
    cluster.create_job(record.body("prestream"))
    deployment.registry.asked.clear()

    resolved = mean(deployment, cluster=cluster)

    assert deployment.registry.asked == []
    assert (resolved.digest, resolved.problem, resolved.not_before) == (None, "slow", until)


def test_record_of_a_limit_that_is_over_or_unreadable_is_ignored(deployment: Deployment) -> None:
    cluster = FakeCluster()
    cluster.fail("fetch_job", TransientError("no answer"))

    assert mean(deployment, cluster=cluster).digest == TOOL.digest


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


class PerPlatform(Prewarmed):
    """Artifact Registry, with a state for each platform."""

    def __init__(self, states: Mapping[str, PrewarmState]) -> None:
        super().__init__()
        self.states = states

    def check(self, version: ArtifactVersion, *, location: str) -> PrewarmedArtifact | None:
        super().check(version, location=location)
        if version.platform not in self.states:
            return None
        self.artifacts.clear()
        self.add(self.states[version.platform])
        return replace(self.artifacts[0], digest=version.digest)


@pytest.mark.parametrize(
    ("states", "progress"),
    [
        pytest.param({"linux/amd64": "ACTIVE", "linux/arm64": "ACTIVE"}, ["good"], id="both"),
        pytest.param({"linux/amd64": "ACTIVE"}, [], id="one-is-missing"),
        pytest.param(
            {"linux/amd64": "ACTIVE", "linux/arm64": "CACHING"}, ["warming"], id="one-is-cached"
        ),
        pytest.param({}, [], id="none"),
    ],
)
def test_image_is_prewarmed_once_every_platform_of_the_nodes_is(
    cluster: FakeCluster,
    deployment: Deployment,
    states: Mapping[str, PrewarmState],
    progress: list[str],
) -> None:
    cluster.place(make_node("gpu-1"))
    cluster.place(make_node("gpu-2", arch="arm64"))
    cluster.place(make_node("cpu-1", accelerator=None))
    prewarmed = PerPlatform(states)
    reader = WarmupReader(settings_of(ladder=["prewarm-api"]), facts=None, prewarming=prewarmed)

    seen = reader.look([cluster], NOW, [mean(deployment, "team/pair:1.0")])

    assert [each.progress for each in seen.observations] == progress
    assert {each.platform for each in prewarmed.checked} == {"linux/amd64", "linux/arm64"}


def test_unreadable_nodes_are_reported_and_have_the_default_platform(
    cluster: FakeCluster, deployment: Deployment
) -> None:
    cluster.fail("list_nodes", ConfigurationError("403 nodes"))
    prewarmed = Prewarmed()
    prewarmed.add("ACTIVE")
    reader = WarmupReader(settings_of(ladder=["prewarm-api"]), facts=None, prewarming=prewarmed)

    seen = reader.look([cluster], NOW, [mean(deployment, "team/pair:1.0")])

    assert "403 nodes" in str(seen.problems[0])
    assert [each.platform for each in prewarmed.checked] == ["linux/amd64"]


def test_poll_asks_a_limited_upstream_no_second_time(deployment: Deployment) -> None:
    deployment.answer(RegistryRefusalError(429, "TOOMANYREQUESTS", "slow down"))
    deployment.registry.asked.clear()
    images, groups = (WrittenImage.parse("team/tool:1.0"),), ClusterGroups((), (FakeCluster(),))
    reader = WarmupReader(settings_of(), facts=None)
    poller = Poller(WaitRequest(images, groups), reader, deployment.mirrors)

    resolved = [poller.look()[1][0] for _ in range(3)]

    assert all(each.not_before is not None for each in resolved)
    assert len(deployment.registry.asked) == 1
