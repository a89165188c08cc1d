"""The main job: a workload that names Docker Hub, and a second node that streams its image."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.kubernetes.audit import AuditRecord
from sandbox.messaging import AUDIT
from sandbox.pubsub.message import Message
from tests.integration.pipelines import DEV, L4, TIMEOUT_S, Pipeline
from tests.integration.warmup_jobs import annotation, is_finished, is_reported

RAY = "anyscale/ray-ml:2.7.0"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
SPOT = {**L4, "cloud.google.com/gke-spot": "true"}
IDENTITIES = "prestream-"


@dataclass(frozen=True)
class MainJob:
    """The results of the main job, with every message delivered twice."""

    deployed: dict[str, Any]
    deployment: dict[str, Any]
    digest: str
    job: dict[str, Any]
    warmup: dict[str, Any]
    pull: dict[str, Any]
    stream: dict[str, Any]
    writes: list[AuditRecord]
    entries: list[Message]
    requests: list[tuple[str, str, str, int]]


@pytest.fixture(scope="module")
def main_job(pipeline: Pipeline) -> Iterator[MainJob]:
    cloud = pipeline.cloud
    writes: list[AuditRecord] = []
    # Another test's, if it is there: the main job begins without a mirror.
    pipeline.delete_repository("dockerhub-mirror")
    requests, heard = len(cloud.artifact_registry.requests), len(pipeline.messages(AUDIT))
    cloud.kubernetes.on_audit(writes.append)
    cloud.router.duplicate = lambda _: True
    # Scaled to zero, so that no pod of its own pulls the image onto a node of the warmup's.
    deployed = pipeline.deploy("test", RAY, SPOT, replicas=0)
    warmup = pipeline.warmup(RAY)
    pipeline.add_gpu_node("gke-gpu-l4-fresh", "fresh", accelerator="nvidia-l4")
    again = {**SPOT, "kubernetes.io/hostname": "gke-gpu-l4-fresh"}
    pipeline.deploy("again", f"{MIRROR}:2.7.0", again)
    pull = pipeline.fact(event="pull.observed", node="gke-gpu-l4-fresh")
    stream = pipeline.fact(event="stream.observed", node="gke-gpu-l4-fresh", layers=24)
    assert cloud.router.flush(TIMEOUT_S)
    cloud.router.duplicate = None
    assert pipeline.pubsub.settled(TIMEOUT_S)
    yield MainJob(
        deployed=deployed,
        deployment=pipeline.api.read("deployments.apps", "test", "ml"),
        digest=cloud.catalogue.fetch("docker.io", "anyscale/ray-ml", "2.7.0").digest,
        job=pipeline.job(RAY, is_reported),
        warmup=warmup,
        pull=pull["jsonPayload"],
        stream=stream["jsonPayload"],
        writes=writes,
        entries=pipeline.messages(AUDIT)[heard:],
        requests=cloud.artifact_registry.requests[requests:],
    )
    for name in ("test", "again"):
        pipeline.api.delete("deployments.apps", name, "ml", user=DEV)


def test_mirror_is_made_with_labels_description_and_cleanup(
    pipeline: Pipeline, main_job: MainJob
) -> None:
    mirror = pipeline.repository("dockerhub-mirror")

    assert main_job.warmup["outcome"] == "pulled"
    assert mirror is not None
    assert (mirror["format"], mirror["mode"]) == ("DOCKER", "REMOTE_REPOSITORY")
    assert mirror["remoteRepositoryConfig"]["dockerRepository"] == {
        "publicRepository": "DOCKER_HUB"
    }
    assert mirror["labels"] == {"managed-by": "prestream"}
    assert "docker.io" in mirror["description"]
    policies = {each["action"]: each for each in mirror["cleanupPolicies"].values()}
    assert policies["DELETE"]["condition"]["olderThan"] == f"{90 * 24 * 3600}s"
    assert policies["KEEP"]["mostRecentVersions"]["keepCount"] > 0


def test_warmup_job_names_its_image_and_cause(main_job: MainJob) -> None:
    cause = json.loads(annotation(main_job.job, "cause") or "")

    assert annotation(main_job.job, "image") == RAY
    assert annotation(main_job.job, "mirror") == f"{MIRROR}@{main_job.digest}"
    assert annotation(main_job.job, "digest") == main_job.digest
    assert cause["kind"] == "audit_log"
    assert cause["resource"] == "apps/v1/namespaces/ml/deployments/test"
    assert is_finished(main_job.job)


def test_warmup_is_reported_with_figures(pipeline: Pipeline, main_job: MainJob) -> None:
    fact = main_job.warmup
    size = pipeline.cloud.catalogue.fetch("docker.io", "anyscale/ray-ml", "2.7.0").image_bytes

    assert (fact["outcome"], fact["strategy"]) == ("pulled", "gpu-node")
    assert fact["job"] == main_job.job["metadata"]["name"]
    assert (fact["digest"], fact["cluster"]) == (main_job.digest, pipeline.cloud.cluster)
    assert (fact["node_pool"], fact["accelerator"]) == ("l4-spot", "nvidia-l4")
    assert fact["node"] in {"gke-gpu-l4-a", "gke-gpu-l4-b"}
    assert fact["cause"]["resource"] == "apps/v1/namespaces/ml/deployments/test"
    assert fact["image_bytes"] == size
    assert fact["pull_seconds"] == pytest.approx(size / 31e6 + 24 * 0.17, abs=1.0)
    assert fact["total_seconds"] > fact["pull_seconds"]
    assert fact["started_at"] is not None
    assert fact["streamed"] == "not_streamed"
    assert fact["evidence"]


def test_second_node_streams_the_image(main_job: MainJob) -> None:
    pull = main_job.pull

    assert pull["mirror"] == f"{MIRROR}:2.7.0"
    assert pull["image"] == "docker.io/anyscale/ray-ml:2.7.0"
    assert pull["workload"].startswith("core/v1/namespaces/ml/pods/again-")
    assert pull["pull_seconds"] < main_job.warmup["pull_seconds"] / 10
    assert pull["streamed"] == "streamed"
    assert any("is backed by image streaming" in each["text"] for each in pull["evidence"])


def test_streaming_of_the_second_node_is_recorded(pipeline: Pipeline, main_job: MainJob) -> None:
    assert (main_job.stream["layers"], main_job.stream["streamed_layers"]) == (24, 24)
    assert main_job.stream["mirror"] == f"{MIRROR}:2.7.0"
    assert main_job.stream["cluster"] == pipeline.cloud.cluster


def test_deployment_stays_as_its_author_wrote_it(main_job: MainJob) -> None:
    before, after = main_job.deployed, main_job.deployment
    ours = [each for each in main_job.writes if each.user.startswith(IDENTITIES)]

    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert before["spec"]["template"]["spec"]["containers"][0]["image"] == RAY
    # The ConfigMap is the one of proven mirrors: the first warmup through a mirror proves it.
    written = {(each.resource, each.namespace) for each in ours}
    assert written - {("configmaps", "prestream")} == {("jobs", "prestream")}


def test_each_function_writes_under_its_own_identity(main_job: MainJob) -> None:
    job = main_job.job["metadata"]["name"]
    written = {
        (each.user.partition("@")[0], each.verb)
        for each in main_job.writes
        if each.resource == "jobs" and each.name == job and each.user.startswith(IDENTITIES)
    }

    assert ("prestream-image-reference", "create") in written
    assert ("prestream-pull-event", "patch") in written
    assert ("prestream-pull-event", "create") not in written


def test_messages_that_come_twice_make_one_mirror_one_job_and_one_fact(
    pipeline: Pipeline, main_job: MainJob
) -> None:
    announced = pipeline.reference_messages(RAY)
    entries = Counter(message.data for message in main_job.entries)
    made = [
        path
        for method, _, path, status in main_job.requests
        if method == "POST" and path.endswith("/repositories") and status == 200
    ]
    pulls = pipeline.facts(event="pull.observed", node="gke-gpu-l4-fresh", mirror=f"{MIRROR}:2.7.0")

    # Else nothing came twice, and the rest would show nothing.
    assert max(entries.values()) == 2
    assert len(announced) == 2
    assert len(made) == 1
    assert len(pipeline.jobs(RAY)) == 1
    assert len(pipeline.facts(event="warmup.finished", image=RAY)) == 1
    assert len(pulls) == 1


def test_repeated_request_in_a_period_is_known(pipeline: Pipeline, main_job: MainJob) -> None:
    message = pipeline.ask(RAY, placement=main_job_placement(main_job))

    line = pipeline.line(message, "handled")

    assert line["known"] == [main_job.job["metadata"]["name"]]
    assert len(pipeline.jobs(RAY)) == 1


def test_force_warms_again_within_a_period(pipeline: Pipeline, main_job: MainJob) -> None:
    message = pipeline.ask(RAY, placement=main_job_placement(main_job), force=True)

    line = pipeline.line(message, "handled")
    fact = pipeline.warmup(RAY, job=line["created"][0])

    assert line["created"] != [main_job.job["metadata"]["name"]]
    assert fact["outcome"] in {"pulled", "already_present"}


def main_job_placement(main_job: MainJob) -> dict[str, Any]:
    """Return the placement that the Deployment's own reference had."""
    spec = main_job.deployed["spec"]["template"]["spec"]
    return {"nodeSelector": spec["nodeSelector"], "tolerations": spec["tolerations"]}


@pytest.mark.parametrize("order", ["as they came", "reversed"])
def test_reports_that_come_late_and_in_any_order_make_the_same_facts(
    pipeline: Pipeline, order: str
) -> None:
    name = f"order-{order.partition(' ')[0]}"
    image = pipeline.add_image(f"team/{name}")
    node = f"gke-gpu-{name}"
    pipeline.add_gpu_node(node, name)
    mirror = f"us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/{name}:1"
    held: list[dict[str, Any]] = []

    def hold(entry: Mapping[str, Any]) -> bool:
        # The reports of the nodes and the Job are held back until all of it has happened.
        is_report = not entry["logName"].endswith("activity")
        held.extend([dict(entry)] if is_report else [])
        return is_report

    pipeline.cloud.router.lose = hold
    try:
        pipeline.ask(image)
        pipeline.job(image, is_finished)
        pipeline.deploy(name, mirror, {"kubernetes.io/hostname": node})
        pipeline.wait(lambda: runs(pipeline, name))
        assert pipeline.cloud.router.flush(TIMEOUT_S)
    finally:
        pipeline.cloud.router.lose = None
    assert not pipeline.facts(image=image)
    for entry in held if order == "as they came" else reversed(held):
        pipeline.cloud.router.route(entry)
    warmup = pipeline.warmup(image)
    pull = pipeline.fact(event="pull.observed", mirror=mirror, node=node)["jsonPayload"]
    pipeline.fact(event="stream.observed", mirror=mirror, node=node, layers=2)
    pipeline.api.delete("deployments.apps", name, "ml", user=DEV)

    assert warmup["outcome"] == "pulled"
    assert warmup["pull_seconds"] == pytest.approx(10.3, abs=0.5)
    assert pull["streamed"] == "streamed"
    assert len(pipeline.facts(event="warmup.finished", image=image)) == 1
    assert len(pipeline.facts(event="pull.observed", mirror=mirror)) == 1


def runs(pipeline: Pipeline, deployment: str) -> bool:
    """Whether a Deployment's pod runs."""
    pods = pipeline.api.list("pods", "ml", label_selector=f"app={deployment}")
    return any(pod.get("status", {}).get("phase") == "Running" for pod in pods)


def test_lost_entry_of_a_workload_is_made_up_for_by_its_next_change(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/lost-entry")
    pipeline.cloud.router.lose = lambda entry: "lost-entry" in json.dumps(entry)
    pipeline.deploy("lost-entry", image, replicas=0)
    assert pipeline.cloud.router.flush(TIMEOUT_S)
    pipeline.cloud.router.lose = None
    assert not pipeline.reference_messages(image)

    change = {"metadata": {"annotations": {"owner": "team"}}}
    pipeline.api.patch("deployments.apps", "lost-entry", change, "ml", user=DEV)

    assert pipeline.warmup(image)["outcome"] == "pulled"


def test_lost_end_of_a_warmup_holds_up_no_other(pipeline: Pipeline) -> None:
    first, second, third, fourth = (pipeline.add_image(f"team/lost-end-{n}") for n in range(4))
    pipeline.cloud.router.lose = lambda entry: "warm-lost-end" in json.dumps(entry)
    with pipeline.running_on("lost-end-0", "lost-end-1"):
        for image in (first, second, third):
            pipeline.statuses(pipeline.ask(image))
        for image in (first, second):
            pipeline.end(image)
    assert pipeline.cloud.router.flush(TIMEOUT_S)
    pipeline.cloud.router.lose = None
    # Both ended unheard, so nobody has given the third its turn.
    assert pipeline.job(third)["spec"]["suspend"] is True

    pipeline.ask(fourth)

    assert pipeline.warmup(third)["outcome"] == "pulled"
    assert pipeline.warmup(fourth)["outcome"] == "pulled"


def test_reference_is_handled_again_after_a_lost_answer(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/lost-answer")

    with pipeline.fault("pubsub", "Push .*/prestream-image-reference", applied=True, times=1):
        message = pipeline.ask(image)
        assert pipeline.statuses(message) == [200, 200]

    assert pipeline.warmup(image)["outcome"] == "pulled"
    assert len(pipeline.jobs(image)) == 1
