"""Which reports are observed, and what the observer does about each of them."""

import json
from typing import Any

import pytest

from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.domain.disposition import Irrelevant, Outcome
from shared.errors import ConfigurationError, InvalidEventError, TransientError
from shared.messages.node_event import parse_log_entry
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    MIRROR,
    NOT_FOUND,
    STATEMENT,
    job_event,
    log_entry,
    node_event,
    pod_event,
    pulled_text,
    unschedulable_event,
)

CLUSTER = str(GPU_CLUSTER)


def parse(entry: dict[str, Any]) -> Any:
    return parse_log_entry(json.dumps(entry).encode())


def workload_event() -> dict[str, Any]:
    return pod_event("Pulled", pulled_text(1.5), 60, pod="trainer-6d9f7c5b8-qk4zt", namespace="ml")


class Scene:
    """An observer over a cluster and a log in memory."""

    def __init__(self, **values: Any) -> None:
        self.cluster, self.log = FakeCluster(), FakeFactLog()
        self.known = {GPU_CLUSTER}
        self.connected: list[ClusterName] = []
        settings = Settings(project="demo", deployment_project="demo", **values)
        self.observer = Observer(settings, self._connect, Executor(self.log))

    def see(self, entry: dict[str, Any]) -> Outcome:
        return self.observer.observe(parse(entry))

    def _connect(self, name: ClusterName) -> FakeCluster:
        if name not in self.known:
            raise UnknownClusterError(f"there is no cluster {name}")
        self.connected.append(name)
        return self.cluster


REPORTS = [
    pytest.param(job_event("Completed"), id="job"),
    pytest.param(pod_event("Failed", NOT_FOUND), id="warmup"),
    pytest.param(workload_event(), id="pull"),
    pytest.param(node_event(STATEMENT), id="stream"),
]


@pytest.mark.parametrize("event", REPORTS)
@pytest.mark.parametrize(
    ("clusters", "is_watched"), [(("gpu",), True), ((CLUSTER,), True), (("other",), False)]
)
def test_cluster_that_is_not_watched_is_ignored(
    event: dict[str, Any], clusters: tuple[str, ...], *, is_watched: bool
) -> None:
    scene = Scene(clusters=clusters)

    outcome = scene.see(log_entry(event))

    is_ignored = outcome.details.get("reason") == "the cluster is not watched"
    assert is_ignored is not is_watched
    if not is_watched:
        assert (scene.log.facts, scene.connected) == ([], [])


@pytest.mark.parametrize("event", REPORTS[:3])
def test_missing_cluster_is_unknown(event: dict[str, Any]) -> None:
    scene = Scene()
    scene.known.clear()

    with pytest.raises(UnknownClusterError):
        scene.see(log_entry(event))


@pytest.mark.parametrize("event", REPORTS[:3])
def test_invalid_name_of_a_cluster_is_rejected(event: dict[str, Any]) -> None:
    entry = log_entry(event)
    entry["resource"]["labels"]["cluster_name"] = "a/b"

    with pytest.raises(InvalidEventError):
        Scene().see(entry)


BACK_OFF = f'Back-off pulling image "{MIRROR}"'
LAYER_FAILED = f'Layer download failed. Layer id: "sha256:1", image: "{MIRROR}"'


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(
            pod_event("Failed", NOT_FOUND, namespace="ml"),
            "only pulls that ended well are written of",
            id="failed",
        ),
        pytest.param(
            pod_event("BackOff", BACK_OFF, namespace="ml"),
            "only pulls that ended are written of",
            id="back-off",
        ),
        pytest.param(
            node_event(LAYER_FAILED, component="gcfsd"),
            "it is evidence for the pull of its image",
            id="layer-failed",
        ),
        *(
            pytest.param(event, "a warmup is told of when its Job ends", id=name)
            for name, event in {
                "warmup-back-off": pod_event("BackOff", BACK_OFF),
                "warmup-pulled": pod_event("Pulled", pulled_text()),
                "warmup-unschedulable": unschedulable_event("0/3 nodes are available"),
            }.items()
        ),
    ],
)
def test_report_without_consequence_is_ignored(event: dict[str, Any], reason: str) -> None:
    scene = Scene()

    outcome = scene.see(log_entry(event))

    assert (outcome.disposition, outcome.details["reason"]) == ("ignored", reason)
    assert (scene.log.facts, scene.cluster.calls) == ([], [])


def test_irrelevant_entry_is_ignored_with_its_reason() -> None:
    entry = log_entry(pod_event("Killing", "Stopping container"))
    irrelevant = parse(entry)

    assert isinstance(irrelevant, Irrelevant)
    assert Scene().see(entry) == Outcome("ignored", {"reason": irrelevant.reason})


def test_fact_is_written_and_a_statement_needs_no_cluster() -> None:
    scene = Scene()

    scene.see(log_entry(workload_event()))
    scene.see(log_entry(node_event(STATEMENT)))

    assert [each.event for each in scene.log.facts] == ["pull.observed", "stream.observed"]
    assert scene.connected == [GPU_CLUSTER]


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_failure_of_the_log_is_raised(error: Exception) -> None:
    scene = Scene()
    scene.log.error = error

    with pytest.raises(type(error)):
        scene.see(log_entry(workload_event()))
