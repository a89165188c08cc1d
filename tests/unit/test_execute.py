"""Which actions are performed, which a dry run suppresses, and what a conflict leads to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.domain.action import (
    Action,
    CountPullFailure,
    CreateJob,
    CreateMirror,
    DeleteJob,
    DistrustMirror,
    EndJob,
    MarkReported,
    Prewarm,
    ProveMirror,
    Publish,
    RecordPull,
    RemovePrewarmed,
    ResumeJobs,
    SuspendJob,
    UpdateMirror,
    WriteFact,
)
from shared.domain.fact import Fact
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.mirror import RemoteRepository, RepositoryName
from shared.domain.prewarm import ArtifactVersion
from shared.domain.request import ReferenceRequest
from shared.domain.warmup_job import JobName
from shared.pipeline import execute
from shared.pipeline.execute import ConflictError, Executor
from tests.fakes.clusters import FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.mirrors import HUB
from tests.fakes.prewarming import FakePrewarmApi
from tests.fakes.registries import FakeRepositories, state_of
from tests.fakes.sweeps import Publisher
from tests.fakes.warmups import make_warmup

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
JOB = JobName("warm-a")
REQUEST = ReferenceRequest(image="nginx", reference=parse_reference("nginx"))
FACT = Fact("tag.moved", {"event": "tag.moved"}, "id-1", NOW, "INFO")
VERSION = ArtifactVersion(
    RepositoryName("demo", "us-central1", "apps"),
    "trainer",
    Digest(f"sha256:{1:064}"),
    "linux/amd64",
)
QUAY = RemoteRepository(
    RepositoryName("demo", "us-central1", "quay-io-mirror"), "quay.io", "https://quay.io"
)
PATCH: Mapping[str, Any] = {"data": {"docker.io": "a-mirror"}}
CONFIG_MAP = {
    "kind": "ConfigMap",
    "metadata": {"name": "proven-mirrors", "namespace": "prestream"},
    "data": {"docker.io": "another"},
}


class Scene:
    """An executor over services in memory, with one waiting Job and the ConfigMap."""

    def __init__(self, *, dry_run: bool = False, cluster: FakeCluster | None = None) -> None:
        self.facts, self.publisher = FakeFactLog(), Publisher()
        self.api = FakePrewarmApi(NOW, sizes={VERSION.digest: 1})
        self.repositories = FakeRepositories()
        self.repositories.states[QUAY.name] = state_of(QUAY)
        self.cluster = cluster or FakeCluster()
        self.cluster.create_job(make_warmup(JOB).body())
        self.cluster.place(CONFIG_MAP)
        self.cluster.calls.clear()
        self.execute = Executor(
            self.facts,
            publisher=lambda: self.publisher,
            repositories=lambda: self.repositories,
            prewarm_api=self.api,
            dry_run=dry_run,
        )

    @property
    def job(self) -> dict[str, Any]:
        return self.cluster.jobs[JOB]

    @property
    def version(self) -> str:
        version: str = self.job["metadata"]["resourceVersion"]
        return version

    @property
    def changes(self) -> list[str]:
        """The methods that were called on any service."""
        published = ["publish"] * len(self.publisher.batches)
        return [
            *published,
            *["write"] * len(self.facts.facts),
            *self.cluster.calls,
            *self.api.calls,
            *["create_repository"] * len(self.repositories.created),
            *["update_credentials"] * len(self.repositories.updated),
        ]


def make_deletion(scene: Scene) -> DeleteJob:
    return DeleteJob(JOB, scene.job["metadata"]["uid"], scene.version)


ACTIONS: list[Any] = [
    pytest.param(lambda _: Publish((REQUEST,)), "publish", False, id="publish"),
    pytest.param(lambda _: WriteFact(FACT), "write", False, id="fact"),
    pytest.param(lambda _: WriteFact(FACT, of_change=True), "write", True, id="fact-of-change"),
    pytest.param(lambda _: CreateMirror(HUB), "create_repository", True, id="create-mirror"),
    pytest.param(lambda _: UpdateMirror(QUAY), "update_credentials", True, id="update-mirror"),
    pytest.param(lambda _: CreateJob(make_warmup("warm-b")), "create_job", True, id="create"),
    pytest.param(make_deletion, "delete_job", True, id="delete"),
    pytest.param(lambda s: EndJob(JOB, s.version, "why"), "patch_job", True, id="end"),
    pytest.param(
        lambda s: MarkReported(JOB, s.version, "id", "pulled", fills_cache=True),
        "patch_job",
        True,
        id="mark",
    ),
    pytest.param(lambda _: ProveMirror("docker.io", PATCH), "patch_config_map", True, id="prove"),
    pytest.param(lambda _: RecordPull("docker.io", PATCH), "patch_config_map", True, id="record"),
    pytest.param(
        lambda _: CountPullFailure("docker.io", PATCH), "patch_config_map", True, id="count"
    ),
    pytest.param(
        lambda _: DistrustMirror("docker.io", PATCH), "patch_config_map", True, id="distrust"
    ),
    pytest.param(lambda _: RemovePrewarmed(VERSION, "us-central1"), "remove", True, id="remove"),
]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("make", "call", "is_change"), ACTIONS)
def test_dry_run_suppresses_changes_and_their_facts(
    make: Callable[[Scene], Action], call: str, *, is_change: bool, dry_run: bool
) -> None:
    scene = Scene(dry_run=dry_run)

    done = scene.execute.perform((make(scene),), scene.cluster)

    is_suppressed = dry_run and is_change
    assert scene.changes == ([] if is_suppressed else [call])
    assert len(done) == (0 if is_suppressed else 1)


def test_actions_are_performed_in_order() -> None:
    scene = Scene()
    scene.facts.error = RuntimeError("no log")

    with pytest.raises(RuntimeError):
        scene.execute.perform((WriteFact(FACT), make_deletion(scene)), scene.cluster)

    assert JOB in scene.cluster.jobs


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (EndJob(JOB, "0", "why"), "changed while it was being ended"),
        (
            MarkReported(JOB, "0", "id", "pulled", fills_cache=True),
            "changed before it was marked as reported",
        ),
        (ProveMirror("docker.io", {"metadata": {"resourceVersion": "0"}}), "ConfigMap"),
    ],
)
def test_changed_object_is_a_conflict(action: Action, message: str) -> None:
    scene = Scene()

    with pytest.raises(ConflictError, match=message):
        scene.execute.perform((action,), scene.cluster)


def test_job_is_not_deleted_in_another_version() -> None:
    scene = Scene()
    deletion = make_deletion(scene)
    scene.cluster.patch_job(JOB, {"spec": {"suspend": False}})

    scene.execute.perform((deletion,), scene.cluster)

    assert JOB in scene.cluster.jobs


def test_ended_job_keeps_the_reason_and_runs_into_its_deadline() -> None:
    scene = Scene()

    scene.execute.perform((EndJob(JOB, scene.version, "why"),), scene.cluster)

    assert scene.job["metadata"]["annotations"]["prestream.dev/refusal"] == "why"
    assert scene.job["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize("not_before", [None, "2026-11-24T09:00:00Z"])
def test_mark_has_the_insert_id_the_outcome_and_the_time_of_a_retry(not_before: str | None) -> None:
    scene = Scene()

    mark = MarkReported(
        JOB, scene.version, "id-1", "postponed", fills_cache=False, not_before=not_before
    )
    scene.execute.perform((mark,), scene.cluster)

    annotations = scene.job["metadata"]["annotations"]
    assert annotations["prestream.dev/reported"] == "id-1"
    assert annotations["prestream.dev/outcome"] == "postponed"
    assert annotations["prestream.dev/fills-cache"] == "false"
    assert annotations.get("prestream.dev/not-before") == not_before


class Contested(FakeCluster):
    """A cluster in which another instance creates each Job a moment earlier."""

    def create_job(self, body: Mapping[str, Any]) -> bool:
        super().create_job(body)
        return super().create_job(body)


@pytest.mark.parametrize("replaces", [None, "u-0"])
def test_job_of_another_instance_is_success(replaces: str | None) -> None:
    scene = Scene(cluster=Contested())

    done = scene.execute.perform((CreateJob(make_warmup("warm-b"), replaces),), scene.cluster)

    assert done == ()
    assert "warm-b" in scene.cluster.jobs


def test_replaced_job_that_still_exists_is_a_conflict() -> None:
    scene = Scene()
    creation = CreateJob(make_warmup(JOB), replaces=scene.job["metadata"]["uid"])

    with pytest.raises(ConflictError, match=f"failed Job {JOB} is still being deleted"):
        scene.execute.perform((creation,), scene.cluster)


def test_job_without_a_resolved_helper_is_refused() -> None:
    scene = Scene()

    with pytest.raises(TypeError, match="warm-b"):
        scene.execute.perform((CreateJob(make_warmup("warm-b", helper=None)),), scene.cluster)


def test_dry_run_makes_no_plan_of_a_change() -> None:
    scene = Scene(dry_run=True)

    def plan() -> Any:
        raise AssertionError("a plan was made")

    assert list(scene.execute.change(scene.cluster, plan)) == []
    assert scene.execute.resume(scene.cluster, plan) == {"resumed": []}


def test_plan_of_a_change_is_performed_and_returned() -> None:
    scene = Scene()
    actions = (ProveMirror("docker.io", PATCH),)

    assert scene.execute.change(scene.cluster, lambda: actions) == actions
    assert scene.cluster.config_maps["proven-mirrors"]["data"] == PATCH["data"]


@pytest.mark.parametrize(
    ("names", "limit", "resumed"),
    [
        pytest.param(["warm-a", "warm-b", "warm-c"], 2, ["warm-a", "warm-b"], id="limit"),
        pytest.param(["warm-a"], 0, [], id="no-room"),
        pytest.param(["warm-a"], -1, [], id="too-many-run"),
        pytest.param(["gone", "warm-a", "warm-b"], 1, ["warm-a"], id="missing-job-is-skipped"),
    ],
)
def test_jobs_are_resumed_up_to_the_limit(
    names: Sequence[str], limit: int, resumed: list[str]
) -> None:
    scene = Scene()
    for name in ("warm-b", "warm-c"):
        scene.cluster.create_job(make_warmup(name).body())
    plan = ResumeJobs(tuple(map(JobName, names)), limit)

    assert scene.execute.resume(scene.cluster, lambda: plan) == {"resumed": resumed}
    running = [name for name, job in scene.cluster.jobs.items() if not job["spec"]["suspend"]]
    assert running == resumed


class StatusWriter(FakeCluster):
    """A cluster whose Job controller writes the status of a Job just before it is patched."""

    def patch_job(self, name: str, patch: Mapping[str, Any]) -> bool:
        super().patch_job(name, {"status": {"conditions": [{"type": "Suspended"}]}})
        return super().patch_job(name, patch)


def test_job_is_resumed_although_its_status_changed() -> None:
    scene = Scene(cluster=StatusWriter())

    done = scene.execute.resume(scene.cluster, lambda: ResumeJobs((JOB,), 1))

    assert done == {"resumed": [JOB]}


REQUEUED = "2026-11-24T07:02:00Z"


@pytest.mark.parametrize(
    ("version", "limit", "done"),
    [
        pytest.param(
            None, 0, {"resumed": ["warm-b"], "requeued": ["warm-a"]}, id="place-goes-to-the-next"
        ),
        pytest.param(
            None, 1, {"resumed": ["warm-b", "warm-a"], "requeued": ["warm-a"]}, id="room-for-both"
        ),
        pytest.param("stale", 0, {"resumed": []}, id="changed-job-keeps-its-place"),
        pytest.param("stale", 5, {"resumed": ["warm-b"]}, id="changed-job-is-not-resumed"),
    ],
)
def test_suspended_job_gives_up_its_place(
    version: str | None, limit: int, done: Mapping[str, Any]
) -> None:
    scene = Scene()
    scene.cluster.create_job(make_warmup("warm-b").body())
    scene.job["spec"]["suspend"] = False
    suspension = SuspendJob(JOB, version or scene.version, 2, REQUEUED)
    plan = ResumeJobs((JobName("warm-b"), JOB), limit, (suspension,))

    assert scene.execute.resume(scene.cluster, lambda: plan) == done
    assert scene.job["spec"]["suspend"] is ("requeued" in done and JOB not in done["resumed"])
    annotations = scene.job["metadata"]["annotations"]
    assert annotations.get("prestream.dev/attempts") == ("2" if "requeued" in done else None)
    assert annotations.get("prestream.dev/requeued") == (REQUEUED if "requeued" in done else None)


def test_ended_job_keeps_its_place_until_it_has_ended() -> None:
    scene = Scene()
    scene.cluster.create_job(make_warmup("warm-b").body())
    end = EndJob(JOB, scene.version, "why")
    plan = ResumeJobs((JobName("warm-b"),), 0, (end,))

    assert scene.execute.resume(scene.cluster, lambda: plan) == {"resumed": [], "ended": [JOB]}
    assert scene.job["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize("dry_run", [False, True])
def test_prewarming_returns_the_artifact_unless_suppressed(*, dry_run: bool) -> None:
    scene = Scene(dry_run=dry_run)

    was_made, artifact = scene.execute.prewarm(Prewarm(VERSION, "us-central1", 3))

    assert was_made is not dry_run
    assert (artifact is None) is dry_run
    assert scene.api.calls == ([] if dry_run else ["prewarm"])


@pytest.mark.parametrize(("dry_run", "details"), [(False, {}), (True, {"dry_run": True})])
def test_log_line_marks_a_dry_run(details: dict[str, Any], *, dry_run: bool) -> None:
    assert Scene(dry_run=dry_run).execute.details == details


def test_other_modules_of_the_pipeline_do_not_read_dry_run() -> None:
    folder = Path(execute.__file__).parent
    reading = {each.name for each in folder.rglob("*.py") if "dry_run" in each.read_text("utf-8")}

    assert reading == {"execute.py"}
