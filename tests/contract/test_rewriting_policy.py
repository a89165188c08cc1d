"""The policy that rewrites pods: its expressions with the shared table, and with odd pods."""

import copy
import json
import re
from typing import Any

import jsonpatch
import pytest
import yaml
from kubernetes_validate.utils import validate

from shared.domain.image_reference import parse_reference
from shared.domain.mirror_reference import SKIPPED_ANNOTATION
from shared.domain.proven_mirrors import PARAMETER_NAME, ProvenMirrors
from shared.domain.workload import ORIGINALS_ANNOTATION, find_pod_specs, read_originals
from shared.settings.keys import Settings
from tests.contract.policy_engine import BINDING, FILE, POLICY, Policy
from tests.contract.rewriting_cases import (
    DIGEST,
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

GROUP = "admissionregistration.k8s.io"
ENGINE = Policy()
OVERLAYS = FILE.parent.parent / "overlays"


def read_images(body: Any) -> list[str]:
    return [each["image"] for each in body["spec"]["containers"]]


def read_annotations(body: Any) -> dict[str, str]:
    annotations: dict[str, str] = body["metadata"].get("annotations", {})
    return annotations


def at(body: Any, path: str) -> Any:
    for name in path.strip("/").split("/"):
        body = body[int(name)] if isinstance(body, list) else body[name]
    return body


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.id)
def test_image_is_rewritten_as_in_the_table(case: ImageCase) -> None:
    admitted = ENGINE.admit(pod(container(case.image)), PROVEN)

    assert read_images(admitted) == [case.mirror or case.image]


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.id)
def test_pod_is_rewritten_as_in_the_table(case: PodCase) -> None:
    admitted = ENGINE.admit(case.pod, case.data)

    expected: Any = copy.deepcopy(case.pod)
    originals: dict[str, str] = {}
    for path, image in case.images.items():
        *holder, name = path.split("/")
        at(expected, "/".join(holder))[name] = image
        originals.setdefault(image, at(case.pod, path))
    notes: dict[str, Any] = {}
    if originals:
        notes[ORIGINALS_ANNOTATION] = originals
    if case.skipped:
        notes[SKIPPED_ANNOTATION] = case.skipped
    got = copy.deepcopy(admitted)
    text = read_annotations(got).get(ORIGINALS_ANNOTATION)
    if text is not None:
        got["metadata"]["annotations"][ORIGINALS_ANNOTATION] = json.loads(text)
    if notes:
        expected["metadata"].setdefault("annotations", {}).update(notes)
    assert got == expected


@pytest.mark.parametrize("case", PODS, ids=lambda case: case.id)
def test_admitting_twice_is_admitting_once(case: PodCase) -> None:
    once = ENGINE.admit(case.pod, case.data)

    assert ENGINE.admit(once, case.data) == once


def test_static_pod_is_shown_as_the_kubelet_runs_it() -> None:
    annotations = {"kubernetes.io/config.mirror": "0a1b"}
    static = pod(container("nginx"), metadata={"annotations": annotations})

    assert ENGINE.admit(static, PROVEN) == static


def test_sidecar_that_is_added_later_is_rewritten_too() -> None:
    admitted = ENGINE.admit(pod(container("nginx:1")), PROVEN)
    admitted["spec"]["containers"].append(container("ghcr.io/acme/proxy", "proxy"))

    again = ENGINE.admit(admitted, PROVEN)

    assert read_images(again) == [f"{HUB}/library/nginx:1", f"{GHCR}/acme/proxy"]
    assert json.loads(read_annotations(again)[ORIGINALS_ANNOTATION]) == {
        f"{HUB}/library/nginx:1": "nginx:1",
        f"{GHCR}/acme/proxy": "ghcr.io/acme/proxy",
    }


def test_sidecar_with_the_same_image_adds_no_original() -> None:
    admitted = ENGINE.admit(pod(container("nginx:1")), PROVEN)
    annotations = read_annotations(admitted)
    admitted["spec"]["containers"].append(container("docker.io/library/nginx:1", "b"))

    again = ENGINE.admit(admitted, PROVEN)

    assert read_images(again) == [f"{HUB}/library/nginx:1"] * 2
    assert read_annotations(again) == annotations


@pytest.mark.parametrize("text", ["", "{}", "[]", "nginx", "null", '{"a":1}', '{"'])
def test_annotation_of_a_person_does_not_spoil_ours(text: str) -> None:
    written = pod(container("nginx"), metadata={"annotations": {ORIGINALS_ANNOTATION: text}})

    admitted = ENGINE.admit(written, PROVEN)

    assert read_originals(admitted) == {f"{HUB}/library/nginx": "nginx"}


def test_annotations_that_would_be_too_large_leave_the_pod_alone() -> None:
    full = {"acme.com/notes": "ü" * 131_000}
    written = pod(container("nginx"), metadata={"annotations": full})

    assert ENGINE.admit(written, PROVEN) == written


def test_limit_of_annotations_is_not_passed_by_many_images() -> None:
    images = [f"acme/{'a' * 180}-{index}:{'b' * 128}" for index in range(40)]
    containers = [container(image, f"c{index}") for index, image in enumerate(images)]
    half_full = {"annotations": {"acme.com/notes": "a" * 140_000}}
    nearly_full = {"annotations": {"acme.com/notes": "a" * 240_000}}

    rewritten = ENGINE.admit(pod(*containers, metadata=half_full), PROVEN)
    left_alone = ENGINE.admit(pod(*containers, metadata=nearly_full), PROVEN)

    assert read_images(rewritten) == [f"{HUB}/{image}" for image in images]
    assert left_alone == pod(*containers, metadata=nearly_full)


def debugged(*images: str, **spec: Any) -> dict[str, Any]:
    ephemeral = [container(image, f"debugger-{index}") for index, image in enumerate(images)]
    return pod(container("nginx"), ephemeralContainers=ephemeral, **spec)


def test_ephemeral_container_is_rewritten() -> None:
    old = pod(container("nginx"))

    admitted = ENGINE.admit(debugged("busybox:1"), PROVEN, old=old)

    assert admitted == debugged(f"{HUB}/library/busybox:1")


def test_ephemeral_container_that_is_there_must_not_change() -> None:
    admitted = ENGINE.admit(debugged("busybox", "alpine"), PROVEN, old=debugged("busybox"))

    assert admitted == debugged("busybox", f"{HUB}/library/alpine")


def test_ephemeral_container_of_a_pod_with_pull_secrets_is_left_alone() -> None:
    secrets: dict[str, Any] = {"imagePullSecrets": [{"name": "hub"}]}
    sent = debugged("busybox", **secrets)

    assert ENGINE.admit(sent, PROVEN, old=pod(container("nginx"), **secrets)) == sent


def test_ephemeral_container_that_is_never_pulled_is_left_alone() -> None:
    sent = debugged("busybox")
    sent["spec"]["ephemeralContainers"][0]["imagePullPolicy"] = "Never"

    assert ENGINE.admit(sent, PROVEN, old=pod(container("nginx"))) == sent


def test_rewritten_pod_is_announced_as_it_was_written() -> None:
    written = pod(
        container("nginx:1"),
        container(f"ghcr.io/acme/app:2@{DIGEST}", "b"),
        container("us-docker.pkg.dev/acme/apps/own", "c"),
        volumes=[{"name": "model", "image": {"reference": "acme/model:7"}}],
    )

    admitted = ENGINE.admit(written, PROVEN)

    assert admitted != written
    assert [each.images for each in find_pod_specs(admitted)] == [
        each.images for each in find_pod_specs(written)
    ]


def test_rewritten_image_is_a_reference_of_the_same_version() -> None:
    for case in IMAGES:
        if case.mirror is None:
            continue
        (mirrored,) = read_images(ENGINE.admit(pod(container(case.image)), PROVEN))
        before, after = parse_reference(case.image), parse_reference(mirrored)

        assert (after.tag, after.digest) == (before.tag, before.digest)


def test_pods_are_admitted_despite_any_failure() -> None:
    spec, reference = POLICY["spec"], BINDING["spec"]["paramRef"]

    assert spec["failurePolicy"] == "Ignore"
    assert reference["parameterNotFoundAction"] == "Allow"
    assert "validationActions" not in BINDING["spec"]


def narrow() -> Policy:
    """Return the policy as the example's overlay has it."""
    overlay = yaml.safe_load((OVERLAYS / "rewriting" / "kustomization.yaml").read_text("utf-8"))
    (patch,) = overlay["patches"]
    assert patch["target"] == {"kind": POLICY["kind"], "name": POLICY["metadata"]["name"]}
    return Policy(jsonpatch.apply_patch(POLICY, yaml.safe_load(patch["patch"]))["spec"])


@pytest.mark.parametrize(
    ("mirror", "is_taken"),
    [
        pytest.param("us-central1-docker.pkg.dev/my-project/quay-io-mirror", True, id="ours"),
        pytest.param("us-central1-docker.pkg.dev/evil/quay-io-mirror", False, id="of-others"),
        pytest.param("us-central1-docker.pkg.dev/my-project-2/mirror", False, id="longer-name"),
        pytest.param("asia-docker.pkg.dev/my-project/mirror", False, id="of-another-place"),
    ],
)
def test_overlay_keeps_pods_from_the_repositories_of_others(mirror: str, *, is_taken: bool) -> None:
    written = pod(container("quay.io/acme/app:1"))

    admitted = narrow().admit(written, {"quay.io": mirror})

    expected = f"{mirror}/acme/app:1" if is_taken else "quay.io/acme/app:1"
    assert read_images(admitted) == [expected]


def test_policy_matches_only_namespaces_that_opted_in() -> None:
    selector = POLICY["spec"]["matchConstraints"]["namespaceSelector"]

    assert selector == {"matchLabels": {"prestream.dev/rewrite": "enabled"}}


def test_policy_looks_again_when_a_webhook_changed_the_pod() -> None:
    assert POLICY["spec"]["reinvocationPolicy"] == "IfNeeded"


def test_binding_names_the_policy_and_the_parameter_that_is_maintained() -> None:
    defaults = Settings(project="demo", deployment_project="demo")

    assert BINDING["spec"]["policyName"] == POLICY["metadata"]["name"]
    assert BINDING["spec"]["paramRef"]["name"] == PARAMETER_NAME
    assert BINDING["spec"]["paramRef"]["namespace"] == defaults.namespace


def test_folder_is_applied_as_a_whole() -> None:
    kustomization = yaml.safe_load((FILE.parent / "kustomization.yaml").read_text("utf-8"))
    (parameter,) = yaml.safe_load_all((FILE.parent / "proven-mirrors.yaml").read_text("utf-8"))

    assert set(kustomization["resources"]) == {
        each.name for each in FILE.parent.glob("*.yaml") if each.name != "kustomization.yaml"
    }
    assert parameter["metadata"]["name"] == PARAMETER_NAME
    assert ProvenMirrors.from_data(parameter["data"]) == ProvenMirrors()


def test_beta_version_differs_in_the_api_version_alone() -> None:
    text = (FILE.parents[1] / "rewriting-v1beta1" / "kustomization.yaml").read_text("utf-8")
    kustomization = yaml.safe_load(text)
    (patch,) = kustomization["patches"]

    beta = [
        jsonpatch.apply_patch(each, yaml.safe_load(patch["patch"])) for each in (POLICY, BINDING)
    ]

    assert kustomization["resources"] == [f"../{FILE.parent.name}"]
    assert patch["target"] == {"group": GROUP}
    assert [each["apiVersion"] for each in beta] == [f"{GROUP}/v1beta1"] * 2
    for version, bodies in {"1.34": beta, "1.35": beta, "1.36": [POLICY, BINDING]}.items():
        for body in bodies:
            assert validate(body, version, strict=True).startswith(version)


# An API server refuses lists whose items differ in type, and an invalid patch.
TYPES = {
    "mirrorsBeginWith": "LIST<STRING>",
    **dict.fromkeys(("isSkipped", "fits"), "BOOL"),
    **dict.fromkeys(("originals", "allOriginals"), "STRING"),
    **dict.fromkeys(
        ("entries", "proven", "written", "named", "rewritten", "replacements"),
        "LIST<LIST<STRING>>",
    ),
    "addedOriginals": "LIST<STRING>",
    "annotations": "DYN",
    "notes": "MAP<STRING, STRING>",
    "patch": "LIST<JSONPatch>",
}


def test_expressions_have_the_types_that_an_api_server_wants() -> None:
    assert ENGINE.types == TYPES


# https://kubernetes.io/docs/reference/using-api/cel/ for the libraries of an API server. The
# engine of the tests has more functions, and in part other ones under the same names.
OF_KUBERNETES = {
    *("contains", "endsWith", "matches", "size", "startsWith"),
    *("all", "exists", "filter", "has", "map", "transformList"),
    *("hasValue", "orValue"),
    *("indexOf", "join", "lowerAscii", "replace", "split", "substring", "trim"),
    *("bytes", "string"),
}


def test_expressions_call_only_what_an_api_server_has() -> None:
    spec = POLICY["spec"]
    texts = [each["expression"] for each in [*spec["matchConditions"], *spec["variables"]]]
    texts += [each["jsonPatch"]["expression"] for each in spec["mutations"]]

    without_strings = [re.sub(r"'(?:[^'\\]|\\.)*'", "''", text) for text in texts]
    called = {name for text in without_strings for name in re.findall(r"(\w+)\(", text)}

    assert called <= OF_KUBERNETES
