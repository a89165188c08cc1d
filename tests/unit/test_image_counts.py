"""The images of a cluster by state, counted from the states on their targets."""

from datetime import timedelta
from typing import Any

import pytest

from cli.status.image_counts import count_images
from cli.status.warmup_state import Observation, combine
from shared.domain.image_state import Progress
from tests.fakes.clusters import GPU_CLUSTER, START
from tests.fakes.warmups import DIGEST, HELPER_DIGEST, MIRRORS

PERIOD = timedelta(hours=48)
NOW = START + 3 * PERIOD
OTHER: dict[str, Any] = {"image": "team/other:1", "mirror": f"{MIRRORS}/team/other"}


def saw(progress: Progress, hours: float = 1.0, **changes: Any) -> Observation:
    """Return a warmup that ended, or was created, some hours ago."""
    fields: dict[str, Any] = {
        "key": f"{progress} {hours} {changes}",
        "image": "team/app:1",
        "mirror": f"{MIRRORS}/team/app",
        "digest": DIGEST,
        "cluster": str(GPU_CLUSTER),
        "target": "l4",
        "at": NOW - timedelta(hours=hours),
    }
    return Observation(progress=progress, **(fields | changes))


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param([saw("good"), saw("good", **OTHER)], {"warm": 2}, id="two-images"),
        pytest.param([saw("good"), saw("held", **OTHER)], {"warm": 1, "held": 1}, id="held"),
        pytest.param([saw("waiting"), saw("warming", **OTHER)], {"warming": 2}, id="under-way"),
        pytest.param([saw("good", 49)], {"due": 1}, id="due"),
        pytest.param([saw("good"), saw("bad", target="h100")], {"failed": 1}, id="worst-target"),
        pytest.param([saw("good"), saw("held", target="h100")], {"held": 1}, id="held-on-one"),
        pytest.param([saw("good"), saw("good", 49, target="h100")], {"warm": 1}, id="unused"),
        pytest.param([saw("bad"), saw("good", target=None)], {"warm": 1}, id="prewarmed"),
        pytest.param(
            [saw("bad", 5, digest=HELPER_DIGEST), saw("good")], {"warm": 1}, id="older-version"
        ),
        pytest.param(
            [saw("good", 5, digest=HELPER_DIGEST), saw("bad")], {"failed": 1}, id="newer-version"
        ),
        pytest.param([saw("bad", outcome="not_allowed")], {"not_eligible": 1}, id="not-allowed"),
        pytest.param(
            [saw("bad", outcome="misconfigured", reason="wrong_region: it is far")],
            {"not_eligible": 1},
            id="wrong-region",
        ),
        pytest.param(
            [saw("bad", outcome="misconfigured", reason="another upstream")],
            {"failed": 1},
            id="misconfigured",
        ),
        pytest.param(
            [saw("bad", outcome="not_allowed", target=None), saw("good")],
            {"warm": 1},
            id="allowed-since",
        ),
    ],
)
def test_each_image_counts_once(seen: list[Observation], counts: dict[str, int]) -> None:
    found = count_images(combine(seen, NOW, PERIOD))

    assert {state: number for state, number in found.items() if number} == counts
