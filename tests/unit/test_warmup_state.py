"""What is warm, warming, waiting, due or failed: nothing is warm that was not seen warm."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from cli.status.warmup_reader import Observations, ResolvedImage, WarmupReader, resolve_images
from cli.status.warmup_state import WarmupState, combine
from shared.domain.image_reference import Digest, WrittenImage
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmRefusedError,
    PrewarmState,
)
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import end_of_period, period_of
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.report_warmup import describe_job
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.mirrors import OUR_403, TOOL, Deployment
from tests.fakes.node_reports import (
    CREATED,
    NOT_FOUND,
    at,
    end,
    place_pod,
    place_warmup,
    pod_event,
    pulled_text,
)
from tests.fakes.warmups import DIGEST, MIRRORS

PERIOD = timedelta(hours=48)
NOW = CREATED + timedelta(minutes=5)
IMAGE = "anyscale/ray-ml:2.7.0"
NAME = f"{MIRRORS}/anyscale/ray-ml"


class Facts:
    """The log of facts, to read."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []
        self.error: Exception | None = None
        self.asked: list[str] = []

    def read(self, since: datetime, more: str = "") -> Iterator[Mapping[str, Any]]:
        self.asked.append(more)
        if self.error is not None:
            raise self.error
        yield from (each for each in self.entries if parse_time(each["timestamp"]) >= since)

    def add(self, outcome: str, seconds: float = 60, **fields: Any) -> None:
        payload = {
            "event": "warmup.finished",
            "image": IMAGE,
            "mirror": f"{NAME}@{DIGEST}",
            "digest": DIGEST,
            "cluster": str(GPU_CLUSTER),
            "target": "nvidia-l4-6af5d1",
            "outcome": outcome,
            **fields,
        }
        self.entries.append(
            {
                "insertId": f"entry-{len(self.entries)}",
                "timestamp": at(seconds),
                "jsonPayload": payload,
            }
        )


class Prewarmed:
    """Artifact Registry's API, to read what is prewarmed."""

    def __init__(self) -> None:
        self.artifacts: list[PrewarmedArtifact] = []
        self.checked: list[ArtifactVersion] = []
        self.error: Exception | None = None

    def add(self, state: PrewarmState, *, hours: float = 72, region: str = "us-central1") -> None:
        self.artifacts.append(
            PrewarmedArtifact(
                digest=DIGEST,
                location=region,
                state=state,
                expires=NOW + timedelta(hours=hours),
                uri=f"{NAME}@{DIGEST}",
                error="no room" if state == "FAILED" else "",
            )
        )

    def check(self, version: ArtifactVersion, *, location: str) -> PrewarmedArtifact | None:
        self.checked.append(version)
        return next(iter(self._find(location)), None)

    def list_artifacts(self, repository: RepositoryName) -> Iterator[PrewarmedArtifact]:
        if "dockerhub" in str(repository):
            yield from self._find(None)

    def _find(self, region: str | None) -> list[PrewarmedArtifact]:
        if self.error is not None:
            raise self.error
        return [each for each in self.artifacts if region in {None, each.location}]


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


def stand(
    cluster: FakeCluster, facts: Facts | None = None, now: datetime = NOW
) -> list[WarmupState]:
    return combine(look(cluster, facts, now).observations, now, PERIOD)


def test_a_job_that_is_complete_is_warm_until_its_period_has_passed(cluster: FakeCluster) -> None:
    end(place_warmup(cluster))

    (warmup,) = stand(cluster)
    (later,) = stand(cluster, now=CREATED + PERIOD + timedelta(minutes=2))

    assert (warmup.state, warmup.since) == ("warm", parse_time(at(90)))
    assert (warmup.image, warmup.digest, warmup.mirror) == (IMAGE, DIGEST, NAME)
    assert warmup.last is not None
    assert warmup.last.outcome == "pulled"
    assert later.state == "due"


def test_it_falls_due_when_a_warmup_would_get_another_name(cluster: FakeCluster) -> None:
    end(place_warmup(cluster))

    (warmup,) = stand(cluster)

    seconds = PERIOD.total_seconds()
    assert warmup.due is not None
    assert warmup.due == end_of_period(CREATED, DIGEST, seconds)
    before = warmup.due - timedelta(seconds=1)
    assert period_of(warmup.due, DIGEST, seconds) == period_of(CREATED, DIGEST, seconds) + 1
    assert period_of(before, DIGEST, seconds) == period_of(CREATED, DIGEST, seconds)


def test_a_job_whose_turn_has_not_come_waits_and_one_that_has_its_turn_warms(
    cluster: FakeCluster,
) -> None:
    job = place_warmup(cluster)
    job["spec"]["suspend"] = True
    (waiting,) = stand(cluster)

    job["spec"]["suspend"] = False
    (warming,) = stand(cluster)

    assert (waiting.state, warming.state) == ("waiting", "warming")
    assert (waiting.last, waiting.due) == (None, None)


def test_a_renewal_takes_nothing_from_what_was_seen_before(cluster: FakeCluster) -> None:
    end(place_warmup(cluster, "warm-ray-ml-first"))
    place_warmup(cluster, "warm-ray-ml-second")

    (warmup,) = stand(cluster)
    (cold,) = stand(cluster, now=CREATED + PERIOD * 2)

    assert warmup.state == "warm"
    assert warmup.under_way is not None
    assert warmup.under_way.job == "warm-ray-ml-second"
    assert cold.state == "warming"


def test_a_warmup_that_failed_after_one_that_ended_well_is_what_counts(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster, "warm-ray-ml-first"), seconds=20)
    end(place_warmup(cluster, "warm-ray-ml-second"), "BackoffLimitExceeded", seconds=90)

    (warmup,) = stand(cluster)

    assert warmup.state == "failed"


def test_why_a_job_failed_is_read_from_the_cluster_until_its_fact_is_there(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster), "PodFailurePolicy")
    place_pod(cluster)
    cluster.place(pod_event("Failed", NOT_FOUND))

    (warmup,) = stand(cluster)

    assert warmup.last is not None
    assert (warmup.state, warmup.last.outcome) == ("failed", "pull_failed")
    assert warmup.last.reason == "the registry has no such image"
    assert warmup.last.hint


def test_a_container_that_could_not_start_after_its_pull_has_warmed_its_image(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster), "BackoffLimitExceeded")
    place_pod(cluster)
    cluster.place(pod_event("Pulled", pulled_text()))

    (warmup,) = stand(cluster)

    assert warmup.state == "warm"


def test_the_fact_of_a_job_says_how_it_ended_and_is_no_second_warmup(
    cluster: FakeCluster, facts: Facts
) -> None:
    job = end(place_warmup(cluster), "BackoffLimitExceeded")
    described = describe_job(cluster, job)
    assert described is not None
    facts.add("pull_failed", reason="the layer is broken", hint="Push it again.")
    facts.entries[0] = {**facts.entries[0], "insertId": described.insert_id}

    (warmup,) = stand(cluster, facts)

    assert warmup.last is not None
    assert (warmup.last.outcome, warmup.last.reason) == ("pull_failed", "the layer is broken")
    assert len(warmup.observations) == 1


def test_a_failure_of_which_nothing_is_left_but_the_job_is_a_failure_all_the_same(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster), "BackoffLimitExceeded")

    (warmup,) = stand(cluster, now=NOW + timedelta(hours=5))

    assert warmup.state == "failed"
    assert warmup.as_json()["reason"] is None
    assert "list_events" not in cluster.calls


@pytest.mark.parametrize(
    ("outcome", "state"), [("prewarmed", "warm"), ("not_allowed", "failed"), ("no_node", "failed")]
)
def test_a_warmup_without_a_job_is_known_by_its_fact(
    cluster: FakeCluster, facts: Facts, outcome: str, state: str
) -> None:
    facts.add(outcome, target=None)

    (warmup,) = stand(cluster, facts)

    assert (warmup.state, warmup.target, warmup.as_json()["job"]) == (state, None, None)


def test_facts_of_other_clusters_and_of_other_kinds_say_nothing(
    cluster: FakeCluster, facts: Facts
) -> None:
    facts.add("pulled", cluster="projects/demo/locations/us-central1/clusters/other")
    facts.add("pulled", event="pull.observed")
    facts.add("pulled", image=7)
    facts.add("postponed", not_before="soon")
    facts.entries.append({"insertId": "x", "timestamp": at(60), "jsonPayload": "text"})

    assert stand(cluster, facts) == []


def test_without_the_facts_the_jobs_are_told_and_what_is_missing_is_said(
    cluster: FakeCluster, facts: Facts
) -> None:
    end(place_warmup(cluster))
    facts.error = ConfigurationError("403 logging.logEntries.list")

    seen = look(cluster, facts)

    assert [each.progress for each in seen.observations] == ["good"]
    assert [str(each) for each in seen.problems] == [
        "the facts cannot be read: 403 logging.logEntries.list"
    ]


def test_a_cluster_whose_jobs_cannot_be_read_is_named(cluster: FakeCluster) -> None:
    cluster.fail("list_jobs", TransientError("503"))

    seen = look(cluster)

    assert seen.observations == ()
    assert [each.cluster for each in seen.problems] == [str(GPU_CLUSTER)]


def test_a_failed_job_whose_pods_cannot_be_read_is_told_without_the_reason(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster), "BackoffLimitExceeded")
    cluster.fail("list_pods", ConfigurationError("403 pods"))

    seen = look(cluster)

    assert [each.progress for each in seen.observations] == ["bad"]
    assert "403 pods" in str(seen.problems[0])


def test_jobs_of_others_are_left_alone(cluster: FakeCluster) -> None:
    job = place_warmup(cluster)
    del job["metadata"]["annotations"]

    assert stand(cluster) == []


def test_only_facts_of_the_images_that_matter_are_read(cluster: FakeCluster, facts: Facts) -> None:
    resolved = ResolvedImage(written=WrittenImage.parse(IMAGE), cluster=GPU_CLUSTER)

    WarmupReader(settings_of(), facts=facts).look([cluster], NOW, [resolved])

    assert facts.asked == ['jsonPayload.event="warmup.finished" AND (jsonPayload.image:"ray-ml")']


@pytest.mark.parametrize(
    ("held", "hours", "state"),
    [
        ("ACTIVE", 72, "warm"),
        ("ACTIVE", -1, "due"),
        ("CACHING", 72, "warming"),
        ("FAILED", 1, "failed"),
    ],
)
def test_active_artifact_is_warm_until_it_expires(
    cluster: FakeCluster, held: PrewarmState, hours: float, state: str
) -> None:
    prewarmed = Prewarmed()
    prewarmed.add(held, hours=hours)
    prewarmed.add("ACTIVE", region="europe-west4")
    watching = WarmupReader(settings_of(ladder=["prewarm-api"]), facts=None, prewarming=prewarmed)

    (warmup,) = combine(watching.look([cluster], NOW).observations, NOW, PERIOD)

    assert (warmup.state, warmup.target) == (state, None)
    assert warmup.image == "docker.io/anyscale/ray-ml"


def test_artifacts_are_not_read_without_the_prewarm_rung(
    cluster: FakeCluster,
) -> None:
    prewarmed = Prewarmed()
    prewarmed.error = AssertionError("asked")

    assert WarmupReader(settings_of(), facts=None, prewarming=prewarmed).look(
        [cluster], NOW
    ) == Observations(())


def test_a_refusal_to_tell_what_is_prewarmed_is_said(cluster: FakeCluster) -> None:
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


def test_a_tag_means_what_its_mirror_answers(deployment: Deployment) -> None:
    resolved = mean(deployment)

    assert resolved.digest == TOOL.digest
    assert resolved.mirror == "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/tool"


def test_without_its_mirror_nobody_knows_what_a_tag_means() -> None:
    resolved = mean(Deployment({"dry_run": True}))

    assert (resolved.digest, resolved.problem) == (None, "its mirror is not made yet")


def test_an_image_that_is_not_allowed_has_the_hint(deployment: Deployment) -> None:
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


def test_a_digest_says_by_itself_what_is_meant(deployment: Deployment) -> None:
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
