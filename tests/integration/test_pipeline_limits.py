"""At most so many warmups at once; the others wait in Kubernetes, and each gets its turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.kubernetes.api import Watch
from tests.integration.pipelines import Pipeline
from tests.integration.warmup_jobs import annotation, is_finished, is_running

MAX_RUNNING = 2
NODES = 4


class Turns:
    """The order in which a watch shows that Jobs are resumed."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.most = 0
        self.resumed: list[str] = []
        self._jobs: dict[str, dict[str, Any]] = {}

    def read(self) -> None:
        """Follow all changes so far."""
        while (event := self._watch.get(0)) is not None:
            kind, job = event
            name = job["metadata"]["name"]
            had_turn = name in self._jobs and is_running(self._jobs[name])
            if kind == "DELETED":
                self._jobs.pop(name, None)
            else:
                self._jobs[name] = job
                if is_running(job) and not had_turn:
                    self.resumed.append(str(annotation(job, "image")))
            self.most = max(self.most, sum(map(is_running, self._jobs.values())))


@contextmanager
def watched_turns(pipeline: Pipeline) -> Iterator[Turns]:
    """Watch the Jobs; those that have ended before do not count."""
    with pipeline.api.watch("jobs.batch") as watch:
        yield Turns(watch)


def test_no_more_than_the_limit_run_at_once_and_the_oldest_comes_first(pipeline: Pipeline) -> None:
    for number in range(NODES):
        pipeline.add_gpu_node(f"gke-gpu-queue-{number}", "queue")
    holders = [pipeline.add_image(f"team/queue-holder-{n}") for n in range(MAX_RUNNING)]
    images = [pipeline.add_image(f"team/queued-{n}") for n in range(12)]

    with watched_turns(pipeline) as turns:
        with pipeline.running_on("team/queue-holder"):
            for image in holders:
                pipeline.statuses(pipeline.ask(image, pool="queue"))
            # All at once, while the queue is full, so that all of them wait.
            for message in [pipeline.ask(image, pool="queue") for image in images]:
                assert pipeline.line(message, "handled")["created"]
            suspended = [job for job in pipeline.jobs() if job["spec"]["suspend"]]
            suspended.sort(
                key=lambda job: (job["metadata"]["creationTimestamp"], annotation(job, "queued"))
            )
            waiting = [annotation(job, "image") for job in suspended]
            for image in holders:
                pipeline.end(image)
        outcomes = [pipeline.warmup(image)["outcome"] for image in [*holders, *images]]
        turns.read()

    assert sorted(map(str, waiting)) == sorted(images)
    assert outcomes == ["pulled"] * 14
    assert turns.most == MAX_RUNNING
    assert turns.resumed == [*holders, *waiting]


def test_burst_never_exceeds_the_limit(pipeline: Pipeline) -> None:
    for number in range(NODES):
        pipeline.add_gpu_node(f"gke-gpu-burst-{number}", "burst")
    images = [pipeline.add_image(f"team/burst-{n}") for n in range(12)]

    with watched_turns(pipeline) as turns:
        for image in images:
            pipeline.ask(image, pool="burst")
        outcomes = [pipeline.warmup(image)["outcome"] for image in images]
        turns.read()

    assert outcomes == ["pulled"] * 12
    assert sorted(turns.resumed) == sorted(images)
    assert 1 <= turns.most <= MAX_RUNNING


def test_waiting_warmup_that_is_deleted_leaves_its_turn_to_the_next(pipeline: Pipeline) -> None:
    holders = [pipeline.add_image(f"team/leave-holder-{n}") for n in range(MAX_RUNNING)]
    gone, left = pipeline.add_image("team/leave-gone"), pipeline.add_image("team/leave-left")

    with pipeline.running_on("team/leave-holder"):
        for image in (*holders, gone, left):
            pipeline.statuses(pipeline.ask(image))
        name = pipeline.job(gone)["metadata"]["name"]
        pipeline.api.delete("jobs.batch", name, "prestream", user="admin@example.com")
        for image in holders:
            pipeline.end(image)

    assert pipeline.warmup(left)["outcome"] == "pulled"
    assert pipeline.facts(image=gone) == []
    assert all(is_finished(job) for image in holders for job in pipeline.jobs(image))
