"""
Rules for the fields of Kubernetes types, wherever an object has them.

They cover the fields of warmup Jobs, of their namespace and of the rewriting policy. The schemas
check the types of all fields, and contain the required ones.
"""

import re
from collections.abc import Callable

from kubernetes.utils.quantity import parse_quantity

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.field_errors import (
    Errors,
    absent,
    disallowed,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
)
from sandbox.kubernetes.name_rules import (
    label_problem,
    qualified_problem,
    subdomain_problem,
    validate_annotations,
    validate_labels,
    value_problem,
)
from sandbox.kubernetes.policy_expressions import compile_policy
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schemas import required_keys, walk
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.server_fields import CONTROLLER_UID, generated_labels

_MAX_INT32 = 2_147_483_647
_MAX_DATA = 1024 * 1024
_DATA_KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")

_SAME = {"EphemeralContainer": "Container"}
_FORMATS: dict[str, dict[str, Callable[[str], str | None]]] = {
    "Container": {"name": label_problem},
    "LabelSelectorRequirement": {"key": qualified_problem},
    "NodeSelectorRequirement": {"key": qualified_problem},
    "PodSpec": {
        "nodeName": subdomain_problem,
        "priorityClassName": subdomain_problem,
        "serviceAccountName": subdomain_problem,
    },
    "Toleration": {"key": qualified_problem},
    "Volume": {"name": label_problem},
}
_CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "Container": {"imagePullPolicy": ("Always", "IfNotPresent", "Never")},
    "MutatingAdmissionPolicySpec": {"failurePolicy": ("Ignore",)},
    "Mutation": {"patchType": ("JSONPatch",)},
    "ParamRef": {"parameterNotFoundAction": ("Allow",)},
    "PodFailurePolicyRule": {"action": ("Count", "FailIndex", "FailJob", "Ignore")},
    "PodSpec": {"restartPolicy": ("Always", "OnFailure", "Never")},
    "Toleration": {
        "operator": ("Equal", "Exists"),
        "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
    },
}
_RANGES: dict[str, dict[str, tuple[int, int]]] = {
    "JobSpec": dict.fromkeys(
        (
            "activeDeadlineSeconds",
            "backoffLimit",
            "completions",
            "parallelism",
            "ttlSecondsAfterFinished",
        ),
        (0, _MAX_INT32),
    ),
    "PodSpec": {"activeDeadlineSeconds": (1, _MAX_INT32)},
    "PreferredSchedulingTerm": {"weight": (1, 100)},
}


def validate_fields(resource: Resource, body: Body) -> Errors:
    """Check all fields of an object but its metadata and its status."""
    for definition, part, path in walk(resource, body):
        prefix = f"{path}." if path else ""
        kind = definition.rpartition(".")[2]
        yield from _validate_values(_SAME.get(kind, kind), part, prefix)
        for key in required_keys(definition):
            if part.get(key) in (None, "", []):
                yield required(f"{prefix}{key}")
        rule = _RULES.get(_SAME.get(kind, kind))
        if rule is not None:
            yield from rule(part, path)


def _validate_values(kind: str, part: Body, prefix: str) -> Errors:
    """Check the form, the choice or the range of single fields."""
    for key, problem_of in _FORMATS.get(kind, {}).items():
        if part.get(key) and (problem := problem_of(part[key])):
            yield invalid(f"{prefix}{key}", part[key], problem)
    for key, choices in _CHOICES.get(kind, {}).items():
        if part.get(key) and part[key] not in choices:
            yield not_supported(f"{prefix}{key}", part[key], choices)
    for key, (least, most) in _RANGES.get(kind, {}).items():
        if not least <= part.get(key, least) <= most:
            yield invalid(f"{prefix}{key}", part[key], f"must be in the range {least}-{most}")


def _template(template: Body, path: str) -> Errors:
    metadata = mapping(template, "metadata")
    yield from validate_labels(mapping(metadata, "labels"), f"{path}.labels")
    yield from validate_annotations(mapping(metadata, "annotations"), f"{path}.annotations")
    if items(template, "spec", "ephemeralContainers"):
        yield disallowed(f"{path}.spec.ephemeralContainers", "not allowed in a pod template")


def _pod_spec(spec: Body, path: str) -> Errors:
    """Check that names are unique, and that mounted volumes exist."""
    yield from validate_labels(mapping(spec, "nodeSelector"), f"{path}.nodeSelector")
    volumes: set[str] = set()
    for index, volume in enumerate(items(spec, "volumes")):
        name = volume.get("name", "")
        if name in volumes:
            yield duplicate(f"{path}.volumes[{index}].name", name)
        elif name and not label_problem(name):  # A mount of an invalid volume is an error too.
            volumes.add(name)
    seen: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(items(spec, field)):
            where, name = f"{path}.{field}[{index}]", container.get("name", "")
            if name and name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
            yield from _mounts(container, volumes, where)


def _mounts(container: Body, volumes: set[str], path: str) -> Errors:
    places: set[str] = set()
    for index, mount in enumerate(items(container, "volumeMounts")):
        where, place = f"{path}.volumeMounts[{index}]", mount.get("mountPath", "")
        if mount.get("name", "") not in volumes:
            yield absent(f"{where}.name", mount.get("name", ""))
        if place and place in places:
            yield invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)


def _container(container: Body, path: str) -> Errors:
    if not container.get("image"):
        yield required(f"{path}.image")


def _resources(resources: Body, path: str) -> Errors:
    requests, limits = mapping(resources, "requests"), mapping(resources, "limits")
    for field, listed in (("limits", limits), ("requests", requests)):
        for name, text in listed.items():
            if field == "limits" or text != limits.get(name):
                yield from _amount(name, text, f"{path}.{field}[{name}]")
    for name, text in requests.items():
        most = limits.get(name)
        if most is not None and parse_quantity(text) > parse_quantity(most):
            why = f"must be less than or equal to {name} limit of {most}"
            yield invalid(f"{path}.requests", text, why)


def _amount(name: str, text: str, path: str) -> Errors:
    if problem := qualified_problem(name):
        yield invalid(path, name, problem)
    elif "/" not in name and name not in _STANDARD:
        yield invalid(path, name, "must be a standard resource for containers")
    if parse_quantity(text) < 0:
        yield invalid(path, text, "must be greater than or equal to 0")


def _toleration(toleration: Body, path: str) -> Errors:
    value, operator = toleration.get("value", ""), toleration.get("operator", "")
    if not toleration.get("key") and operator != "Exists":
        yield invalid(f"{path}.operator", operator, "operator must be Exists when `key` is empty")
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid(f"{path}.effect", toleration.get("effect", ""), why)
    if operator == "Exists" and value:
        yield invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif problem := value_problem(value):
        yield invalid(f"{path}.operator", value, problem)


def _selector(selector: Body, path: str) -> Errors:
    yield from validate_labels(mapping(selector, "matchLabels"), f"{path}.matchLabels")


def _requirement(one: Body, path: str) -> Errors:
    """Check one requirement of a label selector or of a node affinity."""
    operator, values = one.get("operator", ""), items(one, "values")
    if operator in ("In", "NotIn") and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield disallowed(f"{path}.values", why)
    elif operator not in _OPERATORS:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")


def _pod_affinity(term: Body, path: str) -> Errors:
    topology = term.get("topologyKey", "")
    if problem := qualified_problem(topology):
        yield invalid(f"{path}.topologyKey", topology, problem)


def _job_spec(spec: Body, path: str) -> Errors:
    policy, field = dig(spec, "template", "spec", "restartPolicy"), "template.spec.restartPolicy"
    has_rules = spec.get("podFailurePolicy") is not None
    if policy == "Always":
        yield required(f"{path}.{field}", 'valid values: "OnFailure", "Never"')
    elif policy == "OnFailure" and has_rules:
        why = 'only "Never" is supported when podFailurePolicy is specified'
        yield invalid(f"{path}.{field}", policy, why)
    replacement, allowed = spec.get("podReplacementPolicy"), _REPLACEMENTS[: 1 if has_rules else 2]
    if replacement and replacement not in allowed:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, allowed)


def _failure_rule(rule: Body, path: str) -> Errors:
    if not mapping(rule, "onExitCodes") and not items(rule, "onPodConditions"):
        why = "specifying one of OnExitCodes and OnPodConditions is required"
        yield invalid(path, rule, why)


def _job(body: Body, _path: str) -> Errors:
    """Check that a Job selects its own pods."""
    spec, uid = mapping(body, "spec"), body["metadata"].get("uid")
    labels, selector = mapping(spec, "template", "metadata", "labels"), spec.get("selector")
    generated = generated_labels(body)
    if not spec.get("manualSelector") and selector is not None:
        for key in ("controller-uid", CONTROLLER_UID):
            if labels.get(key) != uid:
                field = f"spec.template.metadata.labels[{key}]"
                yield invalid(field, labels, f"must be '{uid}'")
        if not from_object(selector)(generated):
            yield invalid("spec.selector", selector, "`selector` not auto-generated")
    if selector is None:
        yield required("spec.selector")
    elif not from_object(selector)(labels):
        why = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels, why)


def _data(body: Body, _path: str) -> Errors:
    """Check the keys and the size of a ConfigMap or Secret."""
    size = 0
    for field in ("data", "binaryData"):
        for key, value in mapping(body, field).items():
            size += len(value)
            if not _DATA_KEY.fullmatch(key):
                why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                yield invalid(f"{field}[{key}]", key, why)
    for key in mapping(body, "data").keys() & mapping(body, "binaryData").keys():
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if size > _MAX_DATA:
        yield too_long("[]", _MAX_DATA)


def _mutating_policy(spec: Body, path: str) -> Errors:
    """
    Check that a policy names its resources, and that all its expressions compile.

    The API server has more values of some fields; a policy or binding with one is refused here.
    """
    if not items(spec, "matchConstraints", "resourceRules"):
        yield required(f"{path}.matchConstraints.resourceRules")
    if mapping(spec, "paramKind").get("kind", "ConfigMap") != "ConfigMap":
        yield not_supported(f"{path}.paramKind.kind", spec["paramKind"]["kind"], ("ConfigMap",))
    if not items(spec, "mutations"):
        yield required(f"{path}.mutations", "mutations must contain at least one item")
    for problem in compile_policy(spec).problems:
        yield invalid(problem.field, problem.expression, problem.detail)


def _mutating_binding(spec: Body, path: str) -> Errors:
    if not spec.get("policyName"):
        yield required(f"{path}.policyName")


_RULES: dict[str, Callable[[Body, str], Errors]] = {
    "ConfigMap": _data,
    "Container": _container,
    "Job": _job,
    "JobSpec": _job_spec,
    "LabelSelector": _selector,
    "LabelSelectorRequirement": _requirement,
    "MutatingAdmissionPolicyBindingSpec": _mutating_binding,
    "MutatingAdmissionPolicySpec": _mutating_policy,
    "NodeSelectorRequirement": _requirement,
    "PodAffinityTerm": _pod_affinity,
    "PodFailurePolicyRule": _failure_rule,
    "PodSpec": _pod_spec,
    "PodTemplateSpec": _template,
    "ResourceRequirements": _resources,
    "Secret": _data,
    "Toleration": _toleration,
}
