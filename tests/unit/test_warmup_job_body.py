"""The body of a warmup Job, and of its pod."""

import json
from typing import Any

import pytest

from shared.domain.placement import SCALING_PRIORITY_CLASS, Toleration
from shared.domain.request import Cause
from tests.fakes.warmups import DIGEST, HELPER_DIGEST, MIRRORS, make_strategy, make_warmup


def pod_of(body: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = body["spec"]["template"]["spec"]
    return pod


def containers_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod_of(body)["initContainers"], *pod_of(body)["containers"]]


BODY = make_warmup().body()


def test_job_waits_for_its_turn_and_runs_once() -> None:
    spec = BODY["spec"]

    assert spec["suspend"] is True
    assert spec["backoffLimit"] == 0
    assert pod_of(BODY)["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["ttlSecondsAfterFinished"] == 262_800


def test_disruption_is_no_failure() -> None:
    (rule,) = BODY["spec"]["podFailurePolicy"]["rules"]

    assert rule == {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }


def test_job_and_its_pods_bear_the_labels_they_are_found_by() -> None:
    labels = {
        "app.kubernetes.io/name": "prestream",
        "app.kubernetes.io/component": "warmup",
        "prestream.dev/target": "nvidia-l4-6af5d1",
        "prestream.dev/content": "a" * 32,
    }

    queue = {"prestream.dev/queue": "waiting"}
    assert BODY["metadata"]["labels"] == {**labels, **queue}
    assert BODY["spec"]["template"]["metadata"]["labels"] == labels


def test_annotations_name_the_image_and_the_cause() -> None:
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


def test_incomplete_cause_is_written() -> None:
    annotations = make_warmup(cause=Cause()).body()["metadata"]["annotations"]

    expected = {"kind": "manual", "id": None, "resource": None}
    assert json.loads(annotations["prestream.dev/cause"]) == expected


def test_warmup_runs_no_code_of_the_image() -> None:
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


def test_pod_has_no_user_and_no_rights() -> None:
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


def test_pod_follows_the_strategy() -> None:
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


def test_autoscaler_may_take_a_node_away() -> None:
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
    found = {}
    for each in node["preferredDuringSchedulingIgnoredDuringExecution"]:
        (expression,) = each["preference"]["matchExpressions"]
        found[expression.pop("key")] = (each["weight"], expression)
    return found


def required_of(body: dict[str, Any]) -> Any:
    node = pod_of(body)["affinity"]["nodeAffinity"]
    return node.get("requiredDuringSchedulingIgnoredDuringExecution")


@pytest.mark.parametrize(
    ("nodes", "terms"),
    [
        pytest.param({"required_nodes": ("n3", "n4")}, [("In", ["n3", "n4"])], id="named"),
        pytest.param(
            {
                "required_nodes": ("n3",),
                "avoided_nodes": ("n1",),
                "known_nodes": ("n1", "n2", "n3"),
            },
            [("In", ["n3"]), ("NotIn", ["n1", "n2", "n3"])],
            id="named-or-joined-later",
        ),
        pytest.param({"avoided_nodes": ("n1", "n2")}, [("NotIn", ["n1", "n2"])], id="all-hold"),
    ],
)
def test_warmup_requires_a_node_that_lacks_the_image(
    nodes: dict[str, Any], terms: list[tuple[str, list[str]]]
) -> None:
    required = required_of(make_warmup(strategy=make_strategy(**nodes)).body())

    expressions = [each["matchExpressions"] for each in required["nodeSelectorTerms"]]
    key = "kubernetes.io/hostname"
    assert expressions == [
        [{"key": key, "operator": operator, "values": names}] for operator, names in terms
    ]


def test_warmup_requires_no_node_if_none_exists() -> None:
    assert required_of(make_warmup().body()) is None


def test_node_without_another_version_of_the_image_is_preferred() -> None:
    strategy = make_strategy(required_nodes=("n1", "n2"), preferred_nodes=("n2",))

    preferences = preferences_of(make_warmup(strategy=strategy).body())

    weight, expression = preferences["kubernetes.io/hostname"]
    assert expression == {"operator": "In", "values": ["n2"]}
    assert weight > preferences["cloud.google.com/gke-accelerator"][0]


def test_node_that_streams_and_is_cheap_is_preferred() -> None:
    preferences = preferences_of(make_warmup().body())

    assert preferences == {
        "cloud.google.com/gke-image-streaming": (50, {"operator": "In", "values": ["true"]}),
        "cloud.google.com/gke-accelerator": (10, {"operator": "DoesNotExist"}),
    }


def test_autopilot_gets_no_preferences() -> None:
    strategy = make_strategy(
        is_autopilot=True, avoided_nodes=("n1",), required_nodes=("n2",), preferred_nodes=("n2",)
    )

    affinity = pod_of(make_warmup(strategy=strategy).body())["affinity"]

    assert set(affinity) == {"podAntiAffinity"}
