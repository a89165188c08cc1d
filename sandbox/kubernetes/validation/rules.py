"""Which rules hold for which resource."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sandbox.kubernetes.bodies import Body, mapping
from sandbox.kubernetes.fields import FieldError, required
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.validation import policies
from sandbox.kubernetes.validation.jobs import (
    validate_cron_job,
    validate_job,
    validate_job_update,
)
from sandbox.kubernetes.validation.mutating_policies import (
    validate_mutating_binding,
    validate_mutating_policy,
)
from sandbox.kubernetes.validation.names import validate_metadata, validate_metadata_update
from sandbox.kubernetes.validation.pods import (
    validate_ephemeral_update,
    validate_pod,
    validate_pod_update,
    validate_template,
)
from sandbox.kubernetes.validation.workloads import validate_workload, validate_workload_update

_Create = Callable[[Body], Iterator[FieldError]]
_Update = Callable[[Body, Body], Iterator[FieldError]]
_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"


def _pod_template(body: Body) -> Iterator[FieldError]:
    return validate_template(mapping(body, "template"), "template")


_ON_CREATE: dict[str, _Create] = {
    "pods": validate_pod,
    "podtemplates": _pod_template,
    "replicationcontrollers": validate_workload,
    "deployments.apps": validate_workload,
    "statefulsets.apps": validate_workload,
    "daemonsets.apps": validate_workload,
    "replicasets.apps": validate_workload,
    "jobs.batch": validate_job,
    "cronjobs.batch": validate_cron_job,
    "priorityclasses.scheduling.k8s.io": policies.validate_priority_class,
    "resourcequotas": policies.validate_quota,
    f"roles.{_RBAC}": policies.validate_role,
    f"clusterroles.{_RBAC}": policies.validate_role,
    f"rolebindings.{_RBAC}": policies.validate_binding,
    f"clusterrolebindings.{_RBAC}": policies.validate_binding,
    "configmaps": policies.validate_data,
    "secrets": policies.validate_data,
    "services": policies.validate_service,
    "events": policies.validate_event,
    "networkpolicies.networking.k8s.io": policies.validate_network_policy,
    "customresourcedefinitions.apiextensions.k8s.io": policies.validate_definition,
    f"mutatingadmissionpolicies.{_ADMISSION}": validate_mutating_policy,
    f"mutatingadmissionpolicybindings.{_ADMISSION}": validate_mutating_binding,
}
_ON_UPDATE: dict[str, _Update] = {
    "pods": validate_pod_update,
    "jobs.batch": validate_job_update,
    "deployments.apps": validate_workload_update,
    "statefulsets.apps": validate_workload_update,
    "daemonsets.apps": validate_workload_update,
    "replicasets.apps": validate_workload_update,
    "replicationcontrollers": validate_workload_update,
    "priorityclasses.scheduling.k8s.io": policies.validate_priority_class_update,
    f"rolebindings.{_RBAC}": policies.validate_binding_update,
    f"clusterrolebindings.{_RBAC}": policies.validate_binding_update,
    "configmaps": policies.validate_data_update,
    "secrets": policies.validate_data_update,
}
_OWN_RULES = ("pods", "jobs.batch", "events")
"""What an update of these must keep is all that is checked then, or includes it."""


def validate_create(resource: Resource, body: Body, missing: Iterable[str]) -> list[FieldError]:
    """Return what is wrong with a new object."""
    errors = validate_metadata(resource.key, body)
    rule = _ON_CREATE.get(resource.key)
    if rule is not None:
        errors += rule(body)
    return errors + _missing(missing, body, errors)


def validate_update(
    resource: Resource, subresource: str, body: Body, before: Body, missing: Iterable[str]
) -> list[FieldError]:
    """Return what is wrong with an object that takes another's place."""
    errors = validate_metadata_update(body, before) + validate_metadata(resource.key, body)
    if subresource == "ephemeralcontainers":
        errors += validate_ephemeral_update(body, before)
    if subresource not in ("", "scale"):
        return errors
    errors += itertools.chain(*_changed(resource.key, body, before))
    return errors + _missing(missing, body, errors)


def _changed(key: str, body: Body, before: Body) -> Iterator[Iterator[FieldError]]:
    update, create = _ON_UPDATE.get(key), _ON_CREATE.get(key)
    if update is not None:
        yield update(body, before)
    if create is not None and create is not validate_workload and key not in _OWN_RULES:
        yield create(body)


def _missing(missing: Iterable[str], body: Body, errors: list[FieldError]) -> list[FieldError]:
    """
    Name required fields that neither a default filled in nor a written rule named.

    Of a status the server requires nothing; a class without a value has the value 0.
    """
    named = {error.field for error in errors}
    return [
        required(field)
        for field in missing
        if field not in named
        and not field.startswith(("status", "metadata"))
        and not _is_present(body, field)
    ]


def _is_present(body: Any, field: str) -> bool:
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field):
        if isinstance(body, list) and index:
            body = body[int(index)]
        elif isinstance(body, dict) and key in body:
            body = body[key]
        else:
            return False
    return True
