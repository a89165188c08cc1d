"""Every limit is judged for its own deliveries, and for no others."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from tools.bench.calls import Call, CountedCalls
from tools.bench.crowds import Crowd
from tools.bench.figures import compare
from tools.bench.measuring import Sample
from tools.bench.probing import group_modules, name_growth
from tools.bench.scenarios import list_scenarios
from tools.bench.stages import CallsOfADelivery
from tools.bench.targets import Target, judge_calls, judge_crowd, judge_figures

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SCENARIOS = list_scenarios(NOON)

MANIFEST = Call("registry", "GET /v2/demo/hub/app/manifests/1", 0.0)
JOB = Call("kubernetes", "GET /apis/batch/v1/namespaces/prestream/jobs/warm-app", 0.1)
POST = Call("kubernetes", "POST /apis/batch/v1/namespaces/prestream/jobs", 0.2)


def judge(sample: Sample) -> dict[tuple[str, str], Target]:
    """Judge a run in which each function of ours came to one sample, and both bases to another."""
    base = Sample(1.0, 100, 100.0, 0.01)
    bases = {"blank", "naive"}
    samples = {each.name: [base if each.function in bases else sample] for each in SCENARIOS}
    naive = {each.kind: each.name for each in SCENARIOS if each.function == "naive"}
    others = {each.name: naive[each.kind] for each in SCENARIOS if each.function not in bases}
    figures = compare(samples, SCENARIOS[0].name, others)
    return {(each.group, each.subject): each for each in judge_figures(SCENARIOS, figures)}


def test_each_limit_to_the_blank_function_is_judged_where_it_was_set() -> None:
    judged = judge(Sample(1.0, 100, 100.0, 0.01))

    limits = {
        subject: each.limit for (group, subject), each in judged.items() if group[3:] == "blank"
    }

    detectors = ("build_notification", "registry_push", "audit_log")
    expected = {
        "image_reference: known reference": (2.3, 2.2),
        "pull_event: fact written": (2.8, 2.7),
    }
    expected |= {f"{each}: published": (2.0, 2.2) for each in detectors}
    expected |= {f"{each}: ignored": (1.2, 1.25) for each in detectors}
    named = {f"{name}, cold start": cold for name, (cold, _) in expected.items()}
    named |= {f"{name}, memory": memory for name, (_, memory) in expected.items()}
    named |= {f"{each}: ignored, rate": 0.85 for each in detectors}
    assert limits == named


def test_nothing_may_be_worse_than_the_naive_function() -> None:
    even = judge(Sample(1.0, 100, 100.0, 0.01))
    worse = judge(Sample(1.01, 101, 99.0, 0.01))

    for judged, are_met in ((even, True), (worse, False)):
        naive = [each for (group, _), each in judged.items() if group == "to naive"]
        assert len(naive) == 3 * sum(each.function not in {"blank", "naive"} for each in SCENARIOS)
        assert {each.is_met for each in naive} == {are_met}


@pytest.mark.parametrize(
    ("cold", "warm", "missed"),
    [
        pytest.param((MANIFEST, JOB), (), set(), id="what is allowed"),
        pytest.param((MANIFEST, MANIFEST, JOB), (), {"manifest requests"}, id="asked twice"),
        pytest.param((MANIFEST, JOB, JOB), (), {"Kubernetes calls"}, id="read twice"),
        pytest.param((MANIFEST, JOB), (JOB,), {"within the memory"}, id="forgotten"),
        pytest.param((MANIFEST, JOB, Call("logging", "POST /", 0.0)), (), {"others"}, id="a fact"),
    ],
)
def test_known_reference_may_cost_no_more_calls(
    cold: tuple[Call, ...], warm: tuple[Call, ...], missed: set[str]
) -> None:
    known = CallsOfADelivery(SCENARIOS[0], cold, warm)
    new = CallsOfADelivery(SCENARIOS[0], (MANIFEST, JOB, JOB, JOB, POST, JOB), (MANIFEST, POST))

    judged = list(judge_calls(known, {"one platform": new}))

    assert {each.subject.partition(", ")[2] for each in judged if not each.is_met} == missed
    assert Counter(each.measured for each in judged[4:]) == {5: 1, 2: 1}


def test_crowd_is_judged_for_each_distinct_image() -> None:
    crowd = Crowd(
        events=100, images=10, seconds=1.0, cpu_s=1.0, pss_bytes=1, calls=25, services={},
        manifest_requests=12, job_posts=13, handled=100,
    )  # fmt: skip

    manifests, posts = judge_crowd(crowd)

    assert (manifests.measured, manifests.is_met) == (1.2, True)
    assert (posts.measured, posts.is_met) == (1.3, False)


def test_modules_are_counted_by_where_they_come_from() -> None:
    names = ["google.api_core.retry", "google.api_core", "json.decoder", "shared.errors", "grpc._x"]

    counted = group_modules(names)

    assert counted == {
        "google.api_core": 2,
        "grpc": 1,
        "shared": 1,
        "standard library": 1,
    }
    assert name_growth(names, counted) == {}
    assert name_growth([*names, "grpc.aio"], counted) == {"grpc": ["grpc._x", "grpc.aio"]}
    assert name_growth(["kubernetes"], {}) == {"kubernetes": ["kubernetes"]}


def test_only_calls_of_functions_are_counted() -> None:
    counted = CountedCalls()

    for call in (
        "Push projects/demo/subscriptions/prestream-audit-log",
        "Publish projects/demo/topics/prestream-audit",
        "Publish projects/demo/topics/prestream-gke-events",
        "Publish projects/demo/topics/prestream-image-references",
    ):
        counted.hit("pubsub", call)

    (left,) = counted.take()
    assert left.kind == "pubsub: Publish projects/demo/topics/prestream-image-references"
    assert counted.take() == []
