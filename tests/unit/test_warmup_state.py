"""The state of an image: it is warm only after a pull that provably filled the cache."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cli.status.warmup_reader import Observations, WarmupReader
from cli.status.warmup_state import WarmupState, combine
from shared.domain.image_reference import parse_reference
from shared.domain.prewarm import (
    PrewarmState,
)
from shared.domain.timestamp import parse_time
from shared.domain.warmup_job import end_of_period, period_of
from shared.pipeline.read_warmup import read_ended_warmup
from shared.pipeline.report_warmup import make_fact
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import FakeCluster
from tests.fakes.node_reports import (
    CREATED,
    NOT_FOUND,
    at,
    end,
    mark,
    place_pod,
    place_warmup,
    pod_event,
    pulled_text,
)
from tests.fakes.observations import IMAGE, NAME, NOW, Facts, Prewarmed
from tests.fakes.warmups import DIGEST

PERIOD = timedelta(hours=48)


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


def test_job_that_is_complete_is_warm_until_its_period_has_passed(cluster: FakeCluster) -> None:
    mark(end(place_warmup(cluster)))

    (warmup,) = stand(cluster)
    (later,) = stand(cluster, now=CREATED + PERIOD + timedelta(minutes=2))

    assert (warmup.state, warmup.since) == ("warm", parse_time(at(90)))
    assert (warmup.image, warmup.digest, warmup.mirror) == (IMAGE, DIGEST, NAME)
    assert warmup.last is not None
    assert warmup.last.outcome == "pulled"
    assert later.state == "due"


def test_image_is_due_when_its_job_name_changes(cluster: FakeCluster) -> None:
    mark(end(place_warmup(cluster)))

    (warmup,) = stand(cluster)

    seconds = PERIOD.total_seconds()
    assert warmup.due is not None
    assert warmup.due == end_of_period(CREATED, DIGEST, seconds)
    before = warmup.due - timedelta(seconds=1)
    assert period_of(warmup.due, DIGEST, seconds) == period_of(CREATED, DIGEST, seconds) + 1
    assert period_of(before, DIGEST, seconds) == period_of(CREATED, DIGEST, seconds)


def test_suspended_job_waits_and_resumed_job_warms(
    cluster: FakeCluster,
) -> None:
    job = place_warmup(cluster)
    job["spec"]["suspend"] = True
    (waiting,) = stand(cluster)

    job["spec"]["suspend"] = False
    (warming,) = stand(cluster)

    assert (waiting.state, warming.state) == ("waiting", "warming")
    assert (waiting.last, waiting.due) == (None, None)


def test_renewal_takes_nothing_from_what_was_seen_before(cluster: FakeCluster) -> None:
    mark(end(place_warmup(cluster, "warm-ray-ml-first")))
    place_warmup(cluster, "warm-ray-ml-second")

    (warmup,) = stand(cluster)
    (cold,) = stand(cluster, now=CREATED + PERIOD * 2)

    assert warmup.state == "warm"
    assert warmup.under_way is not None
    assert warmup.under_way.job == "warm-ray-ml-second"
    assert cold.state == "warming"


def test_warmup_that_failed_after_one_that_ended_well_is_what_counts(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster, "warm-ray-ml-first"), seconds=20)
    end(place_warmup(cluster, "warm-ray-ml-second"), "BackoffLimitExceeded", seconds=90)

    (warmup,) = stand(cluster)

    assert warmup.state == "failed"


def test_reason_comes_from_the_cluster_until_the_fact_exists(
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


def test_container_that_could_not_start_after_its_pull_has_warmed_its_image(
    cluster: FakeCluster,
) -> None:
    end(place_warmup(cluster), "BackoffLimitExceeded")
    place_pod(cluster)
    cluster.place(pod_event("Pulled", pulled_text(99.0)))

    (warmup,) = stand(cluster)

    assert warmup.state == "warm"


WITHOUT_IMAGE = {"kind": "node_without_image", "text": "", "log": None, "insert_id": None}


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        pytest.param({"streamed": "streamed"}, "warm", id="streamed"),
        pytest.param({"streamed": "likely_streamed"}, "warm", id="fast"),
        pytest.param({"streamed": "not_streamed"}, "warm", id="slow"),
        pytest.param({"streamed": "unknown"}, "held", id="nothing-known"),
        pytest.param(
            {"streamed": "unknown", "evidence": [WITHOUT_IMAGE]}, "warm", id="node-lacked-it"
        ),
        pytest.param({"streamed": "unknown", "evidence": ["x", None]}, "held", id="odd-evidence"),
        pytest.param({"streamed": "cached_on_node"}, "held", id="node-held-it"),
    ],
)
def test_pull_warms_only_if_its_node_did_not_hold_the_image(
    cluster: FakeCluster, facts: Facts, fields: dict[str, Any], state: str
) -> None:
    facts.add("pulled", **fields)

    (warmup,) = stand(cluster, facts)

    assert warmup.state == state


def test_image_that_every_node_holds_is_held(cluster: FakeCluster, facts: Facts) -> None:
    facts.add("already_present", job=None)

    assert [each.state for each in stand(cluster, facts)] == ["held"]


@pytest.mark.parametrize(
    ("age", "state"),
    [(PERIOD - timedelta(hours=1), "warm"), (PERIOD + timedelta(hours=1), "held")],
    ids=["within a period", "later"],
)
def test_pull_on_a_node_that_held_the_image_takes_nothing_from_the_one_before(
    cluster: FakeCluster, age: timedelta, state: str
) -> None:
    mark(end(place_warmup(cluster, "warm-ray-ml-first")))
    held = end(place_warmup(cluster, "warm-ray-ml-second"), seconds=120)
    mark(held, "already_present", fills_cache=False)

    (warmup,) = stand(cluster, now=CREATED + age)

    assert warmup.state == state


def test_fact_of_a_job_is_not_a_second_warmup(cluster: FakeCluster, facts: Facts) -> None:
    job = end(place_warmup(cluster), "BackoffLimitExceeded")
    ended = read_ended_warmup(cluster, job)
    assert ended is not None
    described = make_fact(ended)
    facts.add("pull_failed", reason="the layer is broken", hint="Push it again.")
    facts.entries[0] = {**facts.entries[0], "insertId": described.insert_id}

    (warmup,) = stand(cluster, facts)

    assert warmup.last is not None
    assert (warmup.last.outcome, warmup.last.reason) == ("pull_failed", "the layer is broken")
    assert len(warmup.observations) == 1


def test_failed_job_without_pods_and_fact_is_failed(
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
def test_warmup_without_a_job_is_known_by_its_fact(
    cluster: FakeCluster, facts: Facts, outcome: str, state: str
) -> None:
    facts.add(outcome, target=None)

    (warmup,) = stand(cluster, facts)

    assert (warmup.state, warmup.target, warmup.as_json()["job"]) == (state, None, None)


def test_failure_in_a_sweep_is_since_its_request(cluster: FakeCluster, facts: Facts) -> None:
    facts.add("no_node", seconds=-3600, started_at=at(60))

    (warmup,) = stand(cluster, facts)

    assert warmup.since == parse_time(at(60))


def test_end_of_a_job_is_the_time_of_its_fact(cluster: FakeCluster, facts: Facts) -> None:
    facts.add("pull_failed", seconds=90, started_at=at(60), job="warm-ray-ml-first")

    (warmup,) = stand(cluster, facts)

    assert warmup.since == parse_time(at(90))


@pytest.mark.parametrize(
    ("later", "states"),
    [
        pytest.param({"outcome": "pulled"}, {"nvidia-l4-6af5d1": "held"}, id="pulled"),
        pytest.param(
            {"outcome": "pulled", "image": f"docker.io/{IMAGE}"},
            {"nvidia-l4-6af5d1": "held"},
            id="another-spelling",
        ),
        pytest.param({"outcome": "prewarmed", "target": None}, {None: "warm"}, id="prewarmed"),
        pytest.param(
            {"outcome": "no_node"}, {None: "failed", "nvidia-l4-6af5d1": "failed"}, id="failed"
        ),
        pytest.param(
            {"outcome": "pulled", "seconds": 30},
            {None: "failed", "nvidia-l4-6af5d1": "held"},
            id="pulled-before",
        ),
        pytest.param(
            {"outcome": "pulled", "image": "team/other:1"},
            {None: "failed", "nvidia-l4-6af5d1": "held"},
            id="another-image",
        ),
    ],
)
def test_failure_before_the_choice_of_a_target_ends_with_a_later_warmup(
    cluster: FakeCluster, facts: Facts, later: dict[str, Any], states: dict[str | None, str]
) -> None:
    facts.add("pull_failed", target=None, digest=None, mirror=f"{NAME}:2.7.0")
    facts.add(**{"seconds": 90, **later})

    assert {each.target: each.state for each in stand(cluster, facts)} == states


def test_job_shows_nothing_of_an_image_of_another_repository(cluster: FakeCluster) -> None:
    mark(end(place_warmup(cluster)))
    (seen,) = look(cluster).observations
    other = parse_reference("ghcr.io/anyscale/ray-ml:2.7.0")

    assert seen.is_of(parse_reference(IMAGE), NAME, DIGEST)
    mirror = NAME.replace("dockerhub-mirror", "ghcr-io-mirror")
    assert not seen.is_of(other, mirror, DIGEST)


def test_failure_on_a_target_stays(cluster: FakeCluster, facts: Facts) -> None:
    facts.add("no_node")
    facts.add("pulled", seconds=90, target="nvidia-h100")

    assert [each.state for each in stand(cluster, facts)] == ["held", "failed"]


def test_facts_of_other_clusters_and_kinds_are_ignored(cluster: FakeCluster, facts: Facts) -> None:
    facts.add("pulled", cluster="projects/demo/locations/us-central1/clusters/other")
    facts.add("pulled", event="pull.observed")
    facts.add("pulled", image=7)
    facts.add("postponed", not_before="soon")
    facts.entries.append({"insertId": "x", "timestamp": at(60), "jsonPayload": "text"})

    assert stand(cluster, facts) == []


def test_jobs_of_others_are_left_alone(cluster: FakeCluster) -> None:
    job = place_warmup(cluster)
    del job["metadata"]["annotations"]

    assert stand(cluster) == []


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
