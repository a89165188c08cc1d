"""
MutatingAdmissionPolicy: stored expressions change objects at admission.

Only what the rewriting policy uses exists: ``failurePolicy: Ignore``, and a ConfigMap as the
parameter. An object that a policy made undecodable is an internal error, as in the API server.
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/

A policy sees an object once, because nothing changes it afterwards. It does not see writes of
another kind than the object's own (a Binding or an Eviction).
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jsonpatch
import jsonpointer

from sandbox.kubernetes.bodies import Body, decode, encode, items, mapping
from sandbox.kubernetes.calls import Attributes
from sandbox.kubernetes.defaults import set_defaults
from sandbox.kubernetes.policy_expressions import (
    CompiledPolicy,
    EvaluationError,
    compile_policy,
)
from sandbox.kubernetes.schemas import decode_body
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.statuses import ApiError, failure
from sandbox.kubernetes.store import Store

_GROUP = "admissionregistration.k8s.io"
_POLICIES = f"mutatingadmissionpolicies.{_GROUP}"
_BINDINGS = f"mutatingadmissionpolicybindings.{_GROUP}"
_OTHER_KINDS = ("binding", "eviction")
_EVERY = "*"


def admit_mutating_policies(attributes: Attributes, store: Store) -> None:
    """
    Let every bound policy change the object, in the order of their names.

    Raises:
        ApiError: A policy broke the object.
    """
    if attributes.resource.group == _GROUP or attributes.subresource in _OTHER_KINDS:
        return
    for policy in _sorted(store, _POLICIES):
        if not _concerns(mapping(policy, "spec", "matchConstraints"), attributes, store):
            continue
        for binding in _sorted(store, _BINDINGS):
            is_bound = binding["spec"].get("policyName") == policy["metadata"]["name"]
            if is_bound and _concerns(
                mapping(binding, "spec", "matchResources"), attributes, store
            ):
                _admit(policy["spec"], binding["spec"], attributes, store)


def _sorted(store: Store, resource: str) -> list[Body]:
    return [stored.body for _, stored in sorted(store.scan(resource), key=lambda x: x[0])]


def _admit(policy: Body, binding: Body, attributes: Attributes, store: Store) -> None:
    """Apply a policy; one that fails, or whose parameter does not exist, changes nothing."""
    parameter = None
    reference = mapping(binding, "paramRef")
    if reference:
        where = (reference.get("namespace") or attributes.namespace, reference["name"])
        stored = store.get("configmaps", where)
        if stored is None:
            return
        parameter = stored.body
    compiled = _compiled(encode(policy))
    inputs = _inputs(attributes, parameter, store)
    try:
        if compiled.matches(inputs):
            for mutation in compiled.mutations:
                operations = compiled.make_patch(mutation, inputs)
                _replace(attributes, jsonpatch.apply_patch(attributes.body, operations))
    except (EvaluationError, jsonpatch.JsonPatchException, jsonpointer.JsonPointerException):
        return


@functools.lru_cache(maxsize=64)
def _compiled(spec: bytes) -> CompiledPolicy:
    return compile_policy(decode(spec))


def _replace(attributes: Attributes, patched: Body) -> None:
    """Decode the patched object strictly, and replace the object by it."""
    try:
        decoded = decode_body(attributes.resource, patched, "Strict").body
    except ApiError as error:
        text = f"Internal error occurred: {error.message}"
        raise failure(500, "InternalError", text) from error
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
    }


def _request(attributes: Attributes) -> Body:
    """Return the fields of the request that expressions may read."""
    return {
        "operation": attributes.verb.upper(),
        "namespace": attributes.namespace,
        "name": attributes.name,
        "subResource": attributes.subresource,
    }


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
