"""The rules of each resource that its schema does not contain."""

import re
from collections.abc import Callable

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.field_errors import (
    Errors,
    FieldError,
    invalid,
    not_supported,
    required,
    too_long,
)
from sandbox.kubernetes.job_rules import validate_job, validate_job_spec, validate_job_update
from sandbox.kubernetes.name_rules import (
    validate_metadata,
    validate_metadata_update,
    validate_selector,
)
from sandbox.kubernetes.pod_rules import (
    validate_ephemeral_update,
    validate_pod,
    validate_pod_update,
    validate_template,
)
from sandbox.kubernetes.policy_expressions import compile_policy
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import from_object

_DATA_KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
_MAX_DATA = 1024 * 1024
_ADMISSION = "admissionregistration.k8s.io"


def validate_create(
    resource: Resource, body: Body, missing: tuple[str, ...] = ()
) -> list[FieldError]:
    """Return the errors of a new object; ``missing`` are the fields that its schema requires."""
    errors = list(validate_metadata(resource.key, body))
    rule = _ON_CREATE.get(resource.key)
    errors += rule(body) if rule is not None else ()
    named = {error.field for error in errors}
    return errors + [
        required(field)
        for field in missing
        if field not in named and field.partition(".")[0] not in ("metadata", *body)
    ]


def validate_update(
    resource: Resource, subresource: str, body: Body, before: Body
) -> list[FieldError]:
    """Return the errors of an object that replaces another."""
    errors = [*validate_metadata_update(body, before), *validate_metadata(resource.key, body)]
    if subresource == "ephemeralcontainers":
        errors += validate_ephemeral_update(body, before)
    if subresource:
        return errors
    update, create = _ON_UPDATE.get(resource.key), _ON_CREATE.get(resource.key)
    if update is not None:
        errors += update(body, before)
    elif create is not None and resource.key != "events":
        errors += create(body)
    return errors


def _data(body: Body) -> Errors:
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


def _event(body: Body) -> Errors:
    """
    Check the namespace of an Event.

    With ``eventTime`` it may be about an object of another namespace, but some fields are required.
    """
    namespace = body["metadata"].get("namespace", "")
    about = dig(body, "involvedObject", "namespace") or ""
    is_new = bool(body.get("eventTime"))
    cluster_wide = ("default", "kube-system") if is_new else ("default",)
    if (not about and namespace not in cluster_wide) or (
        about != namespace and about and not is_new
    ):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")
    for field in ("reportingComponent", "reportingInstance", "action", "reason") if is_new else ():
        if not body.get(field):
            yield required(field)


def _workload(body: Body) -> Errors:
    """Check a Deployment or another workload: its selector must match its template."""
    spec = mapping(body, "spec")
    selector = spec.get("selector")
    if body["kind"] == "ReplicationController" and selector is not None:
        selector = {"matchLabels": selector}
    labels = mapping(spec, "template", "metadata", "labels")
    if selector is None:
        yield required("spec.selector")
    elif not from_object(selector)(labels):
        why = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels, why)
    yield from validate_template(mapping(spec, "template"), "spec.template")
    policy = dig(spec, "template", "spec", "restartPolicy") or "Always"
    if policy != "Always":
        yield not_supported("spec.template.spec.restartPolicy", policy, ("Always",))


def _workload_update(body: Body, before: Body) -> Errors:
    yield from _workload(body)
    selector = dig(body, "spec", "selector")
    if body["kind"] != "ReplicationController" and selector != dig(before, "spec", "selector"):
        yield invalid("spec.selector", selector, "field is immutable")


def _cron_job(body: Body) -> Errors:
    if not dig(body, "spec", "schedule"):
        yield required("spec.schedule")
    yield from validate_job_spec(
        mapping(body, "spec", "jobTemplate", "spec"), "spec.jobTemplate.spec"
    )


def _mutating_policy(body: Body) -> Errors:
    """Check that a policy names its resources, and that all its expressions compile."""
    spec = mapping(body, "spec")
    constraints = mapping(spec, "matchConstraints")
    if not items(constraints, "resourceRules"):
        yield required("spec.matchConstraints.resourceRules")
    for key in ("namespaceSelector", "objectSelector"):
        yield from validate_selector(constraints.get(key), f"spec.matchConstraints.{key}")
    if not items(spec, "mutations"):
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, one in enumerate(items(spec, "mutations")):
        # The API server also has ApplyConfiguration; such a policy is refused here.
        if one.get("patchType") != "JSONPatch" or not dig(one, "jsonPatch", "expression"):
            path = f"spec.mutations[{index}].patchType"
            yield not_supported(path, one.get("patchType"), ("JSONPatch",))
    for problem in compile_policy(spec).problems:
        yield invalid(problem.field, problem.expression, problem.detail)


def _mutating_binding(body: Body) -> Errors:
    spec = mapping(body, "spec")
    reference = mapping(spec, "paramRef")
    if not spec.get("policyName"):
        yield required("spec.policyName")
    if reference and not reference.get("name"):
        # The API server also selects parameters by labels; such a binding is refused here.
        yield required("spec.paramRef.name")
    if reference and reference.get("parameterNotFoundAction") not in ("Allow", "Deny"):
        yield required("spec.paramRef.parameterNotFoundAction")


_ON_CREATE: dict[str, Callable[[Body], Errors]] = {
    "pods": validate_pod,
    "replicationcontrollers": _workload,
    "deployments.apps": _workload,
    "statefulsets.apps": _workload,
    "daemonsets.apps": _workload,
    "replicasets.apps": _workload,
    "jobs.batch": validate_job,
    "cronjobs.batch": _cron_job,
    "configmaps": _data,
    "secrets": _data,
    "events": _event,
    f"mutatingadmissionpolicies.{_ADMISSION}": _mutating_policy,
    f"mutatingadmissionpolicybindings.{_ADMISSION}": _mutating_binding,
}
_ON_UPDATE: dict[str, Callable[[Body, Body], Errors]] = {
    "pods": validate_pod_update,
    "jobs.batch": validate_job_update,
    "deployments.apps": _workload_update,
    "statefulsets.apps": _workload_update,
    "daemonsets.apps": _workload_update,
    "replicasets.apps": _workload_update,
    "replicationcontrollers": _workload_update,
}
