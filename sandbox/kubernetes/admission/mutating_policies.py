"""
MutatingAdmissionPolicy: stored expressions change objects on their way in.

What happens when something fails follows the real dispatcher: a policy's own failure is as its
``failurePolicy`` says, but an object that it made undecodable is an internal error under either.
https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/mutating

A policy sees an object once: nothing changes it afterwards here, so nothing is reinvoked. Writes of
another kind than the object's own (a Scale, a Binding, an Eviction) are not shown to policies.
"""

import functools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jsonpatch
import jsonpointer

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.admission.mutating_policy_expressions import (
    DRY_RUN,
    CompiledPolicy,
    EvaluationError,
    compile_policy,
)
from sandbox.kubernetes.admission.mutating_policy_matching import concerns, is_exempt
from sandbox.kubernetes.admission.mutating_policy_parameters import ParameterError, find_parameters
from sandbox.kubernetes.bodies import Body, decode, encode, mapping
from sandbox.kubernetes.cluster import Cluster
from sandbox.kubernetes.decoding import decode_body
from sandbox.kubernetes.defaults import set_defaults
from sandbox.kubernetes.statuses import ApiError, failure, forbidden

POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "mutatingadmissionpolicybindings.admissionregistration.k8s.io"
_OTHER_KINDS = ("scale", "binding", "eviction", "token")


@dataclass(frozen=True, slots=True)
class _Failure:
    """What went wrong in a policy that does not ignore that."""

    message: str
    reason: str = "Forbidden"


def admit_mutating_policies(attributes: Attributes, cluster: Cluster) -> None:
    """
    Let every policy that is bound change the object, in the order of their names.

    Raises:
        ApiError: A policy with ``failurePolicy: Fail`` failed, or one broke the object.
    """
    if is_exempt(attributes) or attributes.subresource in _OTHER_KINDS:
        return
    failures: list[_Failure] = []
    for policy in _sorted(cluster, POLICIES):
        if concerns(mapping(policy, "spec", "matchConstraints"), attributes, cluster.store):
            found = _admit(policy, attributes, cluster)
            failures += found if policy["spec"].get("failurePolicy") != "Ignore" else ()
    if failures:
        raise _denied(attributes, failures)


def _sorted(cluster: Cluster, resource: str) -> list[Body]:
    return [stored.body for _, stored in sorted(cluster.store.scan(resource), key=lambda x: x[0])]


def _admit(policy: Body, attributes: Attributes, cluster: Cluster) -> list[_Failure]:
    failures: list[_Failure] = []
    for binding in _sorted(cluster, BINDINGS):
        if binding["spec"].get("policyName") != policy["metadata"]["name"]:
            continue
        if not concerns(mapping(binding, "spec", "matchResources"), attributes, cluster.store):
            continue
        named = (
            f"policy '{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
        )
        try:
            parameters = find_parameters(policy, binding, attributes.namespace, cluster)
        except ParameterError as error:
            text = f"{named} denied request: failed to configure binding: {error}"
            failures.append(_Failure(text))
            continue
        for parameter in parameters:
            failures += [
                _Failure(f"{named} denied request: {error}", "Invalid")
                for error in _mutate(policy, parameter, attributes, cluster)
            ]
    return failures


def _mutate(
    policy: Body, parameter: Body | None, attributes: Attributes, cluster: Cluster
) -> Iterator[Exception]:
    """Apply a policy's mutations one after another; yields what keeps one from being applied."""
    compiled = _compiled(encode(policy["spec"]))
    inputs = _inputs(attributes, parameter, cluster)
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
    """Decode what a patch made, strictly, and put it in the object's place."""
    try:
        decoded = decode_body(attributes.resource, patched, "Strict").body
    except ApiError as error:
        text = f"Internal error occurred: {error.message}"
        causes = {"causes": [{"message": error.message}]}
        raise failure(500, "InternalError", text, causes) from error
    set_defaults(attributes.resource.key, decoded)
    attributes.body.clear()
    attributes.body.update(decoded)


def _inputs(attributes: Attributes, parameter: Body | None, cluster: Cluster) -> dict[str, Any]:
    namespace = cluster.store.get("namespaces", ("", attributes.namespace))
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
