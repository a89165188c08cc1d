"""A cluster with one warmup, whose reports are observed."""

import json
from typing import Any

from shared.domain.disposition import Outcome
from shared.messages.node_event import parse_log_entry
from shared.pipeline.execute import Executor
from shared.pipeline.observe import Observer
from shared.settings.keys import Settings
from tests.fakes.clusters import FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import JOB, end, log_entry, place_node, place_pod, place_warmup
from tests.fakes.reported_pods import reflect


class ObservedWarmup:
    """A cluster with a warmup on its node, a log of facts, and the observer of both."""

    def __init__(self, reason: str | None = "CompletionsReached", **values: Any) -> None:
        """Let the warmup end for a reason; without one, it runs."""
        self.cluster, self.log = FakeCluster(), FakeFactLog()
        settings = Settings(project="demo", deployment_project="demo", **values)
        execute = Executor(self.log, dry_run=settings.dry_run)
        self.observer = Observer(settings, lambda _: self.cluster, lambda _: True, execute)
        place_node(self.cluster)
        job = place_warmup(self.cluster)
        place_pod(self.cluster)
        if reason is not None:
            end(job, reason)

    def see(self, event: dict[str, Any], insert_id: str = "entry-1") -> Outcome:
        """Observe an event, which the cluster does not keep."""
        entry = json.dumps(log_entry(event, insert_id)).encode()
        return self.observer.observe(parse_log_entry(entry))

    def happen(self, event: dict[str, Any]) -> Outcome:
        """Let an event happen: the cluster keeps it, its pod shows it, and it is observed."""
        reflect(self.cluster, event)
        return self.see(self.cluster.place(event))

    def queue(self, *names: str) -> None:
        """Add warmups that wait."""
        for name in names:
            place_warmup(self.cluster, name)["spec"]["suspend"] = True

    @property
    def facts(self) -> list[Any]:
        return [fact.payload for fact in self.log.facts]

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.cluster.jobs[JOB]["metadata"]["annotations"]
        return found

    @property
    def waiting(self) -> list[str]:
        return [name for name, job in self.cluster.jobs.items() if job["spec"]["suspend"]]

    @property
    def deadline(self) -> int:
        seconds: int = self.cluster.jobs[JOB]["spec"]["activeDeadlineSeconds"]
        return seconds

    @property
    def proven(self) -> dict[str, str]:
        """The entries of the ConfigMap."""
        data: dict[str, str] = self.cluster.config_maps["proven-mirrors"]["data"]
        return data

    def place_proven(self, data: dict[str, str]) -> None:
        """Create the ConfigMap."""
        metadata = {"name": "proven-mirrors", "namespace": "prestream"}
        self.cluster.place({"kind": "ConfigMap", "metadata": metadata, "data": data})
