"""Which reports are observed, and what the observer does about each of them."""

import json
from typing import Any

import pytest

from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.domain.disposition import NOT_CONFIRMED, Irrelevant, Outcome
from shared.errors import ConfigurationError, InvalidEventError, TransientError
from shared.messages.node_event import parse_log_entry
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.pipeline.watched_clusters import is_watched
from shared.settings.keys import Settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster, FakeDirectory
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    MIRROR,
    NODE,
    NOT_FOUND,
    STATEMENT,
    at,
    job_event,
    log_entry,
    node_event,
    place_node,
    pod_event,
    pulled_text,
    snapshotter_line,
)
from tests.fakes.reported_pods import reflect

CLUSTER = str(GPU_CLUSTER)


def parse(entry: dict[str, Any]) -> Any:
    return parse_log_entry(json.dumps(entry).encode())


def workload_event(
    seconds: float = 60, *, took: float = 1.5, pod: str = "trainer-6d9f7c5b8-qk4zt", **change: Any
) -> dict[str, Any]:
    return pod_event("Pulled", pulled_text(took), seconds, pod=pod, **{"namespace": "ml"} | change)


class Scene:
    """An observer over a cluster and a log in memory."""

    def __init__(self, **values: Any) -> None:
        self.cluster, self.log = FakeCluster(), FakeFactLog()
        self.known = {GPU_CLUSTER}
        self.connected: list[ClusterName] = []
        settings = Settings(project="demo", deployment_project="demo", **values)
        self.directory = FakeDirectory()
        self.observer = Observer(
            settings,
            self._connect,
            lambda name: is_watched(name, settings, self.directory),
            Executor(self.log),
        )

    def see(self, entry: dict[str, Any]) -> Outcome:
        """Observe an entry, whose pod shows what it reports."""
        if "involvedObject" in entry["jsonPayload"]:
            reflect(self.cluster, entry["jsonPayload"])
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


@pytest.mark.parametrize("event", REPORTS)
def test_cluster_without_accelerators_costs_no_call_to_it(event: dict[str, Any]) -> None:
    scene = Scene()
    scene.directory.clusters = (Cluster(GPU_CLUSTER),)

    outcome = scene.see(log_entry(event))

    reason = {"reason": "the cluster is not watched", "cluster": CLUSTER}
    assert outcome == Outcome("ignored", reason)
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
            }.items()
        ),
    ],
)
def test_report_without_consequence_is_ignored(event: dict[str, Any], reason: str) -> None:
    scene = Scene()

    outcome = scene.see(log_entry(event))

    assert (outcome.disposition, outcome.details["reason"]) == ("ignored", reason)
    assert (scene.log.facts, scene.cluster.calls) == ([], [])
    assert scene.directory.asked == []


def test_irrelevant_entry_is_ignored_with_its_reason() -> None:
    entry = log_entry(pod_event("Killing", "Stopping container"))
    irrelevant = parse(entry)

    assert isinstance(irrelevant, Irrelevant)
    assert Scene().see(entry) == Outcome("ignored", {"reason": irrelevant.reason})


def test_confirmed_events_become_facts() -> None:
    scene = Scene()
    place_node(scene.cluster)

    scene.see(log_entry(workload_event()))
    scene.see(log_entry(node_event(STATEMENT)))

    assert [each.event for each in scene.log.facts] == ["pull.observed", "stream.observed"]


@pytest.mark.parametrize("entry", [log_entry(node_event(STATEMENT)), snapshotter_line(STATEMENT)])
def test_statement_of_a_node_that_does_not_exist_is_ignored(entry: dict[str, Any]) -> None:
    scene = Scene()

    outcome = scene.see(entry)

    assert outcome == Outcome("ignored", {"reason": NOT_CONFIRMED, "node": NODE})
    assert scene.log.facts == []


def test_pull_that_its_pod_does_not_confirm_is_ignored() -> None:
    scene = Scene()

    outcome = scene.observer.observe(parse(log_entry(workload_event())))

    assert outcome.details["reason"] == NOT_CONFIRMED
    assert (scene.log.facts, scene.cluster.calls) == ([], ["fetch_pod"])


PRESENT = pod_event(
    "Pulled",
    f'Container image "{MIRROR}" already present on machine',
    62,
    pod="trainer-c",
    namespace="ml",
)


def test_one_statement_is_evidence_for_one_pull() -> None:
    scene = Scene()
    pulls = [
        workload_event(60, took=7.9, pod="trainer-a"),
        workload_event(60, took=0.2, pod="trainer-b"),
        PRESENT,
        workload_event(66, took=0.2, pod="notebook-d", namespace="research"),
        workload_event(66, took=7.9, pod="trainer-e", node="gke-gpu-l4-2"),
    ]
    for event in (node_event(STATEMENT, 53), node_event(STATEMENT, 59, node="gke-gpu-l4-2")):
        scene.cluster.place(event)
    for event in pulls:
        scene.cluster.place(event)

    verdicts = [scene.see(log_entry(event)).details["streamed"] for event in pulls]

    held = "cached_on_node"
    assert verdicts == ["streamed", held, held, held, "streamed"]


def test_restarts_of_a_container_are_not_pulls() -> None:
    scene = Scene()
    pulls = [workload_event(seconds, took=0.1) for seconds in (60, 72, 93)]
    for event in pulls:
        scene.cluster.place(event)

    outcomes = [scene.see(log_entry(event)) for event in pulls]

    restart = ("ignored", "the pod pulled the image before")
    assert [(each.disposition, each.details.get("reason")) for each in outcomes] == [
        ("handled", None),
        restart,
        restart,
    ]
    assert len(scene.log.facts) == 1
    shared = ["list_pod_events", "list_events", "fetch_node"]
    assert scene.cluster.calls == ["fetch_pod", *shared, "fetch_pod", "fetch_pod"]


def test_pull_without_a_node_has_no_history() -> None:
    scene, event = Scene(), workload_event(60)
    del event["source"]["host"]

    outcome = scene.see(log_entry(event))

    assert (outcome.details["streamed"], scene.cluster.calls) == ("unknown", ["fetch_pod"])


def test_repeated_event_is_ignored_without_a_call() -> None:
    scene, event = Scene(), workload_event(60)
    event["metadata"]["creationTimestamp"] = at(0)

    outcome = scene.see(log_entry(event))

    assert (outcome.disposition, scene.connected) == ("ignored", [])
    assert outcome.details["reason"] == "the pod pulled the image before"


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_failure_of_the_log_is_raised(error: Exception) -> None:
    scene = Scene()
    scene.log.error = error

    with pytest.raises(type(error)):
        scene.see(log_entry(workload_event()))
