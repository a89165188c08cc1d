"""Pods, and the templates of pods."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, containers, dig, items, mapping
from sandbox.kubernetes.fields import FieldError, absent, forbidden, invalid, not_supported
from sandbox.kubernetes.validation.containers import validate_containers
from sandbox.kubernetes.validation.names import (
    subdomain_problem,
    validate_annotations,
    validate_labels,
)
from sandbox.kubernetes.validation.scheduling import validate_scheduling
from sandbox.kubernetes.validation.security import validate_pod_security_context
from sandbox.kubernetes.validation.volumes import validate_volumes

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_NOT_EPHEMERAL = (
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
)
_MAX_INT32 = 2_147_483_647
_POD_UPDATES = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow "
    "it to be set to 1 if it was previously negative)"
)


def validate_pod(body: Body) -> Iterator[FieldError]:
    """Check a pod."""
    spec = mapping(body, "spec")
    yield from validate_pod_spec(spec, "spec")
    if items(spec, "ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")


def validate_template(template: Body, path: str) -> Iterator[FieldError]:
    """Check the template of a workload's pods."""
    metadata, spec = mapping(template, "metadata"), mapping(template, "spec")
    yield from validate_labels(mapping(metadata, "labels"), f"{path}.labels")
    yield from validate_annotations(mapping(metadata, "annotations"), f"{path}.annotations")
    yield from validate_pod_spec(spec, f"{path}.spec")
    if items(spec, "ephemeralContainers"):
        yield forbidden(
            f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"
        )


def validate_pod_spec(spec: Body, path: str) -> Iterator[FieldError]:
    """Check a pod's specification."""
    yield from validate_volumes(spec, path)
    yield from validate_containers(spec, path)
    for field, allowed in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        if spec.get(field) and spec[field] not in allowed:
            yield not_supported(f"{path}.{field}", spec[field], allowed)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        yield invalid(
            f"{path}.activeDeadlineSeconds",
            deadline,
            f"must be between 1 and {_MAX_INT32}, inclusive",
        )
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield invalid(
            f"{path}.terminationGracePeriodSeconds",
            spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        )
    for field in ("serviceAccountName", "priorityClassName", "nodeName", "runtimeClassName"):
        if spec.get(field) and (problem := subdomain_problem(spec[field])):
            yield invalid(f"{path}.{field}", spec[field], problem)
    yield from validate_pod_security_context(
        mapping(spec, "securityContext"), f"{path}.securityContext"
    )
    yield from _windows(spec, path)
    yield from validate_scheduling(spec, path)


def _windows(spec: Body, path: str) -> Iterator[FieldError]:
    name = dig(spec, "os", "name")
    if name is not None and name not in ("linux", "windows"):
        yield not_supported(f"{path}.os.name", name, ("linux", "windows"))


def validate_pod_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check that a pod changed only where a pod can change."""
    spec, old = mapping(body, "spec"), mapping(before, "spec")
    yield from _tolerations_update(spec, old)
    if _frozen(spec) != _frozen(old):
        yield forbidden("spec", _POD_UPDATES)
    deadline, earlier = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if earlier is not None and (deadline is None or deadline > earlier):
        yield invalid(
            "spec.activeDeadlineSeconds",
            deadline,
            "must be less than or equal to previous value"
            if deadline is not None
            else "must not update from a positive integer to nil value",
        )


def _tolerations_update(spec: Body, old: Body) -> Iterator[FieldError]:
    new = [_without(one, "tolerationSeconds") for one in items(spec, "tolerations")]
    for toleration in items(old, "tolerations"):
        if _without(toleration, "tolerationSeconds") not in new:
            yield forbidden(
                "spec.tolerations",
                "existing toleration can not be modified except its tolerationSeconds",
            )
            return


def _frozen(spec: Body) -> Body:
    """Return a pod's specification without what may change."""
    kept = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    }
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [_without(one, "image") for one in kept[field]]
    return kept


def _without(body: Body, key: str) -> Body:
    return {name: value for name, value in body.items() if name != key}


def validate_ephemeral_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check that ephemeral containers were only added."""
    path = "spec.ephemeralContainers"
    new = {one.get("name"): one for one in items(body, "spec", "ephemeralContainers")}
    for old in items(before, "spec", "ephemeralContainers"):
        if old["name"] not in new:
            yield forbidden(path, "existing ephemeral containers may not be removed")
        elif new[old["name"]] != old:
            yield forbidden(path, "existing ephemeral containers may not be changed")
    for index, one in enumerate(items(body, "spec", "ephemeralContainers")):
        yield from _ephemeral(one, before, f"{path}[{index}]")
    yield from validate_pod_spec(mapping(body, "spec"), "spec")


def _ephemeral(one: Body, before: Body, path: str) -> Iterator[FieldError]:
    for field in _NOT_EPHEMERAL:
        if one.get(field):
            yield forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container")
    target = one.get("targetContainerName")
    names = {other.get("name") for _, _, other in containers(mapping(before, "spec"))}
    if target and target not in names:
        yield absent(f"{path}.targetContainerName", target)
