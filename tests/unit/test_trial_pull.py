"""One pull of a trial against a cluster in memory that repeats recorded messages of a kubelet."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.trial.pull_context import PullContext
from cli.trial.pull_job import PullJob
from cli.trial.pull_result import PullResult
from cli.trial.trial_image import TrialImage
from cli.trial.trial_step import Step, TrialNode
from cli.trial.trial_summary import TrialSummary
from shared.domain.image_reference import Digest, WrittenImage, parse_reference
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.domain.timestamp import format_time, parse_time
from shared.settings.keys import load_settings
from tests.fakes.clusters import FakeCluster

RECORDED = Path(__file__).parent.parent / "golden" / "kubelet-1.36" / "cases.json"
CASES = json.loads(RECORDED.read_text("utf-8"))
NODE = "gke-gpu-cpu-a"
DIGEST = Digest("sha256:47360230595b5592ddf47e9daa01a9a2f93a4cee930250534fae0b32617dd52a")
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/org/warm"
BIG = 9_700_000_000
SETTINGS = load_settings({"GOOGLE_CLOUD_PROJECT": "demo"})


def make_node(*, streams: bool, images: tuple[str, ...] = ()) -> dict[str, Any]:
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    if streams:
        labels["cloud.google.com/gke-image-streaming"] = "true"
    return {
        "kind": "Node",
        "metadata": {"name": NODE, "labels": labels, "creationTimestamp": "2026-11-01T00:00:00Z"},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": [each], "sizeBytes": 1} for each in images],
        },
    }


def read_message(case: str, reason: str) -> str:
    """Return the recorded message about the image's container."""
    found: str = next(
        event[4]
        for event in CASES[case]["events"]
        if event[1] == "containers" and event[3] == reason
    )
    return found


class Kubelet:
    """Runs the pod of each Job as soon as the trial waits."""

    def __init__(self, cluster: FakeCluster, message: str, *, waited_s: float = 5.0) -> None:
        self._cluster = cluster
        self._message = message
        self._waited = timedelta(seconds=waited_s)

    def run(self) -> None:
        for name, job in self._cluster.jobs.items():
            if job.get("status", {}).get("conditions"):
                continue
            created = parse_time(job["metadata"]["creationTimestamp"])
            self._add_pod(name, job, format_time(created + self._waited))
            self._cluster.end_job(name, "Complete")
            job["status"]["startTime"] = job["metadata"]["creationTimestamp"]

    def _add_pod(self, name: str, job: dict[str, Any], at: str) -> None:
        namespace = job["metadata"]["namespace"]
        pod = {
            "name": f"{name}-x",
            "namespace": namespace,
            "uid": "pod-1",
            "creationTimestamp": at,
            "labels": {"batch.kubernetes.io/job-name": name},
            "ownerReferences": [{"uid": job["metadata"]["uid"]}],
        }
        self._cluster.place({"kind": "Pod", "metadata": pod, "spec": {"nodeName": NODE}})
        about = {key: pod[key] for key in ("name", "namespace", "uid")}
        self._cluster.place(
            {
                "kind": "Event",
                "metadata": {"name": "e", "namespace": namespace, "uid": "event-1"},
                "involvedObject": {
                    **about,
                    "kind": "Pod",
                    "fieldPath": "spec.containers{image}",
                },
                "reason": "Pulled",
                "type": "Normal",
                "message": self._message,
                "source": {"component": "kubelet", "host": NODE},
                "firstTimestamp": at,
                "lastTimestamp": at,
            }
        )


def pull(cluster: FakeCluster, kubelet: Callable[[], None], *, size: int = 4_286_224) -> PullResult:
    mirror = parse_reference(f"{MIRROR}:1")
    image = TrialImage(
        WrittenImage.parse("org/warm:1"),
        Source(parse_reference("org/warm:1"), mirror),
        Manifest(DIGEST, layers=(size,)),
        size,
    )
    ticks = iter(range(1_000))
    context = PullContext(
        cluster=cluster,
        settings=SETTINGS,
        trial_id="trial",
        helper=parse_reference("busybox:1"),
        platform="linux/amd64",
        priority_class="trial",
        read_log=lambda _, __: (),
        settle_s=0.0,
        clock=lambda: float(next(ticks)),
        pause=kubelet,
    )
    step = Step("again", 1, TrialNode(NODE))
    return PullJob(context, step, image, 900.0).run()


def test_kubelet_with_plain_containerd_shows_no_streaming() -> None:
    cluster = FakeCluster()
    cluster.place(make_node(streams=False))

    result = pull(cluster, Kubelet(cluster, read_message("job-pulled", "Pulled")).run)

    assert (result.outcome, result.seconds, result.counts) == ("pulled", 0.203, True)
    assert result.streamed == "unknown"
    summary = TrialSummary.of([result])
    assert summary.conclusion == "none"
    assert summary.headline.startswith("Nothing shows that an image was streamed")


def test_recorded_pull_of_a_node_that_held_the_image_is_not_a_result() -> None:
    cluster = FakeCluster()
    cluster.place(make_node(streams=True))

    result = pull(cluster, Kubelet(cluster, read_message("present-never", "Pulled")).run)

    assert (result.verdict, result.counts) == ("was on the node", False)


@pytest.mark.parametrize(
    ("waited_s", "verdict", "counts"),
    [
        pytest.param(10, "likely streamed", True, id="at-once"),
        pytest.param(600, "not shown cold", False, id="after-ten-minutes"),
    ],
)
def test_fast_pull_counts_only_soon_after_its_node_lacked_the_image(
    waited_s: float, verdict: str, *, counts: bool
) -> None:
    cluster = FakeCluster()
    cluster.place(make_node(streams=True))
    image = f'"{MIRROR}@{DIGEST}"'
    message = f"Successfully pulled image {image} in 5s (5s including waiting). Image size: {BIG}"

    kubelet = Kubelet(cluster, f"{message} bytes.", waited_s=waited_s)
    result = pull(cluster, kubelet.run, size=BIG)

    assert (result.verdict, result.counts) == (verdict, counts)


def test_node_that_got_the_image_before_the_pull_is_not_used() -> None:
    cluster = FakeCluster()
    cluster.place(make_node(streams=True, images=(f"{MIRROR}@{DIGEST}",)))

    result = pull(cluster, lambda: None)

    assert (result.outcome, result.counts, cluster.jobs) == ("no_node", False, {})
    assert "holds the image" in (result.reason or "")


def test_pod_of_a_pull_may_run_on_its_node_alone() -> None:
    cluster = FakeCluster()
    cluster.place(make_node(streams=True))

    pull(cluster, Kubelet(cluster, read_message("job-pulled", "Pulled")).run)

    (job,) = cluster.jobs.values()
    affinity = job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] == [
        {
            "matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
            ]
        }
    ]


@pytest.mark.parametrize("case", ["missing-digest", "answers-403-digest"])
def test_pull_that_cannot_succeed_is_ended_before_its_deadline(case: str) -> None:
    cluster = FakeCluster()
    cluster.place(make_node(streams=True))
    text = CASES[case]["status"]["containers"]["app"]["message"]
    waits: list[int] = []

    def refuse() -> None:
        waits.append(len(cluster.pods))
        for name, job in cluster.jobs.items():
            if job["spec"]["activeDeadlineSeconds"] == 1:
                cluster.end_job(name, "Failed")
            elif not cluster.pods:
                waiting = {"reason": "ImagePullBackOff", "message": text}
                metadata = {
                    "name": f"{name}-x",
                    "uid": "pod-1",
                    "labels": {"batch.kubernetes.io/job-name": name},
                    "ownerReferences": [{"uid": job["metadata"]["uid"]}],
                }
                status = {"containerStatuses": [{"name": "image", "state": {"waiting": waiting}}]}
                spec = {"nodeName": NODE}
                cluster.place({"kind": "Pod", "metadata": metadata, "spec": spec, "status": status})

    result = pull(cluster, refuse)

    assert (result.outcome, result.counts) == ("pull_failed", False)
    assert waits == [0, 1]
