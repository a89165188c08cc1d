"""
MutatingAdmissionPolicy: stored expressions change objects at admission.

Failures follow the API server: a policy's own failure obeys its ``failurePolicy``, but an object
that a policy made undecodable is an internal error under either.
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/

A policy sees an object once, because nothing changes it afterwards. It does not see writes of
another kind than the object's own (a Binding or an Eviction).
"""

import functools
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonpatch
import jsonpointer

from sandbox.kubernetes.bodies import Body, decode, encode, items, mapping
from sandbox.kubernetes.calls import Attributes
from sandbox.kubernetes.defaults import set_defaults
from sandbox.kubernetes.policy_expressions import (
    DRY_RUN,
    CompiledPolicy,
    EvaluationError,
    compile_policy,
)
from sandbox.kubernetes.resources import find_kind
from sandbox.kubernetes.schemas import decode_body
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.statuses import ApiError, failure, forbidden
from sandbox.kubernetes.store import Store, key_of

_GROUP = "admissionregistration.k8s.io"
_POLICIES = f"mutatingadmissionpolicies.{_GROUP}"
_BINDINGS = f"mutatingadmissionpolicybindings.{_GROUP}"
_OTHER_KINDS = ("binding", "eviction")
_EVERY = "*"


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failure of a policy that does not ignore it."""

    message: str
    reason: str = "Forbidden"


def admit_mutating_policies(attributes: Attributes, store: Store) -> None:
    """
    Let every bound policy change the object, in the order of their names.

    Raises:
        ApiError: A policy with ``failurePolicy: Fail`` failed, or one broke the object.
    """
    if attributes.resource.group == _GROUP or attributes.subresource in _OTHER_KINDS:
        return
    failures: list[_Failure] = []
    for policy in _sorted(store, _POLICIES):
        if _concerns(mapping(policy, "spec", "matchConstraints"), attributes, store):
            found = _admit(policy, attributes, store)
            failures += found if policy["spec"].get("failurePolicy") != "Ignore" else ()
    if failures:
        raise _denied(attributes, failures)


def _sorted(store: Store, resource: str) -> list[Body]:
    return [stored.body for _, stored in sorted(store.scan(resource), key=lambda x: x[0])]


def _admit(policy: Body, attributes: Attributes, store: Store) -> list[_Failure]:
    failures: list[_Failure] = []
    for binding in _sorted(store, _BINDINGS):
        if binding["spec"].get("policyName") != policy["metadata"]["name"]:
            continue
        if not _concerns(mapping(binding, "spec", "matchResources"), attributes, store):
            continue
        named = (
            f"policy '{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
        )
        try:
            parameters = _find_parameters(policy, binding, attributes.namespace, store)
        except _ParameterError as error:
            text = f"{named} denied request: failed to configure binding: {error}"
            failures.append(_Failure(text))
            continue
        for parameter in parameters:
            failures += [
                _Failure(f"{named} denied request: {error}", "Invalid")
                for error in _mutate(policy, parameter, attributes, store)
            ]
    return failures


def _mutate(
    policy: Body, parameter: Body | None, attributes: Attributes, store: Store
) -> Iterator[Exception]:
    """Apply a policy's mutations in order; yields the errors of those that cannot be applied."""
    compiled = _compiled(encode(policy["spec"]))
    inputs = _inputs(attributes, parameter, store)
    try:
        if not compiled.matches(inputs):
            return
    except EvaluationError as error:
        yield error
        return
    for mutation in compiled.mutations:
        try:
            operations = compiled.make_patch(mutation, inputs)
            patched = jsonpatch.apply_patch(attributes.body, operations)
        except jsonpatch.JsonPatchTestFailed:
            continue
        except (
            EvaluationError,
            jsonpatch.JsonPatchException,
            jsonpointer.JsonPointerException,
        ) as error:
            yield error
        else:
            _replace(attributes, patched)


@functools.lru_cache(maxsize=64)
def _compiled(spec: bytes) -> CompiledPolicy:
    return compile_policy(decode(spec))


def _replace(attributes: Attributes, patched: Body) -> None:
    """Decode the patched object strictly, and replace the object by it."""
    try:
        decoded = decode_body(attributes.resource, patched, "Strict").body
    except ApiError as error:
        text = f"Internal error occurred: {error.message}"
        causes = {"causes": [{"message": error.message}]}
        raise failure(500, "InternalError", text, causes) from error
    set_defaults(attributes.resource, decoded)
    attributes.body.clear()
    attributes.body.update(decoded)


def _inputs(attributes: Attributes, parameter: Body | None, store: Store) -> dict[str, Any]:
    namespace = store.get("namespaces", ("", attributes.namespace))
    return {
        "object": attributes.body,
        "oldObject": attributes.before,
        "params": parameter,
        "namespaceObject": namespace.body if namespace is not None else None,
        "request": _request(attributes),
        DRY_RUN: attributes.dry_run,
    }


def _request(attributes: Attributes) -> Body:
    """Return the request as expressions see it, with the fields of an AdmissionRequest."""
    resource = attributes.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    names = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    return {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": names,
        "subResource": attributes.subresource,
        "requestKind": kind,
        "requestResource": names,
        "requestSubResource": attributes.subresource,
        "name": attributes.name,
        "namespace": attributes.namespace,
        "operation": attributes.verb.upper(),
        "userInfo": {"username": attributes.caller.name, "groups": list(attributes.caller.groups)},
        "dryRun": attributes.dry_run,
    }


def _denied(attributes: Attributes, failures: list[_Failure]) -> ApiError:
    error = forbidden(attributes.resource, attributes.name, failures[0].message)
    error.status["message"] = failures[0].message
    error.status["reason"] = failures[0].reason
    error.status["details"]["causes"] = [{"message": each.message} for each in failures]
    return error


def _concerns(constraints: Body, attributes: Attributes, store: Store) -> bool:
    """Whether constraints (``matchConstraints`` or ``matchResources``) include a write."""
    rules = constraints.get("resourceRules")
    if rules is not None and not any(_is_named(rule, attributes) for rule in rules):
        return False
    return _selects_namespace(
        mapping(constraints, "namespaceSelector"), attributes, store
    ) and _selects_object(mapping(constraints, "objectSelector"), attributes)


def _is_named(rule: Body, attributes: Attributes) -> bool:
    resource = attributes.resource
    return (
        _includes(items(rule, "operations"), attributes.verb.upper())
        and _includes(items(rule, "apiGroups"), resource.group)
        and _includes(items(rule, "apiVersions"), resource.version)
        and any(_is_resource(text, attributes) for text in items(rule, "resources"))
    )


def _includes(allowed: Iterable[str], value: str) -> bool:
    return any(one in (_EVERY, value) for one in allowed)


def _is_resource(text: str, attributes: Attributes) -> bool:
    """Whether a write is to the resource that ``pods``, ``pods/status`` or ``*/scale`` names."""
    plural, _, subresource = text.partition("/")
    is_named = plural in (_EVERY, attributes.resource.plural)
    return is_named and subresource in (attributes.subresource, _EVERY)


def _selects_namespace(selector: Body, attributes: Attributes, store: Store) -> bool:
    """Match the labels of the namespace; a cluster-wide object always matches."""
    if attributes.resource.key == "namespaces":
        return from_object(selector)(_labels(attributes.body))
    if not attributes.resource.namespaced:
        return True
    namespace = store.get("namespaces", ("", attributes.namespace))
    return namespace is not None and from_object(selector)(_labels(namespace.body))


def _selects_object(selector: Body, attributes: Attributes) -> bool:
    """Match the labels that the object has, or had before."""
    test = from_object(selector)
    before = attributes.before
    return test(_labels(attributes.body)) or (before is not None and test(_labels(before)))


def _labels(body: Body) -> Mapping[str, str]:
    return mapping(body, "metadata", "labels")


class _ParameterError(Exception):
    """The parameter does not exist, although it must."""


def _find_parameters(
    policy: Body, binding: Body, namespace: str, store: Store
) -> list[Body | None]:
    """
    Return the parameter of a binding; ``[None]`` if the binding has none.

    The list is empty if the parameter does not exist and that is allowed; the binding then does
    nothing.

    Raises:
        _ParameterError: It does not exist, which is not allowed.
    """
    kind, reference = mapping(policy, "spec", "paramKind"), mapping(binding, "spec", "paramRef")
    if not kind or not reference:
        return [None]
    resource = find_kind(kind.get("apiVersion", ""), kind.get("kind", ""))
    if resource is None:
        raise _ParameterError(f"paramKind kind `{kind.get('kind', '')}` not known")
    where = reference.get("namespace") or namespace
    stored = store.get(resource.key, key_of(resource, where, reference["name"]))
    if stored is not None:
        return [stored.copy()]
    if reference.get("parameterNotFoundAction") == "Deny":
        why = "no params found for policy binding with `Deny` parameterNotFoundAction"
        raise _ParameterError(why)
    return []
