"""Rules for Jobs."""

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.field_errors import Errors, invalid, not_supported, required
from sandbox.kubernetes.pod_rules import validate_template
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.server_fields import CONTROLLER_UID, JOB_NAME

_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
)
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_IMMUTABLE = ("selector", "completionMode", "podFailurePolicy", "managedBy")
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def validate_job(body: Body) -> Errors:
    """Check a Job."""
    spec = mapping(body, "spec")
    yield from _generated_selector(body, spec)
    yield from validate_job_spec(spec, "spec")
    labels = mapping(spec, "template", "metadata", "labels")
    if spec.get("selector") is None:
        yield required("spec.selector")
    elif not from_object(spec["selector"])(labels):
        why = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", labels, why)


def _generated_selector(body: Body, spec: Body) -> Errors:
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    uid, name = body["metadata"].get("uid"), body["metadata"].get("name", "")
    expected = {CONTROLLER_UID: uid, "controller-uid": uid, JOB_NAME: name, "job-name": name}
    labels = mapping(spec, "template", "metadata", "labels")
    for key in ("controller-uid", CONTROLLER_UID):
        if labels.get(key) != uid:
            field = f"spec.template.metadata.labels[{key}]"
            yield invalid(field, labels, f"must be '{uid}'")
    if not from_object(spec["selector"])(expected):
        yield invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def validate_job_spec(spec: Body, path: str) -> Errors:
    """Check a Job's specification, or that of a CronJob's Jobs."""
    for field in _COUNTS:
        if spec.get(field, 0) < 0:
            yield invalid(f"{path}.{field}", spec[field], "must be greater than or equal to 0")
    yield from validate_template(mapping(spec, "template"), f"{path}.template")
    yield from _restart_policy(spec, f"{path}.template.spec.restartPolicy")
    rules = items(spec, "podFailurePolicy", "rules")
    for index, rule in enumerate(rules):
        yield from _failure_rule(rule, f"{path}.podFailurePolicy.rules[{index}]")
    replacement = spec.get("podReplacementPolicy", "Failed")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else _REPLACEMENTS
    if replacement not in allowed:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, allowed)


def _restart_policy(spec: Body, path: str) -> Errors:
    policy = dig(spec, "template", "spec", "restartPolicy") or "Always"
    if policy == "Always":
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield not_supported(path, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        yield invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _failure_rule(rule: Body, path: str) -> Errors:
    action = rule.get("action", "")
    if action not in _ACTIONS:
        yield not_supported(f"{path}.action", action, _ACTIONS)
    if not mapping(rule, "onExitCodes") and not items(rule, "onPodConditions"):
        why = "specifying one of OnExitCodes and OnPodConditions is required"
        yield invalid(path, rule, why)


def validate_job_update(body: Body, before: Body) -> Errors:
    """Check that a Job's immutable fields stay."""
    yield from validate_job(body)
    spec, old = mapping(body, "spec"), mapping(before, "spec")
    for field in _IMMUTABLE:
        if spec.get(field) != old.get(field):
            yield invalid(f"spec.{field}", spec.get(field), "field is immutable")
    if spec.get("completions") != old.get("completions"):
        yield invalid("spec.completions", spec.get("completions"), "field is immutable")
    template, earlier = mapping(spec, "template"), mapping(old, "template")
    # Scheduling directives and resources may change until the Job starts.
    if not old.get("suspend") or dig(before, "status", "startTime") is not None:
        if template != earlier:
            yield invalid("spec.template", template, "field is immutable")
    elif _unscheduled(template) != _unscheduled(earlier):
        yield invalid("spec.template.spec", mapping(template, "spec"), "field is immutable")


def _unscheduled(template: Body) -> Body:
    """Return the parts of a template that a suspended Job may not change."""
    spec = dict(mapping(template, "spec"))
    for field in _SCHEDULING:
        spec.pop(field, None)
    for field in ("containers", "initContainers"):
        spec[field] = [
            {key: value for key, value in one.items() if key != "resources"}
            for one in items(spec, field)
        ]
    return spec
