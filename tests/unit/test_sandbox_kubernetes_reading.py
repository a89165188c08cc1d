"""How the embedded API server reads objects, and how it shows them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bootstrap import assemble
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.tables import table_of

USER = "tester"
NOW = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api(assemble(Clock()))


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}


def test_null_is_absent_value(api: Api) -> None:
    body = pod(nodeName=None, tolerations=None)
    body["metadata"]["creationTimestamp"] = None

    made = api.create("pods", body, "default", user=USER)

    assert "nodeName" not in made["spec"]
    assert made["metadata"]["creationTimestamp"].endswith("Z")


def test_invalid_time_is_refused(api: Api) -> None:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"namespace": "default"},
        "firstTimestamp": "yesterday",
    }

    with pytest.raises(ApiError) as caught:
        api.create("events", event, "default", user=USER)

    assert caught.value.code == 400
    assert "firstTimestamp: expected a time" in caught.value.message


def test_too_large_number_is_refused(api: Api) -> None:
    with pytest.raises(ApiError) as caught:
        api.create("pods", pod(priority=2**31), "default", user=USER)

    assert caught.value.code == 400
    assert "spec.priority: expected an integer of 32 bits" in caught.value.message


def test_new_status_has_zeros(api: Api) -> None:
    api.create("pods", pod(), "default", user=USER)
    status = {"containerStatuses": [{"name": "c"}]}

    written = api.patch("pods", "p", {"status": status}, "default", user=USER, subresource="status")

    assert written["status"]["containerStatuses"] == [
        {"name": "c", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        pytest.param("nginx", "Always", id="no-tag"),
        pytest.param("nginx:latest", "Always", id="latest"),
        pytest.param("nginx:1.27", "IfNotPresent", id="tag"),
        pytest.param("registry:5000/nginx", "Always", id="port-is-no-tag"),
        pytest.param(f"nginx@sha256:{'0' * 64}", "IfNotPresent", id="digest"),
    ],
)
def test_pull_policy_follows_tag(api: Api, image: str, policy: str) -> None:
    body = pod(containers=[{"name": "c", "image": image}])

    made = api.create("pods", body, "default", user=USER)

    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_requests_follow_limits(api: Api) -> None:
    resources = {"limits": {"nvidia.com/gpu": 1, "cpu": "2"}, "requests": {"cpu": "1"}}

    made = api.create(
        "pods",
        pod(containers=[{"name": "c", "image": "i", "resources": resources}]),
        "default",
        user=USER,
    )

    container = made["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "nvidia.com/gpu": "1"}
    assert made["status"]["qosClass"] == "Burstable"


def test_stored_object_is_independent_of_bodies(api: Api) -> None:
    body = pod()
    made = api.create("pods", body, "default", user=USER)

    body["spec"]["containers"][0]["image"] = "other"
    made["spec"]["containers"][0]["image"] = "other"
    api.read("pods", "p", "default")["spec"]["containers"].clear()
    api.list("pods")[0]["metadata"]["name"] = "other"

    kept = api.read("pods", "p", "default")
    assert kept["spec"]["containers"][0]["image"] == "i"
    assert kept["metadata"]["name"] == "p"


def test_table_ages_follow_sandbox_clock() -> None:
    job = {
        "metadata": {"name": "warm", "creationTimestamp": "2026-01-01T00:50:00Z"},
        "spec": {"completions": 1},
        "status": {
            "succeeded": 1,
            "startTime": "2026-01-01T00:50:00Z",
            "completionTime": "2026-01-01T00:53:20Z",
            "conditions": [{"type": "Complete", "status": "True"}],
        },
    }

    table = table_of(BY_KEY["jobs.batch"], [job], {}, NOW)

    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Status",
        "Completions",
        "Duration",
        "Age",
    ]
    assert table["rows"][0]["cells"] == ["warm", "Complete", "1/1", "3m20s", "10m"]


@pytest.mark.parametrize(
    ("pod_status", "expected"),
    [
        pytest.param({"phase": "Pending"}, "Pending", id="phase"),
        pytest.param(
            {
                "phase": "Pending",
                "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}],
            },
            "ImagePullBackOff",
            id="waiting",
        ),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, "Evicted", id="reason"),
    ],
)
def test_table_shows_waiting_reason(pod_status: dict[str, Any], expected: str) -> None:
    body = pod() | {"status": pod_status}

    table = table_of(BY_KEY["pods"], [body], {}, NOW)

    assert table["rows"][0]["cells"][2] == expected


def test_missing_required_field_is_refused(api: Api) -> None:
    with pytest.raises(ApiError) as caught:
        api.create(
            "rolebindings.rbac.authorization.k8s.io",
            {"metadata": {"name": "b"}},
            "default",
            user=USER,
        )

    assert [cause["field"] for cause in caught.value.status["details"]["causes"]] == ["roleRef"]
