"""Pods pull from the mirror: the policy in a cluster, and the whole story around it."""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.demo.case import make_deployment
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import encode
from sandbox.kubernetes.bootstrap import assemble
from sandbox.kubernetes.statuses import ApiError
from sandbox.local_cloud import LocalCloud
from shared.domain.mirror_reference import SKIPPED_ANNOTATION
from shared.domain.proven_mirrors import PARAMETER_NAME
from shared.domain.workload import ORIGINALS_ANNOTATION, read_originals
from tests.contract.rewriting_cases import (
    GHCR,
    HUB,
    IMAGES,
    PODS,
    PROVEN,
    ImageCase,
    PodCase,
    container,
    pod,
)
from tests.integration.conftest import ENDLESS_PERIOD
from tests.integration.pipelines import ADMIN, DEV, L4, MEDIUM, TIMEOUT_S, Pipeline

OURS = "prestream"
OPTED_IN = "opted-in"
OTHER = "other"
NODES = ("gke-gpu-l4-a", "gke-gpu-l4-b")
FRESH = "gke-gpu-l4-fresh"
OPT_IN = {"prestream.dev/rewrite": "enabled"}

Body = dict[str, Any]


def create_namespace(api: Api, name: str, labels: Mapping[str, str]) -> None:
    api.create("namespaces", {"metadata": {"name": name, "labels": dict(labels)}}, user=ADMIN)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A cluster with all manifests; no function runs, so that the parameter is the test's."""
    cloud = LocalCloud()
    cloud.start()
    cloud.apply_manifests()
    api = cloud.kubernetes.api
    create_namespace(api, OPTED_IN, OPT_IN)
    create_namespace(api, OTHER, {})
    yield api
    cloud.stop()


@pytest.fixture(scope="module")
def plain() -> Api:
    """A cluster that has no policy."""
    api = Api(assemble(Clock()))
    create_namespace(api, OPTED_IN, OPT_IN)
    return api


def set_parameter(api: Api, data: Mapping[str, str] | None) -> None:
    body = {"metadata": {"name": PARAMETER_NAME}} | ({} if data is None else {"data": dict(data)})
    known = [each["metadata"]["name"] for each in api.list("configmaps", OURS)]
    if PARAMETER_NAME in known:
        api.replace("configmaps", PARAMETER_NAME, body, OURS, user=ADMIN)
    else:
        api.create("configmaps", body, OURS, user=ADMIN)


def admit(api: Api, body: Mapping[str, Any], namespace: str = OPTED_IN) -> Body | str:
    """Create a pod and delete it again; what was created, or why it was refused."""
    sent = copy.deepcopy(dict(body))
    # The volume of a token has a name that is another each time.
    sent["spec"]["automountServiceAccountToken"] = False
    try:
        created = api.create("pods", sent, namespace, user=DEV)
    except ApiError as error:
        return error.message
    api.delete("pods", created["metadata"]["name"], namespace, user=DEV, grace_period_s=0)
    return created


def spec_of(admitted: Body | str) -> bytes | str:
    return admitted if isinstance(admitted, str) else encode(admitted["spec"])


def put(spec: Body, path: str, image: str) -> None:
    *holders, name = path.strip("/").split("/")[1:]
    holder: Any = spec
    for each in holders:
        holder = holder[int(each)] if isinstance(holder, list) else holder[each]
    holder[name] = image


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.id)
def test_image_is_stored_as_in_the_table(api: Api, case: ImageCase) -> None:
    set_parameter(api, PROVEN)

    admitted = admit(api, pod(container(case.image)))

    assert not isinstance(admitted, str)
    assert images_of([admitted]) == [case.mirror or case.image]


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.id)
def test_pod_is_stored_as_in_the_table(api: Api, plain: Api, case: PodCase) -> None:
    set_parameter(api, case.data)
    expected = admit(plain, case.pod)

    admitted = admit(api, case.pod)

    if isinstance(expected, str):
        # An API server refuses the same pods with the policy as without it.
        assert admitted == expected
        return
    assert isinstance(admitted, dict)
    for path, image in case.images.items():
        put(expected["spec"], path, image)
    notes = admitted["metadata"].get("annotations", {})
    assert encode(admitted["spec"]) == encode(expected["spec"])
    assert set(read_originals(admitted)) == set(case.images.values())
    assert notes.get(SKIPPED_ANNOTATION) == case.skipped


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.id)
def test_pod_of_a_namespace_that_did_not_opt_in_is_the_same_to_the_byte(
    api: Api, plain: Api, case: PodCase
) -> None:
    set_parameter(api, PROVEN)

    admitted = admit(api, case.pod, OTHER)

    assert spec_of(admitted) == spec_of(admit(plain, case.pod))
    if isinstance(admitted, dict):
        assert admitted["metadata"].get("annotations") == case.pod["metadata"].get("annotations")


def test_debugger_is_rewritten_and_the_pod_around_it_is_not(api: Api) -> None:
    set_parameter(api, {})
    written = pod(container("nginx"), metadata={"name": "debugged"})
    api.create("pods", written, OPTED_IN, user=DEV)
    set_parameter(api, PROVEN)
    patch = {"spec": {"ephemeralContainers": [container("busybox", "debugger")]}}

    debugged = api.patch(
        "pods", "debugged", patch, OPTED_IN, user=DEV, subresource="ephemeralcontainers"
    )

    spec = debugged["spec"]
    assert spec["ephemeralContainers"][0]["image"] == f"{HUB}/library/busybox"
    assert spec["containers"][0]["image"] == "nginx"
    assert "annotations" not in debugged["metadata"]


def test_changed_parameter_takes_effect_and_the_policy_stays(api: Api) -> None:
    (policy,) = api.list("mutatingadmissionpolicies.admissionregistration.k8s.io")
    images = []
    for data in ({}, {"docker.io": HUB}, {"docker.io": f"{HUB}-2"}, {"docker.io": f"off {HUB}"}):
        set_parameter(api, data)
        admitted = admit(api, pod(container("nginx")))
        assert isinstance(admitted, dict)
        images += images_of([admitted])

    assert images == ["nginx", f"{HUB}/library/nginx", f"{HUB}-2/library/nginx", "nginx"]
    assert api.list("mutatingadmissionpolicies.admissionregistration.k8s.io") == [policy]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"docker.io": "{"}, id="no-mirror"),
        pytest.param({"docker.io": f"{HUB} ["}, id="no-pattern"),
        pytest.param({"docker.io": "\0"}, id="no-text"),
        pytest.param({"docker.io": "x" * 500_000}, id="too-long"),
        pytest.param({f"k{index}": HUB for index in range(2_000)}, id="too-many"),
        pytest.param(None, id="no-data"),
    ],
)
def test_broken_or_missing_parameter_admits_pods_unchanged(
    api: Api, plain: Api, data: Mapping[str, str] | None
) -> None:
    set_parameter(api, data)
    broken = admit(api, pod(container("nginx")))
    api.delete("configmaps", PARAMETER_NAME, OURS, user=ADMIN)
    missing = admit(api, pod(container("nginx")))

    for admitted in (broken, missing):
        assert isinstance(admitted, dict)
        assert spec_of(admitted) == spec_of(admit(plain, pod(container("nginx"))))
        assert "annotations" not in admitted["metadata"]


# The whole story, with the functions.


@pytest.fixture(scope="module")
def story(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    """A cloud of its own, since what is proven is the cluster's as a whole."""
    cloud = LocalCloud(scale=400.0, config=ENDLESS_PERIOD)
    started = Pipeline(cloud, archives, deployed_python).start(
        "audit_log", "image_reference", "pull_event"
    )
    create_namespace(started.api, OPTED_IN, OPT_IN)
    for node in NODES:
        started.add_gpu_node(node, "l4-spot", accelerator="nvidia-l4")
    cloud.gke.add_node("gke-gpu-cpu-a", pool="cpu")
    yield started
    started.stop()


def deploy(story: Pipeline, name: str, image: str, **fields: Any) -> None:
    body = make_deployment(name, image, node_selector=L4, **fields)
    body["metadata"]["namespace"] = OPTED_IN
    story.api.create("deployments.apps", body, OPTED_IN, user=DEV)


def read_proven(story: Pipeline) -> dict[str, str]:
    body = story.api.read("configmaps", PARAMETER_NAME, OURS)
    data: dict[str, str] = body["data"]
    return data


def pods_of(story: Pipeline, name: str) -> list[Body]:
    found = story.api.list("pods", OPTED_IN, label_selector=f"app={name}")
    return sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])


def images_of(pods: list[Body]) -> list[str]:
    return [each["spec"]["containers"][0]["image"] for each in pods]


def create_pod(story: Pipeline, name: str, image: str, *, gpus: int = 0) -> Body:
    """Create a pod that nobody owns; without a GPU, nobody warms its image either."""
    deployment = make_deployment(name, image, node_selector=L4 if gpus else {}, gpus=gpus)
    body = {"metadata": {"name": name}, "spec": deployment["spec"]["template"]["spec"]}
    return story.api.create("pods", body, OPTED_IN, user=DEV)


def test_second_pod_of_a_deployment_that_names_docker_hub_streams(story: Pipeline) -> None:
    image = story.add_image("team/untouched")
    mirror = f"{HUB}/team/untouched:1"
    assert "docker.io" not in read_proven(story)

    deploy(story, "untouched", image)
    story.wait(lambda: any("nodeName" in each["spec"] for each in pods_of(story, "untouched")))
    (first,) = pods_of(story, "untouched")
    # A warmup on the node that holds the image already would move nothing.
    story.cloud.gke.cordon(first["spec"]["nodeName"])
    assert story.warmup(image)["outcome"] == "pulled"
    story.wait(lambda: "docker.io" in read_proven(story))
    for node in {*NODES} - {first["spec"]["nodeName"]}:
        story.cloud.gke.cordon(node)
    story.add_gpu_node(FRESH, "fresh", accelerator="nvidia-l4", accelerator_count=4)
    scaled = {"spec": {"replicas": 2}}
    story.api.patch("deployments.apps", "untouched", scaled, OPTED_IN, user=DEV)
    pull = story.fact(event="pull.observed", node=FRESH)["jsonPayload"]

    first, second = pods_of(story, "untouched")
    template = story.api.read("deployments.apps", "untouched", OPTED_IN)["spec"]["template"]
    assert read_proven(story)["docker.io"] == HUB
    assert images_of([first, second]) == [image, mirror]
    assert first["spec"]["nodeName"] in NODES
    assert second["spec"]["nodeName"] == FRESH
    assert (pull["image"], pull["mirror"], pull["streamed"]) == (image, mirror, "streamed")
    assert template["spec"]["containers"][0]["image"] == image
    assert "annotations" not in template["metadata"]
    story.api.delete("deployments.apps", "untouched", OPTED_IN, user=DEV)


def test_rewritten_pod_is_announced_as_it_was_written_and_nothing_loops(story: Pipeline) -> None:
    prove(story, "docker.io")
    image = story.add_image("team/bare")
    mirror = f"{HUB}/team/bare:1"

    created = create_pod(story, "bare", image, gpus=1)
    warmup = story.warmup(image)
    story.wait(lambda: story.api.read("pods", "bare", OPTED_IN)["status"].get("phase") == "Running")
    assert story.cloud.router.flush(TIMEOUT_S)
    assert story.pubsub.settled(TIMEOUT_S)

    assert json.loads(created["metadata"]["annotations"][ORIGINALS_ANNOTATION]) == {mirror: image}
    assert (warmup["image"], warmup["mirror"].partition("@")[0]) == (image, f"{HUB}/team/bare")
    assert len(story.reference_messages(image)) == 1
    assert story.reference_messages(mirror) == []
    assert len(story.jobs(image)) == 1
    story.api.delete("pods", "bare", OPTED_IN, user=DEV)


def test_mirror_that_nodes_cannot_pull_from_is_given_up_before_more_pods_wait_for_it(
    story: Pipeline,
) -> None:
    prove(story, "ghcr.io")
    images = [story.add_image(f"team/denied-{n}", registry="ghcr.io") for n in range(2)]

    with story.fault("registry", "HEAD .*/ghcr-io-mirror/", 403):
        waiting = create_pod(story, "denied-0", images[0])
        fact = story.fact(event="mirror.distrusted")["jsonPayload"]
        story.wait(lambda: "ghcr.io" not in read_proven(story))
        after = create_pod(story, "denied-1", images[1])
        story.wait(
            lambda: story.api.read("pods", "denied-1", OPTED_IN)["status"].get("phase") == "Running"
        )

    assert images_of([waiting]) == [f"{GHCR}/team/denied-0:1"]
    assert (fact["upstream"], fact["cluster"]) == ("ghcr.io", story.cloud.cluster)
    assert fact["pods"] == [f"{OPTED_IN}/denied-0"]
    assert [fact["image"], fact["mirror"]] == [images[0], *images_of([waiting])]
    assert f"kubectl -n {OPTED_IN} delete pod denied-0" in fact["hint"]
    assert any("403 Forbidden" in each["text"] for each in fact["evidence"])
    assert images_of([after]) == [images[1]]
    assert ORIGINALS_ANNOTATION not in after["metadata"].get("annotations", {})
    for number in range(2):
        story.api.delete("pods", f"denied-{number}", OPTED_IN, user=DEV)


def prove(story: Pipeline, registry: str) -> None:
    """Let a warmup prove the mirror of a registry, if none has yet."""
    if registry in read_proven(story):
        return
    image = story.add_image("team/proof", MEDIUM, registry=registry)
    story.ask(image)
    assert story.warmup(image)["outcome"] == "pulled"
    story.wait(lambda: registry in read_proven(story))
