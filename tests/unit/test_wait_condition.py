"""The gate before a rollout: it opens for what was seen warm, in the version that is meant now."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from cli.status.resolved_image import ResolvedImage
from cli.status.wait_condition import Baseline, WaitCondition, WaitResult, WaitTarget
from cli.status.warmup_reader import Observations, Problem
from cli.status.warmup_state import Observation
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import Digest, WrittenImage
from shared.domain.image_state import Progress
from shared.errors import TransientError
from tests.fakes.clusters import GPU_CLUSTER, START
from tests.fakes.warmups import DIGEST, HELPER_DIGEST, MIRRORS

PERIOD = timedelta(hours=48)
NOW = START + timedelta(hours=1)
NAME = f"{MIRRORS}/anyscale/ray-ml"
IMAGE = "anyscale/ray-ml:2.7.0"
TWIN = ClusterName("demo", "us-central1", "twin")


def saw(progress: Progress, **changes: Any) -> Observation:
    fields: dict[str, Any] = {
        "image": IMAGE,
        "mirror": NAME,
        "digest": DIGEST,
        "cluster": str(GPU_CLUSTER),
        "target": "l4",
        "at": START,
        "reason": "the reason" if progress == "bad" else None,
        "hint": "The hint." if progress == "bad" else None,
    }
    merged = fields | changes
    return Observation(
        progress=progress, **{"key": f"key of {progress} {merged['target']}"} | merged
    )


def judge(
    *observations: Observation,
    targets: Iterable[str] = (),
    clusters: Iterable[ClusterName] = (GPU_CLUSTER,),
    digest: str | None = DIGEST,
    problems: tuple[Problem, ...] = (),
    **gate: Any,
) -> WaitResult:
    names = tuple(clusters)
    wish = WaitTarget(
        image=IMAGE, place="us-central1", clusters=tuple(map(str, names)), targets=tuple(targets)
    )
    resolved = [
        ResolvedImage(
            written=WrittenImage.parse(IMAGE),
            cluster=name,
            mirror=NAME,
            digest=None if digest is None else Digest(digest),
        )
        for name in names
    ]
    return WaitCondition(PERIOD, **gate).judge(
        wish, resolved, Observations(observations, problems), NOW
    )


@pytest.mark.parametrize(
    ("job", "verdict"),
    [
        pytest.param("warm-ray-ml-1", "pending", id="another-warmup-can-replace-the-job"),
        pytest.param(None, "failed", id="no-rung-can-serve"),
    ],
)
def test_image_that_a_node_held_is_not_warm(job: str | None, verdict: str) -> None:
    answer = judge(saw("held", job=job, outcome="already_present"))

    assert (answer.verdict, answer.state) == (verdict, "held")
    assert answer.outcome == "already_present"


def test_image_that_a_node_held_before_the_request_is_pending() -> None:
    held = saw("held", outcome="already_present")

    answer = judge(held, earlier=Baseline.of(Observations((held,)), force=False))

    assert (answer.verdict, answer.state) == ("pending", None)


def test_image_that_was_pulled_is_warm() -> None:
    answer = judge(saw("good"))

    assert (answer.verdict, answer.state) == ("warm", "warm")


def test_unseen_image_is_not_warm() -> None:
    answer = judge()

    assert (answer.verdict, answer.state) == ("pending", None)


def test_another_version_of_the_tag_is_not_warm() -> None:
    assert judge(saw("good"), digest=HELPER_DIGEST).verdict == "pending"


def test_image_of_unknown_version_is_not_warm() -> None:
    assert judge(saw("good"), digest=None).verdict == "pending"


def test_image_pulled_a_period_ago_is_not_warm() -> None:
    answer = judge(saw("good", at=NOW - PERIOD))

    assert (answer.verdict, answer.state) == ("pending", "due")
    assert "a period ago" in (answer.reason or "")


def test_every_recently_requested_target_counts() -> None:
    warm, running = saw("good"), saw("warming", target="a100")
    stale = saw("good", target="h100", at=NOW - PERIOD)

    assert judge(warm, running).state == "warming"
    assert judge(warm, saw("bad", target="a100")).verdict == "failed"
    assert judge(warm, stale).verdict == "warm"


def test_target_that_is_named_has_to_be_warm_and_others_do_not_matter() -> None:
    warm, failed = saw("good"), saw("bad", target="a100")

    assert judge(warm, failed, targets=["l4"]).verdict == "warm"
    assert judge(warm, failed, targets=["l4", "a100"]).verdict == "failed"
    assert judge(warm, targets=["l4", "h100"]).verdict == "pending"


def test_target_is_known_by_its_configured_name_too() -> None:
    derived = saw("good", target="nvidia-l4-6af5d1")

    answer = judge(derived, targets=["l4"], aliases={"nvidia-l4-6af5d1": "l4"})

    assert answer.verdict == "warm"


def test_prewarmed_image_is_warm_for_every_target_of_the_region() -> None:
    assert judge(saw("good", target=None), targets=["l4", "a100"]).verdict == "warm"


def test_failure_has_its_reason_and_its_hint() -> None:
    answer = judge(saw("bad", outcome="pull_failed"))

    assert (answer.verdict, answer.outcome) == ("failed", "pull_failed")
    assert (answer.reason, answer.hint) == ("the reason", "The hint.")


def test_failure_without_a_digest_is_matched_by_name() -> None:
    unknown = saw(
        "bad", digest=None, mirror=None, target=None, image="docker.io/anyscale/ray-ml:2.7.0"
    )

    assert judge(unknown, digest=None).verdict == "failed"
    assert judge(saw("bad", digest=None, mirror=None, target=None, image="x")).verdict == "pending"


def test_failure_is_not_the_end_while_another_warmup_is_under_way() -> None:
    failed, again = saw("bad"), saw("waiting", at=START + timedelta(minutes=1))

    answer = judge(failed, again)

    assert (answer.verdict, answer.state) == ("pending", "waiting")


def test_one_cluster_of_a_region_is_enough() -> None:
    pair = (GPU_CLUSTER, TWIN)

    assert judge(saw("good", cluster=str(TWIN)), clusters=pair).verdict == "warm"
    assert judge(saw("bad", cluster=str(TWIN)), clusters=pair).verdict == "failed"
    assert judge(saw("bad"), saw("good", cluster=str(TWIN)), clusters=pair).verdict == "warm"


def test_cluster_that_cannot_be_read_may_still_turn_out_well() -> None:
    problem = Problem("no Jobs", TransientError("503"), str(TWIN))

    answer = judge(saw("bad"), clusters=(GPU_CLUSTER, TWIN), problems=(problem,))

    assert answer.verdict == "pending"


def test_earlier_failure_does_not_count() -> None:
    before = saw("bad")
    earlier = Baseline.of(Observations((before,)), force=False)

    assert judge(before, earlier=earlier).verdict == "pending"
    assert judge(before, saw("bad", key="new"), earlier=earlier).verdict == "failed"


def test_earlier_warmup_counts_unless_the_request_is_forced() -> None:
    before = saw("good")

    kept = Baseline.of(Observations((before,)), force=False)
    insisted = Baseline.of(Observations((before,)), force=True)

    assert judge(before, earlier=kept).verdict == "warm"
    assert judge(before, earlier=insisted).verdict == "pending"
    assert judge(before, saw("good", key="new"), earlier=insisted).verdict == "warm"
