"""Tables of objects for kubectl, and copies of objects for the controllers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bootstrap import assemble
from sandbox.kubernetes.resources import BY_KEY
from sandbox.kubernetes.tables import table_of

USER = "tester"
NOW = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api(assemble(Clock()))


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}


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
