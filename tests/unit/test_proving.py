"""Which mirrors are proven in a cluster: what enters, what leaves, and what a person decided."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.cluster_event import ImagePullFailed, Origin
from shared.domain.image_reference import parse_reference
from shared.domain.kubelet_messages import classify_pull_failure
from shared.domain.upstream import Upstream
from shared.errors import TransientError
from shared.pipeline.track_proven import FAILURES_ANNOTATION, Proving
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.facts import FakeFactLog

HUB = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
PULLED = parse_reference(f"{HUB}/anyscale/ray-ml@sha256:{'1' * 64}")
DENIED = (
    f'Failed to pull image "{HUB}/anyscale/ray-ml:2.7.0": rpc error: code = Unknown desc = failed'
    f' to resolve reference "{HUB}/anyscale/ray-ml:2.7.0": unexpected status from HEAD request to'
    " https://us-central1-docker.pkg.dev/v2/demo/dockerhub-mirror/anyscale/ray-ml/manifests/2.7.0:"
    " 403 Forbidden"
)
ABSENT = (
    f'Failed to pull image "{HUB}/anyscale/ray-ml:9": rpc error: code = NotFound desc = failed to'
    f' pull and unpack image "{HUB}/anyscale/ray-ml:9": {HUB}/anyscale/ray-ml:9: not found'
)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Scene:
    """A cluster with the parameter of the policy, and what keeps it."""

    def __init__(self, data: dict[str, str] | None = None, **settings: Any) -> None:
        self.cluster = FakeCluster()
        self.facts = FakeFactLog()
        self.proving = Proving(
            Settings(project="demo", deployment_project="demo", **settings), facts=self.facts
        )
        self.cluster.place(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "proven-mirrors", "namespace": "prestream"},
                "data": {"pullSecrets": "skip", **(data or {})},
            }
        )

    @property
    def data(self) -> dict[str, str]:
        data: dict[str, str] = self.cluster.config_maps["proven-mirrors"]["data"]
        return data

    def prove(self) -> str | None:
        return self.proving.prove(self.cluster, PULLED)

    def fail(self, pod: str, message: str = DENIED, at: datetime = NOON) -> str | None:
        event = ImagePullFailed(
            Origin(
                cluster=str(GPU_CLUSTER),
                kind="Pod",
                name=pod,
                namespace="ml",
                uid=pod,
                timestamp=at,
                message=message,
            ),
            f"{HUB}/anyscale/ray-ml:2.7.0",
            classify_pull_failure(message),
        )
        return self.proving.count_failure(self.cluster, event, PULLED)


def test_a_mirror_that_a_node_pulled_from_is_proven() -> None:
    scene = Scene()

    assert scene.prove() == "docker.io"
    assert scene.data == {"pullSecrets": "skip", "docker.io": HUB}


def test_to_prove_twice_is_to_prove_once() -> None:
    scene = Scene()
    scene.prove()
    before = scene.cluster.config_maps["proven-mirrors"]["metadata"]["resourceVersion"]

    assert scene.prove() is None
    assert scene.cluster.config_maps["proven-mirrors"]["metadata"]["resourceVersion"] == before


def test_of_an_upstream_with_paths_only_these_are_proven() -> None:
    scene = Scene(upstreams={"docker.io": Upstream(paths=("anyscale/*",))})

    scene.prove()

    assert scene.data["docker.io"] == f"{HUB} anyscale/*"


@pytest.mark.parametrize("pinned", ["off", f"on {HUB}", f"off {HUB}"])
def test_what_a_person_pinned_stays(pinned: str) -> None:
    scene = Scene({"docker.io": pinned})

    assert scene.prove() is None
    assert [scene.fail(f"pod-{number}") for number in range(5)] == [None] * 5
    assert scene.data["docker.io"] == pinned
    assert scene.facts.facts == []


def test_what_a_person_excluded_stays_excluded() -> None:
    scene = Scene({"docker.io": "us-docker.pkg.dev/demo/dockerhub-mirror !acme/*"})

    scene.prove()

    assert scene.data["docker.io"] == f"{HUB} !acme/*"


def test_an_entry_that_somebody_broke_is_mended_by_the_next_proof() -> None:
    scene = Scene({"docker.io": "what is this?"})

    scene.prove()

    assert scene.data["docker.io"] == HUB


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("us-central1-docker.pkg.dev/demo/apps/trainer:v1", id="own-repository"),
        pytest.param("docker.io/anyscale/ray-ml:2.7.0", id="upstream"),
        pytest.param("us-central1-docker.pkg.dev/other/dockerhub-mirror/a/b:1", id="foreign"),
    ],
)
def test_what_is_no_mirror_of_ours_proves_nothing(text: str) -> None:
    scene = Scene()

    assert scene.proving.prove(scene.cluster, parse_reference(text)) is None
    assert scene.cluster.calls == []


def test_without_the_parameter_nothing_is_kept() -> None:
    scene = Scene()
    scene.cluster.config_maps.clear()

    assert scene.prove() is None
    assert scene.fail("pod-1") is None


def test_a_dry_run_keeps_the_parameter_as_it_is() -> None:
    scene = Scene({"docker.io": HUB}, dry_run=True)

    for number in range(4):
        assert scene.fail(f"pod-{number}") is None
    assert scene.data["docker.io"] == HUB


def test_a_change_meanwhile_is_met_by_trying_again() -> None:
    scene = Scene()
    scene.cluster.fail("patch_config_map", TransientError("the API server is away"))

    with pytest.raises(TransientError):
        scene.prove()


def test_pulls_that_fail_for_several_pods_take_the_mirror_out_with_a_fact() -> None:
    scene = Scene({"docker.io": HUB, "quay.io": "off"})

    assert [scene.fail(f"pod-{number}") for number in range(3)] == [None, None, "docker.io"]

    assert scene.data == {"pullSecrets": "skip", "quay.io": "off"}
    (fact,) = scene.facts.facts
    assert fact.event == "mirror.distrusted"
    assert (fact.payload["upstream"], fact.payload["pods"]) == ("docker.io", 3)
    assert fact.payload["image"].startswith("docker.io/anyscale/ray-ml")
    assert fact.payload["mirror"].startswith(f"{HUB}/anyscale/ray-ml")
    assert fact.severity == "WARNING"
    assert fact.payload["evidence"][0]["text"] == DENIED


def test_one_pod_that_tries_again_counts_once() -> None:
    scene = Scene({"docker.io": HUB})

    for minute in range(6):
        scene.fail("pod-1", at=NOON + timedelta(minutes=minute))

    assert scene.data["docker.io"] == HUB


def test_failures_that_lie_far_apart_do_not_add_up() -> None:
    scene = Scene({"docker.io": HUB})

    for number in range(5):
        scene.fail(f"pod-{number}", at=NOON + timedelta(minutes=11 * number))

    assert scene.data["docker.io"] == HUB


def test_an_image_that_is_absent_is_not_its_mirrors_fault() -> None:
    scene = Scene({"docker.io": HUB})

    for number in range(5):
        scene.fail(f"pod-{number}", ABSENT)

    assert scene.data["docker.io"] == HUB
    assert scene.cluster.calls == []


def test_the_fact_comes_before_the_entry_goes() -> None:
    scene = Scene({"docker.io": HUB})
    scene.fail("pod-1")
    scene.fail("pod-2")
    scene.facts.error = TransientError("Cloud Logging is away")

    with pytest.raises(TransientError):
        scene.fail("pod-3")
    assert scene.data["docker.io"] == HUB

    scene.facts.error = None
    assert scene.fail("pod-3") == "docker.io"


def test_the_next_proof_clears_what_was_counted() -> None:
    scene = Scene({"docker.io": HUB})
    for number in range(3):
        scene.fail(f"pod-{number}")

    scene.prove()

    annotations = scene.cluster.config_maps["proven-mirrors"]["metadata"].get("annotations", {})
    assert json.loads(annotations.get(FAILURES_ANNOTATION) or "{}") == {}
    assert scene.data["docker.io"] == HUB
