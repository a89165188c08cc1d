"""A mirror is proven by the service accounts of the nodes that pull from it."""

import json
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from shared.domain.action import CountPullFailure, DistrustMirror, ProveMirror, RecordPull
from shared.domain.node_accounts import (
    ACCOUNTS_ANNOTATION,
    FailedPuller,
    MirrorPulls,
    NodeAccounts,
    Puller,
    node_accounts_of,
)
from shared.pipeline.read_accounts import read_failed_puller, read_puller
from shared.pipeline.track_proven import (
    CountedFailure,
    find_recent_failures,
    plan_distrust,
    plan_proof,
)
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.node_reports import JOB, end, job_event, pod_event
from tests.fakes.observers import ObservedWarmup
from tests.fakes.proofs import (
    BEFORE,
    HUB,
    NOON,
    PULL,
    RAY,
    UNAVAILABLE,
    VLLM,
    make_config_map,
    make_failure,
)
from tests.fakes.warmups import MIRRORS, make_node

A, B, C = "a@demo", "b@demo", "c@demo"
KNOWN = frozenset({A, B, C})


def with_pulls(
    entry: str | None = None, pulled: Collection[str] = (), failed: Collection[str] = ()
) -> dict[str, Any]:
    """Return the ConfigMap with the accounts that pulled from a mirror, or failed to."""
    config_map = make_config_map(entry)
    if pulled or failed:
        pulls = MirrorPulls(frozenset(pulled), frozenset(failed)).as_json()
        config_map["metadata"]["annotations"] = {
            ACCOUNTS_ANNOTATION: json.dumps({"docker.io": pulls})
        }
    return config_map


def describe(actions: Sequence[Any]) -> Any:
    """Return whether the mirror is proven, or the accounts that are recorded."""
    if not actions:
        return None
    (action,) = actions
    if isinstance(action, ProveMirror):
        return "proven"
    assert isinstance(action, RecordPull)
    recorded = MirrorPulls.read(action.patch, "docker.io")
    return sorted(recorded.pulled), sorted(recorded.failed)


@pytest.mark.parametrize(
    ("config_map", "account", "required", "expected"),
    [
        pytest.param(with_pulls(), A, {A}, "proven", id="one-account"),
        pytest.param(with_pulls(), A, set(), "proven", id="no-other-account-has-a-ready-node"),
        pytest.param(with_pulls(), A, {B}, ([A], []), id="another-account-has-a-ready-node"),
        pytest.param(with_pulls(pulled={A}), B, {A, B}, "proven", id="last-account"),
        pytest.param(with_pulls(pulled={A}), A, {B}, None, id="same-account-again"),
        pytest.param(with_pulls(pulled={A}), B, {C}, ([A, B], []), id="third-account-is-left"),
        pytest.param(with_pulls(), None, set(), None, id="account-is-unknown"),
        pytest.param(with_pulls(HUB, {A}), B, {C}, None, id="proven-already"),
        pytest.param(with_pulls("off"), A, set(), None, id="pinned-off"),
        pytest.param(
            with_pulls(pulled={A, C}, failed={B}), A, set(), None, id="another-account-failed"
        ),
        pytest.param(
            with_pulls(pulled={A, C}, failed={B}), B, set(), "proven", id="failed-account-pulls"
        ),
        pytest.param(
            with_pulls(pulled={C}, failed={A, B}), B, set(), ([B, C], [A]), id="two-accounts-failed"
        ),
        pytest.param(
            with_pulls(failed={"gone@demo"}), A, set(), "proven", id="failed-account-is-gone"
        ),
    ],
)
def test_mirror_is_proven_by_all_accounts_with_a_ready_node(
    config_map: dict[str, Any], account: str | None, required: set[str], expected: Any
) -> None:
    puller = Puller(account, frozenset(required), KNOWN)

    assert describe(plan_proof(PULL, config_map, puller)) == expected


def test_proof_clears_the_accounts_of_its_upstream_only() -> None:
    config_map = with_pulls(pulled={A})
    other = {"nvcr.io": MirrorPulls(frozenset({C})).as_json()}
    annotations = config_map["metadata"]["annotations"]
    annotations[ACCOUNTS_ANNOTATION] = json.dumps(
        json.loads(annotations[ACCOUNTS_ANNOTATION]) | other
    )

    (prove,) = plan_proof(PULL, config_map, Puller(B, frozenset(), KNOWN))

    assert isinstance(prove, ProveMirror)
    assert json.loads(prove.patch["metadata"]["annotations"][ACCOUNTS_ANNOTATION]) == other


@pytest.mark.parametrize(
    ("failures", "account", "pulls"),
    [
        pytest.param(None, A, MirrorPulls(frozenset({B, C}), frozenset({A})), id="denied"),
        pytest.param(
            {"pod-1": CountedFailure(BEFORE, VLLM, B)},
            A,
            MirrorPulls(frozenset({C}), frozenset({A, B})),
            id="counted-before",
        ),
        pytest.param(None, None, MirrorPulls(), id="unknown"),
    ],
)
def test_only_accounts_that_failed_prove_a_distrusted_mirror(
    failures: dict[str, CountedFailure] | None, account: str | None, pulls: MirrorPulls
) -> None:
    config_map, puller = make_config_map(HUB, failures), FailedPuller(account, KNOWN)

    _, distrust = plan_distrust(make_failure(), PULL, config_map, GPU_CLUSTER, puller)

    assert isinstance(distrust, DistrustMirror)
    assert MirrorPulls.read(distrust.patch, "docker.io") == pulls


def test_counted_failure_keeps_its_account() -> None:
    failure, puller = make_failure(message=UNAVAILABLE), FailedPuller(A, KNOWN)

    (count,) = plan_distrust(failure, PULL, make_config_map(HUB), GPU_CLUSTER, puller)

    assert isinstance(count, CountPullFailure)
    recent = find_recent_failures(count.patch, "docker.io", NOON)
    assert recent == {"pod-3": CountedFailure(NOON, RAY, A)}


@pytest.mark.parametrize("text", ["[[", "[]", '{"docker.io": 5}', '{"docker.io": {"pulled": 1}}'])
def test_invalid_accounts_count_as_none(text: str) -> None:
    config_map = make_config_map()
    config_map["metadata"]["annotations"] = {ACCOUNTS_ANNOTATION: text}

    assert MirrorPulls.read(config_map, "docker.io") == MirrorPulls()


ACCOUNTS = NodeAccounts({"l4": A, "h100": B, "cpu": C}, frozenset({"l4", "h100"}))


def make_cluster(**ready: bool) -> FakeCluster:
    """Return a cluster with a node of each pool, ready or not."""
    cluster = FakeCluster()
    for pool, is_ready in ready.items():
        labels = {"cloud.google.com/gke-nodepool": pool}
        node = cluster.place(make_node(f"node-{pool}", labels=labels))
        if not is_ready:
            node["status"]["conditions"] = []
    return cluster


@pytest.mark.parametrize(
    ("node", "pulled", "account", "required"),
    [
        pytest.param("node-l4", (), A, {B}, id="accelerators"),
        pytest.param("node-cpu", (), C, {A, B}, id="other-pool"),
        pytest.param("node-l4", (B,), A, set(), id="others-have-pulled"),
        pytest.param("gone", (), None, {A, B}, id="node-is-gone"),
        pytest.param(None, (), None, {A, B}, id="no-node"),
    ],
)
def test_account_is_that_of_the_nodes_pool(
    node: str | None, pulled: Collection[str], account: str | None, required: set[str]
) -> None:
    cluster = make_cluster(l4=True, h100=True, cpu=True)

    puller = read_puller(cluster, ACCOUNTS, node, MirrorPulls(frozenset(pulled)))

    assert puller == Puller(account, frozenset(required), KNOWN)
    assert read_failed_puller(cluster, ACCOUNTS, node) == FailedPuller(account, KNOWN)


def test_pool_without_a_ready_node_is_not_required() -> None:
    cluster = make_cluster(l4=True, h100=False)

    assert read_puller(cluster, ACCOUNTS, "node-l4", MirrorPulls()).required == set()


def test_one_account_costs_no_reads() -> None:
    cluster, accounts = FakeCluster(), NodeAccounts({"l4": A, "cpu": A}, frozenset({"l4"}))

    puller = read_puller(cluster, accounts, "node-l4", MirrorPulls())

    assert (puller, cluster.calls) == (Puller(A, frozenset(), frozenset({A})), [])
    assert read_failed_puller(cluster, None, "node-l4") == FailedPuller()


def make_scene(reason: str | None) -> ObservedWarmup:
    """Return a cluster whose two accelerator pools have an account each."""
    scene = ObservedWarmup(reason)
    pools = {"l4-spot": A, "h100": B}
    scene.cluster.accounts = NodeAccounts(pools, frozenset(pools))
    labels = {"cloud.google.com/gke-nodepool": "h100"}
    scene.cluster.place(make_node("node-h100", labels=labels))
    return scene


def read_pulls(scene: ObservedWarmup) -> MirrorPulls:
    return MirrorPulls.read(scene.cluster.config_maps["proven-mirrors"], "docker.io")


def test_warmup_of_one_account_does_not_prove_the_mirror_for_another() -> None:
    scene = make_scene("CompletionsReached")
    scene.place_proven({})

    outcome = scene.happen(job_event("Completed"))

    assert "proven" not in outcome.details
    assert (scene.proven, read_pulls(scene)) == ({}, MirrorPulls(frozenset({A})))

    scene.cluster.nodes["node-h100"]["status"]["conditions"] = []
    assert scene.happen(job_event("Completed")).details["proven"] == "docker.io"
    assert (scene.proven, read_pulls(scene)) == ({"docker.io": MIRRORS}, MirrorPulls())


def test_refused_account_has_to_prove_the_mirror_again() -> None:
    scene = make_scene(None)
    scene.place_proven({"docker.io": MIRRORS})
    text = f'Failed to pull image "{MIRRORS}/a/b:1": 403 Forbidden'

    scene.happen(pod_event("Failed", text, namespace="ml", pod="trainer", node="node-h100"))
    assert read_pulls(scene) == MirrorPulls(frozenset({A}), frozenset({B}))
    scene.cluster.nodes["node-h100"]["status"]["conditions"] = []
    end(scene.cluster.jobs[JOB])
    scene.happen(job_event("Completed"))

    assert scene.proven == {}


POOLS = [
    {"name": "l4", "config": {"accelerators": [{}], "serviceAccount": A}},
    {"name": "cpu", "config": {}},
]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"nodePools": POOLS},
            NodeAccounts({"l4": A, "cpu": "default"}, frozenset({"l4"})),
            id="pools",
        ),
        pytest.param({"nodePools": POOLS, "autopilot": {"enabled": True}}, None, id="autopilot"),
        pytest.param(
            {"nodePools": POOLS, "autoscaling": {"enableNodeAutoprovisioning": True}},
            None,
            id="auto-provisioning",
        ),
    ],
)
def test_accounts_are_those_of_the_node_pools(
    body: dict[str, Any], expected: NodeAccounts | None
) -> None:
    assert node_accounts_of(body) == expected
