"""Which pull of an image on a node was the first, and which ones are restarts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.cluster_event import ImagePulled, Origin
from shared.domain.kubelet_messages import Pulled
from shared.domain.pull_history import PullHistory, find_history, is_repeated

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
BY_TAG, BY_DIGEST = f"{MIRROR}:2.7.0", f"{MIRROR}@sha256:" + "5f2d" * 16
START = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
NEVER, HELD = PullHistory(), PullHistory(node_held=True)
RESTART = PullHistory(node_held=True, is_restart=True)


def pull(
    ended: float,
    *,
    took: float | None = 7.9,
    pod: str = "a",
    image: str = BY_TAG,
    size: int | None = 9_700_000_000,
    node: str = "n1",
    **more: Any,
) -> ImagePulled:
    """Return a pull that ended so many seconds after the start."""
    origin = Origin(
        cluster="c",
        kind="Pod",
        name=pod,
        namespace=more.pop("namespace", "ml"),
        uid=f"uid-of-{pod}",
        node=node,
        event_uid=more.pop("event_uid", f"event-{pod}-{ended:g}"),
        timestamp=START + timedelta(seconds=ended),
        message="said",
        **more,
    )
    return ImagePulled(origin, Pulled(image, took, size, already_present=took is None))


QUICK = pull(30, took=0.2, pod="b")


@pytest.mark.parametrize(
    ("other", "history"),
    [
        pytest.param(pull(8), HELD, id="another-pod-pulled-it"),
        pytest.param(pull(30), HELD, id="and-ended-in-the-same-second"),
        pytest.param(pull(31, took=2.0), HELD, id="and-its-event-came-later"),
        pytest.param(pull(8, took=None, size=None), HELD, id="another-pod-found-it"),
        pytest.param(pull(8, image=BY_DIGEST), HELD, id="by-digest-with-the-same-size"),
        pytest.param(pull(8, size=None), HELD, id="of-the-same-name-and-unknown-size"),
        pytest.param(pull(8, size=9), NEVER, id="the-tag-moved"),
        pytest.param(pull(8, image=BY_DIGEST, size=None), NEVER, id="a-digest-of-unknown-tag"),
        pytest.param(pull(8, image=f"{MIRROR}-x:2.7.0"), NEVER, id="another-repository"),
        pytest.param(pull(8, image="Not An Image"), NEVER, id="not-an-image"),
        pytest.param(pull(8, node="n2"), NEVER, id="on-another-node"),
        pytest.param(pull(40, took=0.3), NEVER, id="later"),
        pytest.param(pull(8, pod="b"), RESTART, id="the-same-pod"),
        pytest.param(pull(40, took=0.3, pod="b"), NEVER, id="the-same-pod-later"),
        pytest.param(pull(8, pod="b", namespace="evil"), HELD, id="an-event-of-another-namespace"),
        pytest.param(QUICK, NEVER, id="the-pull-itself"),
    ],
)
def test_history_has_the_earlier_pulls_of_the_image(
    other: ImagePulled, history: PullHistory
) -> None:
    assert find_history(QUICK, [other]) == history


def test_digests_are_compared_before_sizes() -> None:
    other = pull(8, image=f"{MIRROR}@sha256:" + "0bad" * 16)

    assert find_history(replace(QUICK, pulled=Pulled(BY_DIGEST, 0.2)), [other]) == NEVER


@pytest.mark.parametrize("order", [1, -1])
def test_exactly_one_of_several_pulls_is_the_first(order: int) -> None:
    pulls = [
        pull(8, pod="a"),
        *(pull(8, took=0.2, pod=pod) for pod in "bcd"),
        pull(9, took=None, size=None, pod="e"),
    ][::order]

    held = {each.origin.name: find_history(each, pulls).node_held for each in pulls}

    assert held == {"a": False, "b": True, "c": True, "d": True, "e": True}


def test_first_of_two_equal_pulls_is_the_same_for_both() -> None:
    pulls = [pull(8, took=0.2, pod=pod) for pod in "ab"]

    assert [find_history(each, pulls).node_held for each in pulls] == [False, True]


def test_event_that_is_folded_into_the_first_is_a_restart() -> None:
    folded = replace(QUICK, origin=replace(QUICK.origin, first_timestamp=START))

    assert find_history(QUICK, [folded]) == RESTART


@pytest.mark.parametrize(
    ("first", "repeated"), [(None, False), (30.0, False), (0.0, False), (-1.0, True), (60.0, False)]
)
def test_event_shows_that_it_is_repeated(first: float | None, *, repeated: bool) -> None:
    seen = None if first is None else START + timedelta(seconds=first)

    assert is_repeated(pull(30, first_timestamp=seen)) is repeated
