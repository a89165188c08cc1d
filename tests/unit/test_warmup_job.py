"""The warmup Job: its name, its period, its body, and the state of one that stands there."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.image_reference import Digest, ImageReference, parse_reference
from shared.domain.ladder import SCALING_PRIORITY_CLASS
from shared.domain.placement import Placement, Toleration
from shared.domain.request import Cause
from shared.domain.warmup_job import (
    JobState,
    WarmupKey,
    period_of,
    time_to_live_s,
)
from tests.fakes.warmups import DIGEST, HELPER_DIGEST, L4, MIRRORS, make_strategy, make_warmup

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
HOUR = 3_600
PERIOD_S = 48 * HOUR
RAY = parse_reference("anyscale/ray-ml:2.7.0")
KEY = WarmupKey(digest=DIGEST, cluster="projects/p/locations/l/clusters/c", target=L4, period=7)
AT = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)


# The name.


def test_a_name_is_recognisable_and_the_same_each_time() -> None:
    name = KEY.job_name(RAY)

    assert re.fullmatch(r"warm-ray-ml-[0-9a-f]{16}", name)
    assert replace(KEY).job_name(RAY) == name


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"digest": HELPER_DIGEST}, id="digest"),
        pytest.param({"cluster": "projects/p/locations/l/clusters/d"}, id="cluster"),
        pytest.param({"target": Placement()}, id="target"),
        pytest.param({"period": 8}, id="period"),
        pytest.param({"forced_by": "message-1"}, id="forced"),
    ],
)
def test_job_name_depends_on_each_part_of_the_key(change: dict[str, Any]) -> None:
    assert replace(KEY, **change).job_name(RAY) != KEY.job_name(RAY)


def test_two_tags_of_a_digest_are_one_warmup() -> None:
    assert KEY.job_name(parse_reference("anyscale/ray-ml:latest")) == KEY.job_name(RAY)


def test_each_message_that_forces_makes_a_warmup_of_its_own() -> None:
    first, second = (replace(KEY, forced_by=f"message-{number}") for number in (1, 2))

    assert first.job_name(RAY) != second.job_name(RAY)


def test_placements_that_mean_the_same_make_the_same_name() -> None:
    selector = {"cloud.google.com/gke-spot": "true", "cloud.google.com/gke-accelerator": "l4"}
    tolerations = [Toleration("b", "Exists"), Toleration("a", "Exists")]
    one = Placement.of(selector, tolerations)
    other = Placement.of(dict(reversed(selector.items())), [*reversed(tolerations), tolerations[0]])

    assert replace(KEY, target=one).job_name(RAY) == replace(KEY, target=other).job_name(RAY)


@pytest.mark.parametrize(
    ("image", "slug"),
    [
        pytest.param("nginx", "nginx", id="short"),
        pytest.param("a.b/c/my__odd.na--me", "my-odd-na-me", id="separators"),
        pytest.param(f"ghcr.io/o/app@{DIGEST}", "app", id="digest-alone"),
        pytest.param(f"x/{'a' * 33}-b:1", "a" * 33, id="cut-at-a-separator"),
        pytest.param(f"x/{'a' * 200}:{'b' * 128}", "a" * 34, id="longest"),
        pytest.param("x/1:2", "1", id="digits"),
    ],
)
def test_a_name_is_valid_whatever_the_image_is_called(image: str, slug: str) -> None:
    name = KEY.job_name(parse_reference(image))

    assert name.startswith(f"warm-{slug}-")
    assert name.removeprefix(f"warm-{slug}-").isalnum()
    assert LABEL.fullmatch(name)


@given(
    repository=st.from_regex(r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*", fullmatch=True),
    tag=st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True),
)
def test_every_name_fits_a_label_and_leaves_room_for_a_pods(
    repository: str, tag: str | None
) -> None:
    name = KEY.job_name(ImageReference("docker.io", f"library/{repository}", tag))

    assert LABEL.fullmatch(name)
    assert len(f"{name}-abcde") <= 63


# The period.


def test_a_period_lasts_as_long_as_it_is_configured() -> None:
    periods = [
        period_of(AT + timedelta(hours=hours), DIGEST, PERIOD_S) for hours in range(2 * 48 + 1)
    ]

    assert periods == sorted(periods)
    assert periods[-1] - periods[0] == 2
    assert max(periods.count(number) for number in periods) == 48


def test_the_same_moment_lies_in_the_same_period_in_every_time_zone() -> None:
    elsewhere = AT.astimezone(datetime.strptime("+0530", "%z").tzinfo)

    assert period_of(elsewhere, DIGEST, PERIOD_S) == period_of(AT, DIGEST, PERIOD_S)


def test_the_periods_of_digests_begin_at_different_times() -> None:
    def beginning(number: int) -> int:
        digest = Digest(f"sha256:{number:064x}")
        first = period_of(AT, digest, PERIOD_S)
        return next(
            hours
            for hours in range(1, 49)
            if period_of(AT + timedelta(hours=hours), digest, PERIOD_S) > first
        )

    beginnings = {beginning(number) for number in range(200)}

    assert len(beginnings) > 40


@pytest.mark.parametrize("period_s", [0.5, 1.0, 1800.5, 31_536_000.0])
def test_any_length_of_a_period_will_do(period_s: float) -> None:
    number = period_of(AT, DIGEST, period_s)

    assert period_of(AT + timedelta(seconds=period_s), DIGEST, period_s) in {number, number + 1}
    assert period_of(AT + timedelta(seconds=2 * period_s), DIGEST, period_s) > number


@pytest.mark.parametrize(
    ("period_s", "max_age_s", "limit_s"),
    [
        pytest.param(48 * HOUR, 24 * HOUR, 72 * HOUR, id="defaults"),
        pytest.param(48 * HOUR, 168 * HOUR, 216 * HOUR, id="old-messages"),
        pytest.param(0.5, 1800.5, 1801, id="fractions"),
        pytest.param(48 * HOUR, 0, 48 * HOUR + 31 * 24 * HOUR, id="no-limit-but-the-topics"),
        pytest.param(8760 * HOUR, 744 * HOUR, 9504 * HOUR, id="longest"),
    ],
)
def test_a_job_outlives_whatever_can_still_ask_for_it(
    period_s: float, max_age_s: float, limit_s: int
) -> None:
    lives = time_to_live_s(period_s, max_age_s)

    assert limit_s < lives < 2**31
    assert isinstance(lives, int)


# The body.


def pod_of(body: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = body["spec"]["template"]["spec"]
    return pod


def containers_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod_of(body)["initContainers"], *pod_of(body)["containers"]]


BODY = make_warmup().body()


def test_a_job_waits_for_its_turn_and_runs_once() -> None:
    spec = BODY["spec"]

    assert spec["suspend"] is True
    assert spec["backoffLimit"] == 0
    assert pod_of(BODY)["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["ttlSecondsAfterFinished"] == 262_800


def test_a_disruption_is_no_failure() -> None:
    (rule,) = BODY["spec"]["podFailurePolicy"]["rules"]

    assert rule == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }


def test_a_job_and_its_pods_bear_the_labels_they_are_found_by() -> None:
    labels = {
        "app.kubernetes.io/name": "prestream",
        "app.kubernetes.io/component": "warmup",
        "prestream.dev/target": "nvidia-l4-6af5d1",
    }

    assert BODY["metadata"]["labels"] == labels
    assert BODY["spec"]["template"]["metadata"]["labels"] == labels


def test_the_annotations_say_what_is_warmed_and_why() -> None:
    strategy = make_strategy(avoided_nodes=("n1", "n2"), lacking_nodes=("n3",))
    annotations = make_warmup(strategy=strategy).body()["metadata"]["annotations"]

    assert annotations["prestream.dev/image"] == "anyscale/ray-ml:2.7.0"
    assert annotations["prestream.dev/mirror"] == f"{MIRRORS}/anyscale/ray-ml@{DIGEST}"
    assert annotations["prestream.dev/digest"] == DIGEST
    assert json.loads(annotations["prestream.dev/cause"]) == {
        "kind": "audit_log",
        "id": "id-1",
        "resource": "apps/v1/namespaces/ml/deployments/trainer",
    }
    assert annotations["prestream.dev/strategy"] == "gpu-node"
    assert annotations["prestream.dev/nodes-with-image"] == "n1,n2"
    assert annotations["prestream.dev/nodes-without-image"] == "n3"
    assert "prestream.dev/reported" not in annotations
    assert all(isinstance(text, str) for text in annotations.values())


def test_a_cause_of_which_little_is_known_is_written_as_well() -> None:
    annotations = make_warmup(cause=Cause()).body()["metadata"]["annotations"]

    expected = {"kind": "manual", "id": None, "resource": None}
    assert json.loads(annotations["prestream.dev/cause"]) == expected


def test_none_of_the_images_own_code_runs() -> None:
    helper, image = containers_of(BODY)

    assert helper["image"] == f"{MIRRORS}/library/busybox@{HELPER_DIGEST}"
    assert image["image"] == f"{MIRRORS}/anyscale/ray-ml@{DIGEST}"
    assert helper["command"] == ["/bin/busybox", "cp", "/bin/busybox", "/.prestream-warmup/true"]
    assert image["command"] == ["/.prestream-warmup/true"]
    assert "args" not in image
    (volume,) = pod_of(BODY)["volumes"]
    assert set(volume) == {"name", "emptyDir"}
    for container, is_read_only in ((helper, False), (image, True)):
        assert container["volumeMounts"] == [
            {"name": volume["name"], "mountPath": "/.prestream-warmup", "readOnly": is_read_only}
        ]


@pytest.mark.parametrize("container", containers_of(BODY), ids=["helper", "image"])
def test_each_container_has_what_it_needs_and_no_more(container: dict[str, Any]) -> None:
    assert container["workingDir"] == "/"
    assert container["imagePullPolicy"] == "Always"
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    asked = {**container["resources"]["requests"], **container["resources"]["limits"]}
    assert set(asked) == {"cpu", "memory"}
    assert container["resources"]["requests"] == {"cpu": "1m", "memory": "16Mi"}


def test_a_pod_is_nobody_and_may_nothing() -> None:
    pod = pod_of(BODY)

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["serviceAccountName"] == "prestream-warmup"
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "imagePullSecrets"} & set(pod)


def test_a_pod_goes_where_the_strategy_says() -> None:
    tolerations = (Toleration("a", "Exists"), Toleration("b", "Equal", "c", "NoExecute"))
    strategy = make_strategy(
        node_selector={"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"},
        tolerations=tolerations,
        priority_class=SCALING_PRIORITY_CLASS,
    )
    pod = pod_of(make_warmup(strategy=strategy).body())

    assert pod["nodeSelector"] == {"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}
    assert pod["tolerations"] == [
        {"key": "a", "operator": "Exists"},
        {"key": "b", "operator": "Equal", "value": "c", "effect": "NoExecute"},
    ]
    assert pod["priorityClassName"] == "prestream-warmup-scaling"


def test_the_autoscaler_may_take_a_node_away() -> None:
    annotations = BODY["spec"]["template"]["metadata"]["annotations"]

    assert annotations == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
    assert pod_of(BODY)["priorityClassName"] == "prestream-warmup"


def test_one_warmup_runs_on_a_node_at_a_time() -> None:
    rules = pod_of(BODY)["affinity"]["podAntiAffinity"]

    assert rules == {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "labelSelector": {
                    "matchLabels": {
                        "app.kubernetes.io/name": "prestream",
                        "app.kubernetes.io/component": "warmup",
                    }
                },
                "topologyKey": "kubernetes.io/hostname",
            }
        ]
    }


def preferences_of(body: dict[str, Any]) -> dict[str, tuple[int, dict[str, Any]]]:
    node = pod_of(body)["affinity"]["nodeAffinity"]
    assert set(node) == {"preferredDuringSchedulingIgnoredDuringExecution"}
    found = {}
    for each in node["preferredDuringSchedulingIgnoredDuringExecution"]:
        (expression,) = each["preference"]["matchExpressions"]
        found[expression.pop("key")] = (each["weight"], expression)
    return found


def test_a_node_that_lacks_the_image_is_preferred_above_all() -> None:
    strategy = make_strategy(avoided_nodes=("n1", "n2"))
    preferences = preferences_of(make_warmup(strategy=strategy).body())

    weight, expression = preferences.pop("kubernetes.io/hostname")
    assert expression == {"operator": "NotIn", "values": ["n1", "n2"]}
    assert weight > sum(other for other, _ in preferences.values())


def test_a_node_that_streams_and_is_cheap_is_preferred() -> None:
    preferences = preferences_of(make_warmup().body())

    assert preferences == {
        "cloud.google.com/gke-image-streaming": (50, {"operator": "In", "values": ["true"]}),
        "cloud.google.com/gke-accelerator": (10, {"operator": "DoesNotExist"}),
    }


def test_nothing_is_preferred_on_autopilot_which_refuses_such_preferences() -> None:
    strategy = make_strategy(is_autopilot=True, avoided_nodes=("n1",))

    affinity = pod_of(make_warmup(strategy=strategy).body())["affinity"]

    assert set(affinity) == {"podAntiAffinity"}


# A Job that stands there.


def stand(spec: dict[str, Any], *conditions: str) -> JobState:
    """Return the state of a Job; a condition with a minus is one that does not hold."""
    listed = [
        {"type": kind.removeprefix("-"), "status": "False" if kind.startswith("-") else "True"}
        for kind in conditions
    ]
    return JobState.from_body(
        {
            "metadata": {"name": "warm-a", "uid": "u", "creationTimestamp": "2026-11-24T07:00:00Z"},
            "spec": spec,
            "status": {"conditions": listed},
        }
    )


WAITS = {"suspend": True}
RUNS = {"suspend": False}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(stand(WAITS), "waiting", id="new"),
        pytest.param(stand(WAITS, "Suspended"), "waiting", id="suspended"),
        pytest.param(stand(RUNS), "running", id="resumed"),
        pytest.param(stand({}), "running", id="never-suspended"),
        pytest.param(stand(RUNS, "-Suspended"), "running", id="running"),
        pytest.param(stand(RUNS, "FailureTarget"), "running", id="failing"),
        pytest.param(stand(RUNS, "Complete"), "finished", id="complete"),
        pytest.param(stand(RUNS, "Failed"), "finished", id="failed"),
        pytest.param(stand(WAITS, "Failed"), "finished", id="failed-while-suspended"),
        pytest.param(stand(RUNS, "-Failed"), "running", id="not-failed"),
    ],
)
def test_a_job_waits_runs_or_is_finished(state: JobState, expected: str) -> None:
    assert state.is_waiting is (expected == "waiting")
    assert state.is_running is (expected == "running")
    assert state.is_finished is (expected == "finished")


def test_a_job_is_failed_or_complete() -> None:
    failed, complete = stand(RUNS, "Failed"), stand(RUNS, "Complete")

    assert (failed.is_failed, failed.is_complete) == (True, False)
    assert (complete.is_failed, complete.is_complete) == (False, True)


def test_a_job_whose_fact_is_written_is_marked() -> None:
    body = {"metadata": {"name": "a", "annotations": {"prestream.dev/reported": "fact"}}}

    assert JobState.from_body(body).is_reported
    assert not JobState.from_body({"metadata": {"name": "a"}}).is_reported


def test_the_job_of_a_warmup_is_read_as_waiting() -> None:
    state = JobState.from_body(BODY)

    assert state.name == "warm-ray-ml-2-7-0-0123456789"
    assert state.is_waiting
