"""The simulated nodes, scheduler and Job controller against recordings of the real ones."""

import itertools
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.artifact_registry.registry_server import ArtifactRegistry
from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.gke.gke_cluster import GkeCluster
from sandbox.gke.scheduler import SchedulerEvents
from sandbox.kubernetes.server import KubernetesServer
from sandbox.streaming_cache import StreamingCache

RECORDED = Path(__file__).parent.parent / "golden" / "kubelet-1.36" / "cases.json"
CASES: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text("utf-8"))
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
NODE = "real-2"
SMALL, SLOW = Image((1_000_000,), build="small"), Image((2_400_000_000,), build="slow")
ODD_IMAGES = {
    "index-only-arm64": Image((5_000_000,), ("linux/arm64",), index=True, build="arm"),
    "answers-schema-1": Image((1_000_000,), flavour="schema-1", build="old"),
}
ABSENT_DIGEST = f"sha256:{'1' * 64}"
PULL_FAILURES = {"ErrImagePull", "ImagePullBackOff"}
EXIT_CODES = {
    "ended-badly": 3,
    "ended-again-and-again": 1,
    "job-backoff-limit": 3,
    "job-pod-failure-policy": 3,
}
DEV = "dev@example.com"
TIMEOUT_S = 20.0

LOW_PRIORITY = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "low"},
    "value": -10,
    "preemptionPolicy": "Never",
}

AFTER = {
    "job-ended-early": "ErrImagePull",
    "job-suspended-mid-pull": "Pulling",
    "job-resumed-mid-pull": "Pulling",
    "job-deleted-mid-pull": "Pulling",
    "job-preempted-mid-pull": "Pulling",
    "job-pod-deleted": "Pulling",
}
"""After which event of the image's container something happens to the Job or its pod."""


@dataclass
class Lab:
    """A cluster with a registry."""

    faults: Faults
    registry: ArtifactRegistry
    cluster: GkeCluster

    @property
    def api(self) -> Any:
        return self.cluster.server.api

    def events(self) -> set[tuple[str, ...]]:
        found = self.api.list("events", "default")
        return {
            (
                event["involvedObject"]["kind"],
                event["involvedObject"].get("fieldPath", "").split("{")[0].removeprefix("spec."),
                event["type"],
                event["reason"],
                normalize(event["message"]),
            )
            for event in found
            if event["involvedObject"]["kind"] in {"Pod", "Job"}
            and event["involvedObject"]["name"] != "other"
        }

    def pod(self) -> Any:
        (pod,) = self.api.list("pods", "default")
        return pod

    def wait(self, predicate: Any) -> bool:
        return self.cluster.wait_for(predicate, TIMEOUT_S)


@pytest.fixture
def lab() -> Iterator[Lab]:
    clock, faults, catalogue = Clock(60), Faults(), Catalogue()
    catalogue.add("docker.io/library/busybox", "1.36", SMALL)
    cache = StreamingCache(clock)
    registry = ArtifactRegistry(clock, faults, catalogue, cache).start()
    server = KubernetesServer(clock, faults).start()
    cluster = GkeCluster(
        server,
        clock,
        project="demo",
        location="us-central1",
        name="gpu",
        registry=registry.address,
        cache=cache,
        catalogue=catalogue,
    ).start()
    yield Lab(faults, registry, cluster)
    cluster.stop()
    server.stop()
    registry.stop()
    assert not [each for each in threading.enumerate() if each.name == "pod-worker"]


def normalize(text: str) -> str:
    """Replace the parts of a message that differ from run to run."""
    for pattern, replacement in (
        (r"sha256:(?!1{64})[0-9a-f]{64}", "DIGEST"),
        (r"\b(\d+m)?[\d.]+m?s\b(?= \(| including)", "TIME"),
        (r"size: \d+ bytes", "size: N bytes"),
        (r"back-off \d+s", "back-off TIME"),
        (r"read tcp \S+: read", "read"),
        (r"[\w-]+_\w+\([0-9a-f-]{36}\)", "POD"),
        (r"\b\w+/[\w-]+-real-2(-\w{5})?\b", "POD"),
        (r"\b[\w-]+-real-2-\w{5}\b", "POD"),
    ):
        text = re.sub(pattern, replacement, text)
    return text


def recorded_events(case: Mapping[str, Any]) -> set[tuple[str, ...]]:
    return {(*event[:4], normalize(moved(event[4]))) for event in case["events"]}


def moved(text: str) -> str:
    """Replace the host that closes connections by a repository whose requests a fault hits."""
    text = text.replace("//closes.example.com/v2/", "//us-docker.pkg.dev/v2/demo/closes/")
    return text.replace("closes.example.com", "us-docker.pkg.dev/demo/closes")


def is_backoff(event: tuple[str, ...]) -> bool:
    return event[3] == "BackOff" or event[4] == "Error: ImagePullBackOff"


def containers(case: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from case["pod"].get("initContainers", ())
    yield from case["pod"]["containers"]


def arrange(lab: Lab, name: str, case: Mapping[str, Any]) -> None:
    """Push the images of a case, switch on its fault, and add three nodes as recorded."""
    for container in containers(case):
        container["image"] = push(lab, container["image"], ODD_IMAGES.get(name, SMALL))
    add_fault(lab, name, case)
    held = [each["image"] for each in containers(case)] if name.startswith("present") else []
    for node in ("real-1", NODE, "real-3"):
        is_real = node == NODE
        labels = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"} if is_real else {}
        images = held if is_real else []
        lab.cluster.add_node(node, pool="p", taints=[TAINT], labels=labels, images=images)
    switches = lab.cluster.switches
    for container in case["pod"]["containers"]:
        if "no-such-file" in name:
            switches.start_errors[container["image"]] = container["command"][0]
        if code := EXIT_CODES.get(name):
            switches.exit_codes[container["image"]] = code


def push(lab: Lab, reference: str, image: Image) -> str:
    """Push the image of a reference unless it is absent, and return the reference to it."""
    if ".pkg.dev/" not in reference or re.search(r"absent|missing|never|1{64}", reference):
        return moved(reference)
    path, _, digest = reference.partition("@")
    path, _, tag = path.partition(":")
    pushed = lab.registry.push(path, tag or "v1", SLOW if "slow" in reference else image)
    return reference.replace(digest, pushed) if digest else reference


def add_fault(lab: Lab, name: str, case: Mapping[str, Any]) -> None:
    """Switch on the answers of the recorded registry."""
    if name == "host-closes":
        lab.faults.add(Fault("registry", "app", status=0))
    if match := re.search(r"answers-(\d+)", case["pod"]["containers"][0]["image"]):
        lab.faults.add(Fault("registry", "answers", status=int(match[1]), body=error_body(case)))


def error_body(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the body that made containerd append a line to its error."""
    for event in case["events"]:
        if match := re.search(r"\n(\w+): (.*)", event[4]):
            return {"errors": [{"code": match[1].upper(), "message": match[2]}]}
    return None


def create(lab: Lab, name: str, case: Mapping[str, Any]) -> None:
    """Create the pod or the Job of a case, and before it what the recording found there."""
    metadata: dict[str, Any] = {"name": f"{name}-real-2", "namespace": "default"}
    if case["pod"].pop("preemptionPolicy", "") == "Never":
        lab.api.create("priorityclasses.scheduling.k8s.io", LOW_PRIORITY, user=DEV)
        case["pod"]["priorityClassName"] = "low"
    if name == "scheduling-cordoned":
        lab.cluster.cordon(NODE)
    if name == "scheduling-anti-affinity":
        (term,) = case["pod"]["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        metadata["labels"] = term["labelSelector"]["matchLabels"]
        other = {**metadata, "name": "other"}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": other, "spec": case["pod"]}
        lab.api.create("pods", body, user=DEV)
        assert lab.wait(lambda: lab.api.read("pods", "other", "default")["spec"].get("nodeName"))
    if "job" not in case:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": case["pod"]}
        lab.api.create("pods", body, user=DEV)
        return
    spec = {**case["job"]["spec"], "template": {"spec": case["pod"]}}
    spec["suspend"] = False
    if name in AFTER:
        spec.pop("activeDeadlineSeconds", None)
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    lab.api.create("jobs.batch", body, user=DEV)


def interfere(lab: Lab, name: str) -> None:
    """Do to the Job or its pod what was done in the recording."""
    job = f"{name}-real-2"
    assert lab.wait(
        lambda: any(
            event[1] == "containers" and AFTER[name] in f"{event[3]} {event[4]}"
            for event in lab.events()
        )
    )
    if name == "job-deleted-mid-pull":
        lab.api.delete("jobs.batch", job, "default", user=DEV)
    elif name == "job-ended-early":
        patch_job(lab, job, activeDeadlineSeconds=1)
    elif name == "job-preempted-mid-pull":
        preempt(lab)
    elif name == "job-pod-deleted":
        lab.api.delete("pods", lab.pod()["metadata"]["name"], "default", user=DEV)
    else:
        patch_job(lab, job, suspend=True)
    if name == "job-resumed-mid-pull":
        assert lab.wait(lambda: ("Job", "", "Normal", "Suspended", "Job suspended") in lab.events())
        patch_job(lab, job, suspend=False)


def patch_job(lab: Lab, name: str, **spec: Any) -> None:
    lab.api.patch("jobs.batch", name, {"spec": spec}, "default", user=DEV)


def preempt(lab: Lab) -> None:
    """Preempt the pod as the scheduler does, which the simulated one never does."""
    pod = lab.pod()
    name = pod["metadata"]["name"]
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    changed = {"status": {"conditions": [*pod["status"]["conditions"], condition]}}
    lab.api.patch("pods", name, changed, "default", user=DEV, subresource="status")
    (message,) = (
        event[4] for event in CASES["job-preempted-mid-pull"]["events"] if event[3] == "Preempted"
    )
    SchedulerEvents(lab.api, Clock()).record(pod, "Normal", "Preempted", "Preempting", message)
    lab.api.delete("pods", name, "default", user=DEV)


def states(status: Mapping[str, Any], field: str) -> dict[str, dict[str, Any]]:
    found = {}
    for each in status.get(f"{field[:-1]}Statuses") or []:
        ((kind, state),) = each["state"].items()
        kept = {key: state[key] for key in ("reason", "message", "exitCode") if key in state}
        found[each["name"]] = {"state": kind, **kept}
    return found


def same_state(found: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
    """Compare states; a failed pull alternates between two reasons."""
    if recorded.get("reason") in PULL_FAILURES:
        text = normalize(moved(recorded["message"])).removeprefix("Back-off pulling image")
        is_same = text.split(": ", 1)[-1] in normalize(found.get("message", ""))
        return found.get("reason") in PULL_FAILURES and is_same
    wanted = {key: recorded[key] for key in ("state", "reason", "exitCode") if key in recorded}
    return all(found.get(key) == value for key, value in wanted.items())


def conditions(listed: Any) -> set[tuple[str, str, str]]:
    return {(each["type"], each["status"], each.get("reason", "")) for each in listed}


def check_status(lab: Lab, name: str, recorded: Mapping[str, Any]) -> str:
    """Return the difference between a pod's status and the recorded one; empty if none."""
    status = lab.api.read("pods", f"{name}-real-2", "default")["status"]
    if status["phase"] != recorded["phase"]:
        return f"phase {status['phase']}, not {recorded['phase']}"
    if conditions(status.get("conditions", ())) != conditions(recorded["conditions"]):
        return f"{status.get('conditions')} != {recorded['conditions']}"
    for container, state in recorded["containers"].items():
        found = states(status, "containers").get(container, {})
        if not same_state(found, state):
            return f"{found} != {state}"
    return ""


@pytest.mark.parametrize("name", CASES)
def test_events_and_status_are_as_recorded(lab: Lab, name: str) -> None:
    case = json.loads(json.dumps(CASES[name]))
    arrange(lab, name, case)
    create(lab, name, case)
    if name in AFTER:
        interfere(lab, name)

    expected = recorded_events(CASES[name])
    # Whether a Job ends before the first back-off is a matter of seconds.
    is_optional = is_backoff if "job" in case else lambda _: False
    expected = set(itertools.filterfalse(is_optional, expected))
    lab.wait(lambda: lab.events() >= expected)
    assert set(itertools.filterfalse(is_optional, lab.events())) == expected
    if "job" not in case:
        lab.wait(lambda: not check_status(lab, name, case["status"]))
        assert not check_status(lab, name, case["status"])
    elif case["job"]["conditions"] and name != "job-deleted-mid-pull":
        job = lab.api.read("jobs.batch", f"{name}-real-2", "default")["status"]
        assert conditions(job["conditions"]) == conditions(case["job"]["conditions"])
        for count in ("succeeded", "failed"):
            assert job.get(count) == case["job"].get(count)
