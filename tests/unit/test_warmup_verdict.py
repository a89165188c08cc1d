"""Whether the pull of a warmup was streamed, from what is known of its node."""

from typing import Any

import pytest

from shared.domain.warmup_job import (
    HOLDING_ANNOTATION,
    LACKING_ANNOTATION,
)
from tests.fakes.ended_warmups import EndedScene
from tests.fakes.node_reports import (
    IMAGE_BYTES,
    JOB,
    MIRROR,
    NODE,
    STATEMENT,
    at,
    node_event,
    place_node,
    place_pod,
    pod_event,
    pulled_text,
)
from tests.fakes.warmups import DIGEST


@pytest.fixture
def scene() -> EndedScene:
    return EndedScene()


def test_statement_of_the_snapshotter_is_evidence(scene: EndedScene) -> None:
    scene.warm(pod_event("Pulled", pulled_text(1.5), 60), node_event(STATEMENT, 61))

    payload = scene.report()

    assert payload["streamed"] == "streamed"
    assert [each["text"] for each in payload["evidence"]] == [STATEMENT, pulled_text(1.5)]


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [
        pytest.param(60 - 42 - 61, False, id="long-before-the-pull-began"),
        pytest.param(60 - 42 - 59, True, id="just-before"),
        pytest.param(60, True, id="at-its-end"),
        pytest.param(60 + 299, True, id="some-minutes-after"),
        pytest.param(60 + 301, False, id="long-after"),
    ],
)
def test_statement_counts_near_the_pull(scene: EndedScene, seconds: float, *, counts: bool) -> None:
    scene.warm(pod_event("Pulled", pulled_text(42), 60), node_event(STATEMENT, seconds))

    assert (scene.report()["streamed"] == "streamed") is counts


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(node_event(STATEMENT.replace("ray-ml", "ray-llm"), 60), id="another-image"),
        pytest.param(
            node_event(STATEMENT.replace(DIGEST, "sha256:" + "0" * 64), 60),
            id="another-digest",
        ),
        pytest.param(node_event(STATEMENT, 60, node="gke-gpu-l4-2"), id="another-node"),
        pytest.param(node_event(STATEMENT, 60, component="gcfsd"), id="another-component"),
        pytest.param(
            node_event(STATEMENT.replace("100.0% (14/14", "0.0% (0/14"), 60), id="no-layer"
        ),
    ],
)
def test_other_statements_do_not_count(scene: EndedScene, statement: dict[str, Any]) -> None:
    scene.warm(pod_event("Pulled", pulled_text(42), 60), statement)

    assert scene.report()["streamed"] != "streamed"


def test_fast_pull_of_a_lacking_node_is_likely_streamed(scene: EndedScene) -> None:
    place_node(scene.cluster, images=[MIRROR])
    job = scene.warm(pod_event("Pulled", pulled_text(1.5), 60))
    job["metadata"]["annotations"][LACKING_ANNOTATION] = f"gke-gpu-l4-0,{NODE}"

    assert scene.report()["streamed"] == "likely_streamed"


@pytest.mark.parametrize(
    ("created", "pulled", "lacked"),
    [
        pytest.param(-1, 60, False, id="before-the-warmup"),
        pytest.param(1, 60, True, id="after-the-warmup"),
        pytest.param(500, 600, True, id="long-after-the-warmup"),
        pytest.param(1, 600, False, id="long-before-the-pull"),
    ],
)
def test_node_that_joins_after_the_warmup_lacks_the_image(
    scene: EndedScene, created: float, pulled: float, *, lacked: bool
) -> None:
    scene.warm(pod_event("Pulled", pulled_text(40), pulled))
    scene.cluster.nodes[NODE]["metadata"]["creationTimestamp"] = at(created)

    kinds = [each["kind"] for each in scene.report()["evidence"]]

    assert ("node_without_image" in kinds) is lacked


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("off", id="streaming-is-off"),
        pytest.param("gone", id="the-node-is-gone"),
        pytest.param("late", id="the-image-may-have-come-meanwhile"),
        pytest.param("elsewhere", id="another-node-lacked-it"),
        pytest.param("renamed", id="a-workload-brought-it-under-the-upstreams-name"),
    ],
)
def test_fast_pull_is_unknown_in_doubt(scene: EndedScene, change: str) -> None:
    pull = pod_event("Pulled", pulled_text(1.5), 600 if change == "late" else 60)
    job = scene.warm(pull)
    lacking = "gke-gpu-l4-0" if change == "elsewhere" else NODE
    job["metadata"]["annotations"][LACKING_ANNOTATION] = lacking
    if change == "off":
        place_node(scene.cluster, streaming=False)
    elif change == "gone":
        scene.cluster.nodes.clear()
    elif change == "renamed":
        place_node(scene.cluster, images=[MIRROR, f"docker.io/anyscale/ray-ml@{DIGEST}"])

    assert scene.report()["streamed"] == "unknown"


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(f"{MIRROR.partition('@')[0]}@sha256:{'0bad' * 16}", id="mirror"),
        pytest.param(f"docker.io/anyscale/ray-ml@sha256:{'0bad' * 16}", id="upstream"),
    ],
)
def test_fast_pull_of_the_next_version_is_unknown(scene: EndedScene, image: str) -> None:
    job = scene.warm(pod_event("Pulled", pulled_text(0.06), 60))
    place_node(scene.cluster, images=[image, MIRROR])
    job["metadata"]["annotations"][LACKING_ANNOTATION] = NODE

    assert scene.report()["streamed"] == "unknown"


def test_fast_pull_is_unknown_if_the_node_does_not_list_all_images(scene: EndedScene) -> None:
    job = scene.warm(pod_event("Pulled", pulled_text(0.06), 60))
    place_node(scene.cluster, images=[f"r.io/{n}@sha256:{n:064x}" for n in range(50)])
    job["metadata"]["annotations"][LACKING_ANNOTATION] = NODE

    assert scene.report()["streamed"] == "unknown"


@pytest.mark.parametrize("statements", [(), (node_event(STATEMENT, 59),)])
def test_pull_of_a_holding_node_is_cached(
    scene: EndedScene, statements: tuple[dict[str, Any], ...]
) -> None:
    job = scene.warm(pod_event("Pulled", pulled_text(0.4), 60), *statements)
    job["metadata"]["annotations"][HOLDING_ANNOTATION] = NODE

    payload = scene.report()

    assert (payload["outcome"], payload["streamed"]) == ("already_present", "cached_on_node")
    assert "does not hold it" in payload["hint"]


@pytest.mark.parametrize(
    ("node", "outcome", "streamed"),
    [
        pytest.param(NODE, "already_present", "cached_on_node", id="the-same-node"),
        pytest.param("gke-gpu-l4-2", "pulled", "streamed", id="another-node"),
    ],
)
def test_pull_after_another_warmup_of_the_node_is_cached(
    scene: EndedScene, node: str, outcome: str, streamed: str
) -> None:
    earlier = pod_event("Pulled", pulled_text(7.9), 58, pod="warm-earlier-abcde", node=node)
    place_pod(scene.cluster, "warm-earlier-abcde", job="warm-earlier", node=node)
    scene.warm(earlier, pod_event("Pulled", pulled_text(0.3), 60), node_event(STATEMENT, 59))

    payload = scene.report()

    assert (payload["outcome"], payload["streamed"]) == (outcome, streamed)


def test_pull_of_the_jobs_first_pod_counts_after_a_disruption(scene: EndedScene) -> None:
    scene.warm(pod_event("Pulled", pulled_text(7.9), 60), node_event(STATEMENT, 59))
    second = place_pod(scene.cluster, f"{JOB}-second", seconds=70)["metadata"]["name"]
    scene.cluster.place(pod_event("Pulled", pulled_text(0.3), 75, pod=second))

    payload = scene.report()

    assert (payload["outcome"], payload["streamed"]) == ("pulled", "streamed")
    assert payload["pull_seconds"] == 7.9


def test_failed_layer_is_evidence(scene: EndedScene) -> None:
    text = f'Layer download failed. Layer id: "sha256:1", image: "{MIRROR}"'
    scene.warm(
        pod_event("Pulled", pulled_text(42), 60),
        node_event(text, 50, component="gcfsd"),
    )

    payload = scene.report()

    assert payload["streamed"] == "not_streamed"
    assert payload["evidence"][0]["text"] == text


def test_lost_pull_is_judged_by_the_snapshotter(scene: EndedScene) -> None:
    scene.warm(node_event(STATEMENT, 85))

    payload = scene.report()

    assert (payload["streamed"], payload["pull_seconds"]) == ("streamed", None)
    assert payload["image_bytes"] == IMAGE_BYTES
