"""Objects that are not workloads: classes, quotas, roles, definitions, events and the like."""

import re
from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.fields import FieldError, forbidden, invalid, not_supported, required
from sandbox.kubernetes.quantities import parse_quantity
from sandbox.kubernetes.validation.names import qualified_problem, subdomain_problem
from sandbox.kubernetes.validation.scheduling import validate_selector

_SYSTEM_CLASSES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}
_MAX_PRIORITY = 1_000_000_000
_PREEMPTION = ("PreemptLowerPriority", "Never")
_DATA_KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]+")
_RBAC = "rbac.authorization.k8s.io"
_COUNTED = ("pods", "services", "secrets", "configmaps", "resourcequotas", "replicationcontrollers")


def validate_priority_class(body: Body) -> Iterator[FieldError]:
    """Check a PriorityClass: above a billion is the system's."""
    name, value = body["metadata"].get("name", ""), body.get("value", 0)
    if name.startswith("system-"):
        if _SYSTEM_CLASSES.get(name) != value:
            yield forbidden(
                "metadata.name",
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: the value of system priority class {name} does not match"
                if name in _SYSTEM_CLASSES
                else "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class",
            )
    elif value > _MAX_PRIORITY:
        yield forbidden(
            "value", f"maximum allowed value of a user defined priority is {_MAX_PRIORITY}"
        )
    policy = body.get("preemptionPolicy", _PREEMPTION[0])
    if policy not in _PREEMPTION:
        yield not_supported("preemptionPolicy", policy, _PREEMPTION)


def validate_priority_class_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check that a class keeps its value."""
    if body.get("value") != before.get("value"):
        yield forbidden("value", "may not be changed in an update.")
    if body.get("preemptionPolicy") != before.get("preemptionPolicy"):
        yield invalid("preemptionPolicy", body.get("preemptionPolicy"), "field is immutable")


def validate_quota(body: Body) -> Iterator[FieldError]:
    """Check what a ResourceQuota limits."""
    for name, text in mapping(body, "spec", "hard").items():
        path = f"spec.hard[{name}]"
        if problem := qualified_problem(name):
            yield invalid(path, name, problem)
            continue
        amount = parse_quantity(text)
        if amount < 0:
            yield invalid(path, text, "must be greater than or equal to 0")
        if (name in _COUNTED or name.startswith("count/")) and amount.denominator != 1:
            yield invalid(path, text, "must be an integer")


def validate_role(body: Body) -> Iterator[FieldError]:
    """Check the rules of a Role or ClusterRole."""
    for index, rule in enumerate(items(body, "rules")):
        path = f"rules[{index}]"
        if not items(rule, "verbs"):
            yield required(f"{path}.verbs", "verbs must contain at least one value")
        paths = items(rule, "nonResourceURLs")
        if paths:
            if body["kind"] == "Role":
                yield invalid(
                    f"{path}.nonResourceURLs",
                    paths,
                    "namespaced rules cannot apply to non-resource URLs",
                )
            if items(rule, "apiGroups") or items(rule, "resources") or items(rule, "resourceNames"):
                yield invalid(
                    f"{path}.nonResourceURLs",
                    paths,
                    "rules cannot apply to both regular resources and non-resource URLs",
                )
            continue
        if not items(rule, "apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not items(rule, "resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


def validate_binding(body: Body) -> Iterator[FieldError]:
    """Check a RoleBinding or ClusterRoleBinding."""
    reference = mapping(body, "roleRef")
    kinds = ("ClusterRole",) if body["kind"] == "ClusterRoleBinding" else ("Role", "ClusterRole")
    if reference.get("apiGroup", _RBAC) != _RBAC:
        yield not_supported("roleRef.apiGroup", reference["apiGroup"], (_RBAC,))
    if reference.get("kind") not in kinds:
        yield not_supported("roleRef.kind", reference.get("kind", ""), kinds)
    if not reference.get("name"):
        yield required("roleRef.name")
    for index, subject in enumerate(items(body, "subjects")):
        yield from _subject(body["kind"], subject, f"subjects[{index}]")


def _subject(kind: str, subject: Body, path: str) -> Iterator[FieldError]:
    if not subject.get("name"):
        yield required(f"{path}.name")
    subject_kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    if subject_kind == "ServiceAccount":
        if group:
            yield not_supported(f"{path}.apiGroup", group, ("",))
        if not subject.get("namespace") and kind == "ClusterRoleBinding":
            yield required(f"{path}.namespace")
    elif subject_kind in ("User", "Group"):
        if group != _RBAC:
            yield not_supported(f"{path}.apiGroup", group, (_RBAC,))
    else:
        yield not_supported(f"{path}.kind", subject_kind, ("ServiceAccount", "User", "Group"))


def validate_binding_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check that a binding keeps its role."""
    if body.get("roleRef") != before.get("roleRef"):
        yield invalid("roleRef", body.get("roleRef"), "cannot change roleRef")


def validate_data(body: Body) -> Iterator[FieldError]:
    """Check the keys of a ConfigMap or Secret."""
    for field in ("data", "binaryData"):
        for key in mapping(body, field):
            if not _DATA_KEY.fullmatch(key):
                yield invalid(
                    f"{field}[{key}]",
                    key,
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
                    "(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation "
                    r"is '[-._a-zA-Z0-9]+')",
                )


def validate_data_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check that what was declared immutable stays as it is."""
    if not before.get("immutable"):
        return
    for field in ("data", "binaryData"):
        if body.get(field) != before.get(field):
            yield forbidden(field, "field is immutable when `immutable` is set")


def validate_event(body: Body) -> Iterator[FieldError]:
    """Check that an event lies where the object lies that it is about."""
    namespace = body["metadata"].get("namespace", "")
    about = dig(body, "involvedObject", "namespace") or ""
    # Events about cluster-wide objects lie in the namespace default.
    if about != namespace and not (not about and namespace in ("default", "kube-system")):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")


def validate_definition(body: Body) -> Iterator[FieldError]:
    """Check a CustomResourceDefinition."""
    spec = mapping(body, "spec")
    names, versions = mapping(spec, "names"), items(spec, "versions")
    expected = f"{names.get('plural', '')}.{spec.get('group', '')}"
    name = body["metadata"].get("name", "")
    if name != expected:
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if problem := subdomain_problem(spec.get("group", "")):
        yield invalid("spec.group", spec.get("group", ""), problem)
    for field in ("plural", "kind"):
        if not names.get(field):
            yield required(f"spec.names.{field}")
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced"))
    yield from _versions(versions)


def _versions(versions: list[Body]) -> Iterator[FieldError]:
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid(
            "spec.versions", versions, "must have exactly one version marked as storage version"
        )
    for index, version in enumerate(versions):
        if not mapping(version, "schema", "openAPIV3Schema"):
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")


def validate_network_policy(body: Body) -> Iterator[FieldError]:
    """Check a NetworkPolicy."""
    spec = mapping(body, "spec")
    yield from validate_selector(spec.get("podSelector"), "spec.podSelector")
    for index, kind in enumerate(items(spec, "policyTypes")):
        if kind not in ("Egress", "Ingress"):
            yield not_supported(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))


def validate_service(body: Body) -> Iterator[FieldError]:
    """Check a Service's ports."""
    spec = mapping(body, "spec")
    ports = items(spec, "ports")
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield required("spec.ports")
    for index, port in enumerate(ports):
        if not 1 <= port.get("port", 0) <= 65535:  # noqa: PLR2004
            yield invalid(
                f"spec.ports[{index}].port",
                port.get("port"),
                "must be between 1 and 65535, inclusive",
            )
        if len(ports) > 1 and not port.get("name"):
            yield required(f"spec.ports[{index}].name")
