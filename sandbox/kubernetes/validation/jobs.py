"""Jobs and CronJobs."""

import re
from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, containers, dig, mapping
from sandbox.kubernetes.fields import FieldError, invalid, not_supported, required
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.strategies import CONTROLLER_UID, JOB_NAME
from sandbox.kubernetes.validation.failure_policies import validate_failure_policy
from sandbox.kubernetes.validation.names import label_problem
from sandbox.kubernetes.validation.pods import validate_template
from sandbox.kubernetes.validation.scheduling import validate_selector

_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES = ("Indexed", "NonIndexed")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_MAX_PARALLEL_INDEXED = 100_000
_IMMUTABLE = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy")
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")
_CONCURRENCY = ("Allow", "Forbid", "Replace")
_SCHEDULE = re.compile(
    r"((CRON_)?TZ=\S+\s+)?"
    r"(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)|(\S+\s+){4}\S+)"
)
_MAX_CRON_NAME = 52
_CRON_COUNTS = (
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
)


def validate_job(body: Body) -> Iterator[FieldError]:
    """Check a Job."""
    spec = mapping(body, "spec")
    yield from _generated_selector(body, spec)
    yield from validate_job_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from validate_selector(selector, "spec.selector")
        labels = mapping(spec, "template", "metadata", "labels")
        if not from_object(selector)(labels):
            yield invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            )
    yield from _indexed_name(body, spec)


def _generated_selector(body: Body, spec: Body) -> Iterator[FieldError]:
    """The selector is generated, unless the Job says that it is not."""
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    uid, name = body["metadata"]["uid"], body["metadata"].get("name", "")
    expected = {CONTROLLER_UID: uid, "controller-uid": uid, JOB_NAME: name, "job-name": name}
    if not from_object(spec["selector"])(expected):
        yield invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def _indexed_name(body: Body, spec: Body) -> Iterator[FieldError]:
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or not completions:
        return
    name = body["metadata"].get("name", "")
    host = f"{name}-{completions - 1}"
    if label_problem(host):
        yield invalid(
            "metadata.name", name, f"will not able to create pod with invalid DNS label: {host}"
        )


def validate_job_spec(spec: Body, path: str) -> Iterator[FieldError]:
    """Check a Job's specification, or that of a CronJob's Jobs."""
    for field in _COUNTS:
        if spec.get(field, 0) < 0:
            yield invalid(f"{path}.{field}", spec[field], "must be greater than or equal to 0")
    yield from _completion(spec, path)
    template = mapping(spec, "template")
    yield from validate_template(template, f"{path}.template")
    yield from _restart_policy(spec, f"{path}.template.spec.restartPolicy")
    if spec.get("podFailurePolicy") is not None:
        names = {one.get("name") for _, _, one in containers(mapping(template, "spec"))}
        yield from validate_failure_policy(spec, names, f"{path}.podFailurePolicy")
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else _REPLACEMENTS
    if replacement is not None and replacement not in allowed:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, allowed)


def _completion(spec: Body, path: str) -> Iterator[FieldError]:
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        if spec.get("parallelism", 0) > _MAX_PARALLEL_INDEXED:
            yield invalid(
                f"{path}.parallelism",
                spec["parallelism"],
                f"must be less than or equal to {_MAX_PARALLEL_INDEXED} when completion mode is "
                "Indexed",
            )
        return
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(field) is not None:
            yield invalid(f"{path}.{field}", spec[field], "requires indexed completion mode")
    if spec.get("successPolicy") is not None:
        yield invalid(
            f"{path}.successPolicy", spec["successPolicy"], "requires indexed completion mode"
        )


def _restart_policy(spec: Body, path: str) -> Iterator[FieldError]:
    policy = dig(spec, "template", "spec", "restartPolicy") or "Always"
    if policy == "Always":
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield not_supported(path, policy, ("OnFailure", "Never"))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        yield invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def validate_job_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check what may not change in a Job."""
    yield from validate_job(body)
    spec, old = mapping(body, "spec"), mapping(before, "spec")
    for field in _IMMUTABLE:
        if spec.get(field) != old.get(field):
            yield invalid(f"spec.{field}", spec.get(field), "field is immutable")
    if spec.get("completions") != old.get("completions") and not _is_elastic(spec):
        yield invalid("spec.completions", spec.get("completions"), "field is immutable")
    template, earlier = mapping(spec, "template"), mapping(old, "template")
    # Scheduling directives may change as long as no pod was started.
    if old.get("suspend") and dig(before, "status", "startTime") is None:
        template, earlier = _unscheduled(template), _unscheduled(earlier)
    if template != earlier:
        yield invalid("spec.template", mapping(spec, "template"), "field is immutable")


def _is_elastic(spec: Body) -> bool:
    indexed = spec.get("completionMode") == "Indexed"
    return indexed and spec.get("completions") == spec.get("parallelism")


def _unscheduled(template: Body) -> Body:
    """Return a template without its scheduling directives, labels and annotations."""
    spec = {
        key: value for key, value in mapping(template, "spec").items() if key not in _SCHEDULING
    }
    affinity = {
        key: value for key, value in mapping(spec, "affinity").items() if key != "nodeAffinity"
    }
    spec.pop("affinity", None)
    if affinity:
        spec["affinity"] = affinity
    metadata = {
        key: value
        for key, value in mapping(template, "metadata").items()
        if key not in ("labels", "annotations")
    }
    return {"metadata": metadata, "spec": spec}


def validate_cron_job(body: Body) -> Iterator[FieldError]:
    """Check a CronJob."""
    spec, name = mapping(body, "spec"), body["metadata"].get("name", "")
    if len(name) > _MAX_CRON_NAME:
        yield invalid("metadata.name", name, f"must be no more than {_MAX_CRON_NAME} characters")
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    elif not _SCHEDULE.fullmatch(schedule):
        fields = len(schedule.split())
        yield invalid(
            "spec.schedule",
            schedule,
            f"expected exactly 5 fields, found {fields}: {schedule.split()}",
        )
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy not in _CONCURRENCY:
        yield not_supported("spec.concurrencyPolicy", policy, _CONCURRENCY)
    for field in _CRON_COUNTS:
        if spec.get(field, 0) < 0:
            yield invalid(f"spec.{field}", spec[field], "must be greater than or equal to 0")
    yield from _cron_template(mapping(spec, "jobTemplate", "spec"))


def _cron_template(job: Body) -> Iterator[FieldError]:
    yield from validate_job_spec(job, "spec.jobTemplate.spec")
    if job.get("selector") is not None:
        yield invalid(
            "spec.jobTemplate.spec.selector", job["selector"], "`selector` will be auto-generated"
        )
    if job.get("manualSelector"):
        yield not_supported("spec.jobTemplate.spec.manualSelector", "true", ("nil", "false"))
