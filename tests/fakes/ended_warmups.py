"""A cluster with a warmup that ended, and the log that its fact is written to."""

from typing import Any

from shared.pipeline.execute import Executor
from shared.pipeline.report_warmup import report_job
from tests.fakes.clusters import FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import JOB, end, place_node, place_pod, place_warmup


class EndedScene:
    """A cluster and a log; ``warm`` adds the warmup."""

    def __init__(self) -> None:
        self.cluster, self.log = FakeCluster(), FakeFactLog()

    def warm(self, *events: dict[str, Any], reason: str = "CompletionsReached") -> dict[str, Any]:
        """Add a warmup that ended on its node, with the events of it, and return the Job."""
        place_node(self.cluster)
        job = end(place_warmup(self.cluster), reason)
        place_pod(self.cluster)
        for event in events:
            self.cluster.place(event)
        return job

    def report(self) -> Any:
        """Report the Job, and return the payload of its fact."""
        body = self.cluster.fetch_job(JOB)
        assert body is not None
        fact = report_job(self.cluster, body, Executor(self.log))
        return None if fact is None else fact.payload
