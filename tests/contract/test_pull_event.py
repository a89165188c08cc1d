"""The function pull_event through the real framework: from a delivery to a fact."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.domain.warmup_job import REPORTED_ANNOTATION
from shared.errors import ConfigurationError, TransientError
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.settings.keys import load_settings
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import (
    JOB,
    MIRROR,
    NODE,
    NOT_FOUND,
    STATEMENT,
    end,
    job_event,
    log_entry,
    node_event,
    place_node,
    place_pod,
    place_warmup,
    pod_event,
    pulled_text,
    snapshotter_line,
)
from tests.fakes.recorded_events import load_event
from tests.fakes.reported_pods import reflect
from tests.fakes.served_functions import Line, ServedFunction, served


class Deployment:
    """The services of the function: one cluster and a log of facts."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.log = FakeFactLog()
        self.unknown = False

    def observing(self) -> Observer:
        """Return the step of the function."""
        settings = load_settings({"GOOGLE_CLOUD_PROJECT": "demo"})
        return Observer(
            settings, connect=self.connect, is_watched=lambda _: True, execute=Executor(self.log)
        )

    def connect(self, name: ClusterName) -> FakeCluster:
        if self.unknown or name != GPU_CLUSTER:
            raise UnknownClusterError(f"there is no cluster {name}")
        return self.cluster

    def warm(self, reason: str = "CompletionsReached") -> None:
        """Put a warmup that ended into the cluster."""
        place_node(self.cluster)
        end(place_warmup(self.cluster), reason)
        place_pod(self.cluster)
        self.cluster.place(pod_event("Pulled", pulled_text()))


@pytest.fixture
def deployment() -> Deployment:
    return Deployment()


@pytest.fixture
def function(config: Path, deployment: Deployment) -> Iterator[ServedFunction]:
    del config
    with served("pull_event", observer=deployment.observing) as function:
        yield function


@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_warmup_that_ended_becomes_a_fact(
    function: ServedFunction, deployment: Deployment, line: Line, form: str
) -> None:
    deployment.warm()

    assert getattr(function, form)(log_entry(job_event("Completed"))) == 200

    (fact,) = deployment.log.facts
    assert (fact.event, fact.payload["outcome"]) == ("warmup.finished", "pulled")
    assert REPORTED_ANNOTATION in deployment.cluster.jobs[JOB]["metadata"]["annotations"]
    assert line()["message"] == ("event handled: pulled, unknown for anyscale/ray-ml:2.7.0")


def test_failed_warmup_has_its_reason_in_the_line(
    function: ServedFunction, deployment: Deployment, line: Line
) -> None:
    deployment.warm("DeadlineExceeded")
    deployment.cluster.events[:] = [pod_event("Failed", NOT_FOUND)]

    function.push(log_entry(job_event("DeadlineExceeded")))

    assert line()["message"] == (
        "event handled: pull_failed: the registry has no such image (anyscale/ray-ml:2.7.0)"
    )


@pytest.mark.parametrize(
    ("entry", "event"),
    [
        pytest.param(
            log_entry(pod_event("Pulled", pulled_text(), namespace="ml")), "pull.observed", id="pod"
        ),
        pytest.param(log_entry(node_event(STATEMENT)), "stream.observed", id="node"),
        pytest.param(snapshotter_line(STATEMENT), "stream.observed", id="line"),
    ],
)
def test_report_becomes_a_fact(
    function: ServedFunction, deployment: Deployment, line: Line, entry: Any, event: str
) -> None:
    place_node(deployment.cluster)
    if "involvedObject" in entry["jsonPayload"]:
        reflect(deployment.cluster, entry["jsonPayload"])

    assert function.push(entry) == 200

    (fact,) = deployment.log.facts
    assert (fact.event, fact.payload["node"]) == (event, NODE)
    said = line()
    assert said["fact"] == event
    assert said["message"].endswith(f" for {MIRROR}")


@pytest.mark.parametrize("error", [TransientError("503"), ConfigurationError("403")])
def test_fact_that_cannot_be_written_keeps_the_message(
    function: ServedFunction, deployment: Deployment, line: Line, error: Exception
) -> None:
    deployment.warm()
    deployment.log.error = error

    assert function.push(log_entry(job_event("Completed"))) == 503
    assert REPORTED_ANNOTATION not in deployment.cluster.jobs[JOB]["metadata"]["annotations"]
    line()

    deployment.log.error = None
    assert function.push(log_entry(job_event("Completed"))) == 200
    assert len(deployment.log.facts) == 1
    assert line()["outcome"] == "pulled"


def test_message_that_comes_again_is_one_fact(
    function: ServedFunction, deployment: Deployment, line: Line
) -> None:
    deployment.warm()

    statuses = [function.push(log_entry(job_event("Completed")))]
    line()
    statuses.append(function.push(log_entry(job_event("Completed"))))

    assert statuses == [200, 200]
    assert len(deployment.log.facts) == 1
    assert line()["message"] == f"event handled: its fact was written before ({JOB})"


def test_end_that_the_api_server_does_not_know_yet_is_delivered_again(
    function: ServedFunction, deployment: Deployment, line: Line
) -> None:
    deployment.warm()
    deployment.cluster.jobs[JOB]["status"] = {}

    assert function.push(log_entry(job_event("Completed"))) == 503
    assert line()["disposition"] == "deferred"


@pytest.mark.parametrize(
    "name", ["events-exporter-restarted", "events-other-log", "events-node-ready"]
)
def test_entry_without_a_pull_is_ignored(
    function: ServedFunction, deployment: Deployment, line: Line, name: str
) -> None:
    assert function.push(load_event(name)) == 200

    said = line()
    assert (said["disposition"], said["message"]) == ("ignored", f"event ignored: {said['reason']}")
    assert deployment.log.facts == []


def test_real_wiring_needs_nothing_but_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch, line: Line
) -> None:
    config.write_text("clusters: [gpu]")
    kubeconfig = Path(__file__).parent / "no-such-kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    with served("pull_event") as function:
        assert function.push(log_entry(job_event("Completed"))) == 503

    said = line()
    assert said["disposition"] == "blocked"
    assert str(kubeconfig) in said["message"]
