"""The rules for new and changed objects."""

from collections.abc import Callable

from sandbox.kubernetes.bodies import Body, containers, dig, items, mapping
from sandbox.kubernetes.field_errors import Errors, FieldError, disallowed, invalid, required
from sandbox.kubernetes.field_rules import validate_fields
from sandbox.kubernetes.name_rules import name_problem, validate_annotations, validate_labels
from sandbox.kubernetes.resources import Resource

_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_POD_UPDATES = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow "
    "it to be set to 1 if it was previously negative)"
)
_IMMUTABLE = ("completionMode", "completions", "managedBy", "podFailurePolicy", "selector")
_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def validate_create(resource: Resource, body: Body) -> list[FieldError]:
    """Return the errors of a new object."""
    errors = [*_metadata(resource.key, body), *validate_fields(resource, body)]
    rule = _ON_CREATE.get(resource.key)
    return [*errors, *(rule(body) if rule is not None else ())]


def validate_update(
    resource: Resource, subresource: str, body: Body, before: Body
) -> list[FieldError]:
    """Return the errors of an object that replaces another."""
    errors = [*_identity(body, before), *_metadata(resource.key, body)]
    if subresource == "ephemeralcontainers":
        errors += _ephemeral_update(body, before)
    if subresource not in ("", "ephemeralcontainers"):
        return errors
    rule = _ON_UPDATE.get(resource.key) if not subresource else None
    errors += rule(body, before) if rule is not None else ()
    return [*errors, *validate_fields(resource, body)]


def _metadata(resource: str, body: Body) -> Errors:
    metadata = mapping(body, "metadata")
    name = metadata.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif problem := name_problem(resource, name):
        yield invalid("metadata.name", name, problem)
    yield from validate_labels(mapping(metadata, "labels"), "metadata.labels")
    yield from validate_annotations(mapping(metadata, "annotations"), "metadata.annotations")
    for owner in items(metadata, "ownerReferences"):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield invalid(f"metadata.ownerReferences.{field}", "", "must not be empty")
    for index, finalizer in enumerate(items(metadata, "finalizers")):
        if "/" not in finalizer and finalizer not in _FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid(f"metadata.finalizers[{index}]", finalizer, why)


def _identity(body: Body, before: Body) -> Errors:
    """Check that the identity of an object stays, and that a deleted one gets no finalizer."""
    metadata, old = body["metadata"], before["metadata"]
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        if metadata.get(field) != old.get(field):
            yield invalid(f"metadata.{field}", metadata.get(field), "field is immutable")
    added = set(items(metadata, "finalizers")) - set(items(old, "finalizers"))
    if old.get("deletionTimestamp") and added:
        why = "no new finalizers can be added if the object is being deleted"
        yield disallowed("metadata.finalizers", why)


def _pod(body: Body) -> Errors:
    """Check what holds for new pods, but not for templates."""
    spec = mapping(body, "spec")
    for field, index, container in containers(spec):
        image = container.get("image", "")
        if image != image.strip():
            why = "must not have leading or trailing whitespace"
            yield invalid(f"spec.{field}[{index}].image", image, why)
    for index, volume in enumerate(items(spec, "volumes")):
        if "image" in volume and not dig(volume, "image", "reference"):
            yield required(f"spec.volumes[{index}].image.reference")
    if items(spec, "ephemeralContainers"):
        yield disallowed("spec.ephemeralContainers", "cannot be set on create")


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


def _pod_update(body: Body, before: Body) -> Errors:
    """Check that a pod changes only its images, its deadline and its tolerations."""
    spec, old = mapping(body, "spec"), mapping(before, "spec")
    new = [_without(one, "tolerationSeconds") for one in items(spec, "tolerations")]
    if any(_without(one, "tolerationSeconds") not in new for one in items(old, "tolerations")):
        why = "existing toleration can not be modified except its tolerationSeconds"
        yield disallowed("spec.tolerations", why)
    changeable = ("activeDeadlineSeconds", "tolerations")
    if _fixed(spec, changeable, "image") != _fixed(old, changeable, "image"):
        yield disallowed("spec", _POD_UPDATES)


def _ephemeral_update(body: Body, before: Body) -> Errors:
    """Check that ephemeral containers are only added."""
    new = items(body, "spec", "ephemeralContainers")
    for old in items(before, "spec", "ephemeralContainers"):
        if old not in new:
            why = "existing ephemeral containers may not be changed or removed"
            yield disallowed("spec.ephemeralContainers", why)


def _job_update(body: Body, before: Body) -> Errors:
    """Check that a Job's immutable fields stay."""
    spec, old = mapping(body, "spec"), mapping(before, "spec")
    for field in _IMMUTABLE:
        if spec.get(field) != old.get(field):
            yield invalid(f"spec.{field}", spec.get(field), "field is immutable")
    template, earlier = mapping(spec, "template"), mapping(old, "template")
    # Scheduling directives and resources may change until the Job starts.
    if not old.get("suspend") or dig(before, "status", "startTime") is not None:
        if template != earlier:
            yield invalid("spec.template", template, "field is immutable")
        return
    pods = (mapping(template, "spec"), mapping(earlier, "spec"))
    fixed, was = (_fixed(each, _SCHEDULING, "resources") for each in pods)
    if fixed != was:
        yield invalid("spec.template.spec", mapping(template, "spec"), "field is immutable")


def _fixed(spec: Body, changeable: tuple[str, ...], of_containers: str) -> Body:
    """Return a pod specification without the fields that may change."""
    fixed = _without(spec, *changeable)
    for field in ("containers", "initContainers"):
        if field in fixed:
            fixed[field] = [_without(one, of_containers) for one in fixed[field]]
    return fixed


def _without(body: Body, *keys: str) -> Body:
    return {name: value for name, value in body.items() if name not in keys}


_ON_CREATE: dict[str, Callable[[Body], Errors]] = {"pods": _pod, "events": _event}
_ON_UPDATE: dict[str, Callable[[Body, Body], Errors]] = {
    "pods": _pod_update,
    "jobs.batch": _job_update,
}
