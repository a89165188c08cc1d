"""Reports of nodes: a report and what is known of its node as input, a fact as output."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.cluster_event import ImagePulled, ImageStreamed
from shared.domain.disposition import Outcome
from shared.domain.fact import Fact, NodeDetails
from shared.domain.pull_history import PullHistory
from shared.domain.upstream import Upstream
from shared.messages.node_event import parse_log_entry
from shared.pipeline.observe import Decision, find_skip_reason, plan_pull, plan_stream
from shared.pipeline.read_warmup import NodeView, read_node
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.node_reports import (
    CREATED,
    IMAGE_BYTES,
    MIRROR,
    NODE,
    STATEMENT,
    log_entry,
    node_event,
    place_node,
    pod_event,
    pulled_text,
    snapshotter_line,
)
from tests.fakes.warmups import DIGEST, MIRRORS

CLUSTER = str(GPU_CLUSTER)
OWN = "us-central1-docker.pkg.dev/demo/apps/vllm:1"
NODE_DETAILS = NodeDetails(name=NODE, node_pool="l4-spot", accelerator="nvidia-l4")
STREAMING = NodeView(NODE_DETAILS, streams=True, reports=())
NOT_STREAMING = NodeView(NODE_DETAILS, streams=False, reports=())
GONE = NodeView(NodeDetails(name=NODE), streams=None, reports=())


def make_settings(**values: Any) -> Settings:
    return Settings(project="demo", deployment_project="demo", **values)


def parse(entry: dict[str, Any]) -> Any:
    return parse_log_entry(json.dumps(entry).encode())


def workload_event(image: str = MIRROR, seconds: float = 1.5, **change: Any) -> dict[str, Any]:
    fields = {"pod": "trainer-6d9f7c5b8-qk4zt", "namespace": "ml", "container": "trainer"} | change
    return pod_event("Pulled", pulled_text(seconds, image), 60, **fields)


def parse_pull(event: dict[str, Any] | None = None) -> ImagePulled:
    pulled = parse(log_entry(event or workload_event()))
    assert isinstance(pulled, ImagePulled)
    return pulled


def fact_of(decision: Decision) -> Fact:
    """Return the only fact that a decision writes."""
    (action,) = decision.actions
    return action.fact  # type: ignore[union-attr]


# Pulls of workloads


def test_pull_has_every_documented_field() -> None:
    decision = plan_pull(parse_pull(), STREAMING, PullHistory(), make_settings())

    fact = fact_of(decision)
    assert fact.timestamp == CREATED + timedelta(seconds=60)
    assert fact.payload == {
        "event": "pull.observed",
        "image": f"docker.io/anyscale/ray-ml@{DIGEST}",
        "mirror": MIRROR,
        "digest": DIGEST,
        "cluster": CLUSTER,
        "cause": None,
        "workload": "core/v1/namespaces/ml/pods/trainer-6d9f7c5b8-qk4zt",
        "node": NODE,
        "node_pool": "l4-spot",
        "accelerator": "nvidia-l4",
        "pull_seconds": 1.5,
        "image_bytes": IMAGE_BYTES,
        "streamed": "unknown",
        "evidence": [
            {
                "kind": "pull",
                "text": pulled_text(1.5),
                "log": "projects/demo/logs/events",
                "insert_id": "entry-1",
            }
        ],
        "hint": None,
    }
    details = {"fact": "pull.observed", "image": MIRROR, "streamed": "unknown"}
    assert decision.outcome == Outcome("handled", details)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        pytest.param(MIRROR, f"docker.io/anyscale/ray-ml@{DIGEST}", id="mirrored"),
        pytest.param(
            f"{MIRRORS}/anyscale/ray-ml:2.7.0", "docker.io/anyscale/ray-ml:2.7.0", id="by-tag"
        ),
        pytest.param(OWN, OWN, id="own"),
        pytest.param(
            "gcr.io/starling/weights:7", "gcr.io/starling/weights:7", id="container-registry"
        ),
        pytest.param(
            "us-central1-docker.pkg.dev/other/dockerhub-mirror/a/b:1",
            "us-central1-docker.pkg.dev/other/dockerhub-mirror/a/b:1",
            id="mirror-of-another-project",
        ),
        pytest.param(
            "docker.io/anyscale/ray-ml:2.7.0", "docker.io/anyscale/ray-ml:2.7.0", id="docker-hub"
        ),
    ],
)
def test_pull_has_the_name_of_the_upstream(image: str, name: str) -> None:
    event = parse_pull(workload_event(image))

    assert find_skip_reason(event, make_settings()) is None
    payload = fact_of(plan_pull(event, STREAMING, PullHistory(), make_settings())).payload
    assert (payload["image"], payload["mirror"]) == (name, image)


def test_short_name_of_docker_hub_has_its_full_name_beside_it() -> None:
    event = parse_pull(workload_event("nginx"))

    payload = fact_of(plan_pull(event, STREAMING, PullHistory(), make_settings())).payload

    assert (payload["image"], payload["mirror"]) == ("nginx", "docker.io/library/nginx:latest")


@pytest.mark.parametrize(
    ("upstreams", "has_hint"),
    [
        pytest.param({"docker.io": Upstream()}, True, id="mirrored"),
        pytest.param({"docker.io": Upstream(is_mirrored=False)}, False, id="in-place"),
        pytest.param({"ghcr.io": Upstream()}, False, id="not-allowed"),
    ],
)
def test_slow_pull_of_docker_hub_names_the_mirror_if_there_is_one(
    upstreams: dict[str, Upstream], *, has_hint: bool
) -> None:
    event = parse_pull(workload_event("anyscale/ray-ml:2.7.0", seconds=317.0))

    payload = fact_of(
        plan_pull(event, STREAMING, PullHistory(), make_settings(upstreams=upstreams))
    ).payload

    assert payload["streamed"] == "not_streamed"
    assert ("pull it from the mirror" in payload["hint"]) == has_hint


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(
            workload_event("ghcr.io/org/app:1"),
            "the image was not pulled from Artifact Registry",
            id="upstream",
        ),
        pytest.param(
            workload_event("Not An Image"),
            "the image was not pulled from Artifact Registry",
            id="invalid-reference",
        ),
        pytest.param(
            workload_event(namespace="kube-system"),
            "the namespace is a system namespace",
            id="system-namespace",
        ),
        pytest.param(
            workload_event("gke.gcr.io/gcs-fuse-csi-driver-sidecar-mounter:v1"),
            "the image is not a workload's",
            id="sidecar-of-gke",
        ),
        pytest.param(
            workload_event("us-central1-artifactregistry.gcr.io/gke-release/x:v1"),
            "the image is not a workload's",
            id="image-of-gke",
        ),
    ],
)
def test_pull_from_elsewhere_is_ignored(event: dict[str, Any], reason: str) -> None:
    skipped = find_skip_reason(parse_pull(event), make_settings())

    assert skipped is not None
    assert (skipped.disposition, skipped.details["reason"]) == ("ignored", reason)


@pytest.mark.parametrize(
    ("event", "node", "streamed", "severity", "hint"),
    [
        pytest.param(
            workload_event(seconds=317.0),
            NOT_STREAMING,
            "not_streamed",
            "WARNING",
            "turn it on for its node pool",
            id="slow-without-streaming",
        ),
        pytest.param(
            pod_event(
                "Pulled", f'Container image "{MIRROR}" already present on machine', namespace="ml"
            ),
            STREAMING,
            "cached_on_node",
            "INFO",
            None,
            id="present-before",
        ),
        pytest.param(workload_event(), GONE, "unknown", "INFO", None, id="node-is-gone"),
    ],
)
def test_pull_is_judged_by_its_node(
    event: dict[str, Any], node: NodeView, streamed: str, severity: str, hint: str | None
) -> None:
    fact = fact_of(plan_pull(parse_pull(event), node, PullHistory(), make_settings()))

    assert (fact.payload["streamed"], fact.severity) == (streamed, severity)
    found = fact.payload["hint"]
    assert found is None if hint is None else hint in found


@pytest.mark.parametrize(
    ("history", "streamed"),
    [
        pytest.param(PullHistory(), "streamed", id="first"),
        pytest.param(PullHistory(node_held=True), "cached_on_node", id="held-before"),
    ],
)
def test_statement_is_evidence_for_the_first_pull_only(history: PullHistory, streamed: str) -> None:
    reports = (parse_stream(STATEMENT),)
    node = NodeView(NODE_DETAILS, streams=True, reports=reports)

    payload = fact_of(plan_pull(parse_pull(), node, history, make_settings())).payload

    assert payload["streamed"] == streamed


def test_unknown_fields_of_a_pull_are_null() -> None:
    text = f'Container image "{MIRROR}" already present on machine'
    event = parse_pull(pod_event("Pulled", text, namespace="ml"))

    payload = fact_of(plan_pull(event, GONE, PullHistory(), make_settings())).payload

    names = ("node_pool", "accelerator", "pull_seconds", "image_bytes")
    assert {payload[name] for name in names} == {None}
    assert payload["node"] == NODE


@pytest.mark.parametrize(
    ("statement", "seconds", "streamed"),
    [
        pytest.param(STATEMENT, 61, "streamed", id="after-the-pull"),
        pytest.param(STATEMENT, 59, "streamed", id="before-the-pull"),
        pytest.param(STATEMENT, 0, "streamed", id="a-minute-before"),
        pytest.param(STATEMENT, -4, "unknown", id="too-early"),
        pytest.param(STATEMENT, 360, "streamed", id="five-minutes-after"),
        pytest.param(STATEMENT, 361, "unknown", id="too-late"),
        pytest.param(STATEMENT.replace("ray-ml", "ray-llm"), 60, "unknown", id="another-image"),
    ],
)
def test_statement_of_the_node_counts_near_the_pull(
    statement: str, seconds: float, streamed: str
) -> None:
    cluster, event = FakeCluster(), parse_pull()
    place_node(cluster)
    cluster.place(node_event(statement, seconds))

    node = read_node(cluster, NODE, event.pulled, event.origin.timestamp)
    payload = fact_of(plan_pull(event, node, PullHistory(), make_settings())).payload

    assert payload["streamed"] == streamed
    if streamed == "streamed":
        assert payload["evidence"][0]["text"] == STATEMENT


def test_insert_id_distinguishes_pulls_and_not_deliveries() -> None:
    events = (workload_event(), workload_event(), workload_event(pod="trainer-6d9f7c5b8-other"))
    facts = [
        fact_of(plan_pull(parse_pull(each), STREAMING, PullHistory(), make_settings()))
        for each in events
    ]

    ids = [each.insert_id for each in facts]
    assert ids[0] == ids[1] != ids[2]
    assert len({each.timestamp for each in facts}) == 1


# Statements of a node's snapshotter

WRITTEN: list[Any] = [
    pytest.param(log_entry, id="event"),
    pytest.param(lambda event: snapshotter_line(event["message"]), id="line"),
]


def parse_stream(text: str, write: Callable[[Any], dict[str, Any]] = log_entry) -> ImageStreamed:
    streamed = parse(write(node_event(text)))
    assert isinstance(streamed, ImageStreamed)
    return streamed


@pytest.mark.parametrize("write", WRITTEN)
def test_stream_has_every_documented_field(write: Callable[[Any], dict[str, Any]]) -> None:
    decision = plan_stream(parse_stream(STATEMENT, write), make_settings())

    assert fact_of(decision).payload == {
        "event": "stream.observed",
        "image": f"docker.io/anyscale/ray-ml@{DIGEST}",
        "mirror": MIRROR,
        "digest": DIGEST,
        "cluster": CLUSTER,
        "cause": None,
        "node": NODE,
        "layers": 14,
        "streamed_layers": 14,
    }
    assert decision.outcome == Outcome("handled", {"fact": "stream.observed", "image": MIRROR})


def test_layers_without_numbers_are_unknown() -> None:
    event = parse_stream(f"Image {MIRROR} is backed by image streaming.")

    payload = fact_of(plan_stream(event, make_settings())).payload

    assert (payload["layers"], payload["streamed_layers"]) == (None, None)


NOTHING_STREAMED = STATEMENT.replace("0.0% (0/14", "100.0% (14/14").replace(
    "streaming by 100.0% (14/14", "streaming by 0.0% (0/14"
)


@pytest.mark.parametrize("write", WRITTEN)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(NOTHING_STREAMED, "no layer of the image is streamed", id="no-layer"),
        *(
            pytest.param(
                f"Image {image} is backed by image streaming.",
                "the image is not a workload's",
                id=image,
            )
            for image in ("us-central1-artifactregistry.gcr.io/gke-release/x", "gke.gcr.io/pause:3")
        ),
    ],
)
def test_statement_without_a_streamed_image_is_ignored(
    write: Callable[[Any], dict[str, Any]], text: str, reason: str
) -> None:
    decision = plan_stream(parse_stream(text, write), make_settings())

    assert decision.actions == ()
    assert decision.outcome.details["reason"] == reason


def test_repeated_statement_is_the_same_fact() -> None:
    first, second = (
        fact_of(plan_stream(parse_stream(STATEMENT), make_settings())) for _ in range(2)
    )

    assert (first.insert_id, first.timestamp) == (second.insert_id, second.timestamp)
