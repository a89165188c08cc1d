"""Decisions about proven mirrors: a ConfigMap and a pull as input, actions as output."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.action import (
    CountPullFailure,
    DistrustMirror,
    ProveMirror,
    WriteFact,
)
from shared.domain.node_accounts import (
    FailedPuller,
)
from shared.domain.upstream import Upstream
from shared.pipeline.track_proven import (
    FAILURES_ANNOTATION,
    CountedFailure,
    MirrorPull,
    counts_against_mirror,
    find_mirror_pull,
    find_recent_failures,
    plan_distrust,
    plan_proof,
)
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.proofs import (
    ABSENT,
    DENIED,
    HUB,
    NOON,
    NOW_COUNTED,
    OTHER_IMAGE,
    PULL,
    RAY,
    SAME_IMAGE,
    UNAVAILABLE,
    VLLM,
    make_config_map,
    make_failure,
    write_counted,
)


def make_patch(
    entry: str | None, failures: Mapping[str, CountedFailure] | None = None
) -> dict[str, Any]:
    """Return the patch of the entry for docker.io."""
    counted = write_counted(failures or {})
    annotation = json.dumps({"docker.io": counted}) if counted else None
    return {
        "metadata": {"resourceVersion": "7", "annotations": {FAILURES_ANNOTATION: annotation}},
        "data": {"docker.io": entry},
    }


@pytest.mark.parametrize(
    ("pulled", "settings", "expected"),
    [
        pytest.param(f"{HUB}/anyscale/ray-ml:2.7.0", {}, PULL, id="mirror"),
        pytest.param(
            f"{HUB}/anyscale/ray-ml:2.7.0",
            {"upstreams": {"docker.io": Upstream(paths=("anyscale/*",))}},
            MirrorPull(PULL.upstream, HUB, ("anyscale/*",)),
            id="mirror-with-paths",
        ),
        pytest.param("us-central1-docker.pkg.dev/demo/apps/trainer:v1", {}, None, id="own"),
        pytest.param("docker.io/anyscale/ray-ml:2.7.0", {}, None, id="upstream"),
        pytest.param("Not An Image", {}, None, id="invalid"),
        pytest.param(
            "us-central1-docker.pkg.dev/other/dockerhub-mirror/a/b:1", {}, None, id="foreign"
        ),
    ],
)
def test_only_pulls_from_our_mirrors_count(
    pulled: str, settings: dict[str, Any], expected: MirrorPull | None
) -> None:
    configured = Settings(project="demo", deployment_project="demo", **settings)

    assert find_mirror_pull(pulled, configured) == expected


@pytest.mark.parametrize(
    ("config_map", "paths", "entry"),
    [
        pytest.param(make_config_map(), (), HUB, id="new"),
        pytest.param(make_config_map(HUB), (), None, id="proven-already"),
        pytest.param(make_config_map(), ("anyscale/*",), f"{HUB} anyscale/*", id="with-paths"),
        pytest.param(make_config_map("off"), (), None, id="pinned-off"),
        pytest.param(make_config_map(f"off {HUB}"), (), None, id="pinned-off-with-mirror"),
        pytest.param(make_config_map(f"on {HUB}"), (), None, id="pinned-on"),
        pytest.param(
            make_config_map("us-docker.pkg.dev/demo/dockerhub-mirror !acme/*"),
            (),
            f"{HUB} !acme/*",
            id="exclusion-is-kept",
        ),
        pytest.param(make_config_map("what is this?"), (), HUB, id="invalid-is-replaced"),
        pytest.param(make_config_map(None, SAME_IMAGE), (), HUB, id="counts-are-cleared"),
        pytest.param(None, (), None, id="no-config-map"),
    ],
)
def test_successful_pull_proves_its_mirror(
    config_map: dict[str, Any] | None, paths: tuple[str, ...], entry: str | None
) -> None:
    actions = plan_proof(MirrorPull(PULL.upstream, HUB, paths), config_map)

    expected = (ProveMirror("docker.io", make_patch(entry)),) if entry is not None else ()
    assert actions == expected


LIMITED = "429 Too Many Requests"
WAITING = FailedPuller(waiting=("ml/pod-3", "ml/pod-4"))


@pytest.mark.parametrize("message", [LIMITED, UNAVAILABLE])
@pytest.mark.parametrize(
    ("config_map", "counted"),
    [
        pytest.param(make_config_map(HUB), NOW_COUNTED, id="first"),
        pytest.param(
            make_config_map(HUB, {"pod-1": CountedFailure(NOON - timedelta(minutes=11), VLLM)}),
            NOW_COUNTED,
            id="old-failure-expires",
        ),
        pytest.param(make_config_map(HUB, SAME_IMAGE), None, id="same-image-counts-once"),
        pytest.param(make_config_map(HUB, "[["), NOW_COUNTED, id="invalid-annotation"),
        pytest.param(make_config_map(HUB, "[]"), NOW_COUNTED, id="annotation-is-a-list"),
        pytest.param(
            make_config_map(HUB, '{"docker.io": {"pod-1": "noon"}}'),
            NOW_COUNTED,
            id="invalid-time",
        ),
        pytest.param(make_config_map("off", OTHER_IMAGE), None, id="pinned-off"),
        pytest.param(make_config_map(f"on {HUB}", OTHER_IMAGE), None, id="pinned-on"),
        pytest.param(make_config_map(None, OTHER_IMAGE), None, id="not-proven"),
        pytest.param(None, None, id="no-config-map"),
    ],
)
def test_failed_pull_of_an_image_is_counted(
    config_map: dict[str, Any] | None, counted: dict[str, CountedFailure] | None, message: str
) -> None:
    failure = make_failure(message=message)

    actions = plan_distrust(failure, PULL, config_map, GPU_CLUSTER)

    expected = () if counted is None else (CountPullFailure("docker.io", make_patch(HUB, counted)),)
    assert actions == expected


@pytest.mark.parametrize(
    ("message", "failures", "is_distrusted"),
    [
        pytest.param(DENIED, None, True, id="denied"),
        pytest.param(DENIED, SAME_IMAGE, True, id="denied-after-a-failure"),
        pytest.param(DENIED, OTHER_IMAGE, True, id="denied-after-another-image"),
        pytest.param(UNAVAILABLE, OTHER_IMAGE, True, id="second-image-is-unavailable"),
        pytest.param(LIMITED, OTHER_IMAGE, True, id="second-image-is-limited"),
        pytest.param(UNAVAILABLE, None, False, id="one-image"),
        pytest.param(UNAVAILABLE, SAME_IMAGE, False, id="same-image"),
    ],
)
def test_mirror_becomes_distrusted_with_the_fact_first(
    message: str, failures: dict[str, CountedFailure] | None, *, is_distrusted: bool
) -> None:
    failure, config_map = make_failure(message=message), make_config_map(HUB, failures)

    actions = plan_distrust(failure, PULL, config_map, GPU_CLUSTER, WAITING)

    if not is_distrusted:
        assert not any(isinstance(each, DistrustMirror) for each in actions)
        return
    write, distrust = actions
    assert distrust == DistrustMirror("docker.io", make_patch(None))
    assert isinstance(write, WriteFact)
    assert write.of_change
    payload = write.fact.payload
    assert write.fact.event == "mirror.distrusted"
    assert (write.fact.severity, write.fact.timestamp) == ("WARNING", NOON)
    assert (payload["upstream"], payload["pods"]) == ("docker.io", ["ml/pod-3", "ml/pod-4"])
    assert payload["image"] == "docker.io/anyscale/ray-ml:2.7.0"
    assert payload["mirror"] == f"{HUB}/anyscale/ray-ml:2.7.0"
    assert payload["evidence"][0]["text"] == message


@pytest.mark.parametrize(
    ("entry", "message"),
    [("off", DENIED), (f"on {HUB}", DENIED), (None, DENIED), ("off", UNAVAILABLE)],
)
def test_pinned_or_unproven_mirror_is_not_distrusted(entry: str | None, message: str) -> None:
    config_map = make_config_map(entry, OTHER_IMAGE)

    assert plan_distrust(make_failure(message=message), PULL, config_map, GPU_CLUSTER) == ()


def test_fact_names_a_limited_number_of_pods() -> None:
    pods = tuple(f"ml/pod-{number}" for number in range(70))

    write, _ = plan_distrust(
        make_failure(), PULL, make_config_map(HUB), GPU_CLUSTER, FailedPuller(waiting=pods)
    )

    assert isinstance(write, WriteFact)
    assert write.fact.payload["pods"] == list(pods[:50])
    assert "(20 more pods wait)" in write.fact.payload["hint"]


def test_many_pods_of_one_image_are_counted_once() -> None:
    config_map: Mapping[str, Any] = make_config_map(HUB)
    for number in range(20):
        failure = make_failure(f"pod-{number}", UNAVAILABLE)
        for action in plan_distrust(failure, PULL, config_map, GPU_CLUSTER):
            assert isinstance(action, CountPullFailure)
            config_map = action.patch

    assert find_recent_failures(config_map, "docker.io", NOON).keys() == {"pod-0"}


def test_count_of_another_upstream_is_kept() -> None:
    other = json.dumps({"nvcr.io": {"pod-9": NOON.isoformat()}})

    (prove,) = plan_proof(PULL, make_config_map(None, other))

    assert isinstance(prove, ProveMirror)
    assert prove.patch["metadata"]["annotations"] == {FAILURES_ANNOTATION: other}


@pytest.mark.parametrize(
    ("message", "counts"),
    [
        pytest.param(DENIED, True, id="denied"),
        pytest.param("503 Service Unavailable", True, id="unavailable"),
        pytest.param("429 Too Many Requests", True, id="limited"),
        pytest.param("x509: certificate signed by unknown authority", True, id="tls"),
        pytest.param(ABSENT, False, id="absent"),
        pytest.param("archive/tar: invalid tar header", False, id="damaged"),
        pytest.param("could not fetch content descriptor x: not found", False, id="content-lost"),
        pytest.param("no space left on device", False, id="disk-full"),
        pytest.param("something new", False, id="unknown"),
    ],
)
def test_only_a_fault_that_affects_other_images_counts(message: str, *, counts: bool) -> None:
    assert counts_against_mirror(make_failure(message=message)) is counts


def test_failures_outside_the_window_are_not_recent() -> None:
    times = {
        "early": NOON - timedelta(minutes=10, seconds=1),
        "first": NOON - timedelta(minutes=10),
        "last": NOON + timedelta(minutes=10),
        "late": NOON + timedelta(minutes=10, seconds=1),
    }

    failures = {name: CountedFailure(at, RAY) for name, at in times.items()}

    recent = find_recent_failures(make_config_map(HUB, failures), "docker.io", NOON)

    assert recent.keys() == {"first", "last"}
