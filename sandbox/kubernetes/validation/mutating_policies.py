"""MutatingAdmissionPolicies and their bindings: what the server refuses to store."""

import re
from collections.abc import Iterator

from sandbox.kubernetes.admission.mutating_policy_expressions import compile_policy
from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.fields import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from sandbox.kubernetes.validation.names import qualified_problem
from sandbox.kubernetes.validation.scheduling import validate_selector

_FAILURE_POLICIES = ("Fail", "Ignore")
_REINVOCATION_POLICIES = ("IfNeeded", "Never")
_MATCH_POLICIES = ("Equivalent", "Exact")
_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_NOT_FOUND_ACTIONS = ("Allow", "Deny")
_SCOPES = ("*", "Cluster", "Namespaced")
_SERVED_PATCHES = ("JSONPatch",)
"""The real server has ApplyConfiguration too; a policy with one is refused, not half obeyed."""
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = re.compile(
    "as|break|const|continue|else|false|for|function|if|import|in|let|loop|package|namespace|null"
    "|return|true|var|void|while"
)


def validate_mutating_policy(body: Body) -> Iterator[FieldError]:
    """Check a policy: its form, and that all its expressions compile."""
    spec = mapping(body, "spec")
    yield from _choice(spec, "failurePolicy", _FAILURE_POLICIES, "spec")
    yield from _choice(spec, "reinvocationPolicy", _REINVOCATION_POLICIES, "spec")
    for key in ("apiVersion", "kind"):
        if "paramKind" in spec and not dig(spec, "paramKind", key):
            yield required(f"spec.paramKind.{key}")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        yield required("spec.matchConstraints")
    else:
        yield from _match(constraints, "spec.matchConstraints")
        if not items(constraints, "resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
    yield from _condition_names(items(spec, "matchConditions"))
    yield from _variable_names(items(spec, "variables"))
    yield from _mutations(items(spec, "mutations"))
    for problem in compile_policy(spec).problems:
        yield invalid(problem.field, problem.expression, problem.detail)


def validate_mutating_binding(body: Body) -> Iterator[FieldError]:
    """Check a binding: it names a policy, and its parameters by a name or by labels."""
    spec = mapping(body, "spec")
    if not spec.get("policyName"):
        yield required("spec.policyName")
    if "matchResources" in spec:
        yield from _match(spec["matchResources"], "spec.matchResources")
    if "paramRef" not in spec:
        return
    reference = spec["paramRef"]
    if reference.get("name") and "selector" in reference:
        yield forbidden("spec.paramRef.name", "name and selector are mutually exclusive")
    if not reference.get("name") and "selector" not in reference:
        yield required("spec.paramRef", "one of name or selector must be specified")
    yield from _choice(reference, "parameterNotFoundAction", _NOT_FOUND_ACTIONS, "spec.paramRef")


def _choice(body: Body, key: str, choices: tuple[str, ...], path: str) -> Iterator[FieldError]:
    value = body.get(key)
    if not value:
        yield required(f"{path}.{key}")
    elif value not in choices:
        yield not_supported(f"{path}.{key}", value, choices)


def _match(constraints: Body, path: str) -> Iterator[FieldError]:
    yield from _choice(constraints, "matchPolicy", _MATCH_POLICIES, path)
    for key in ("namespaceSelector", "objectSelector"):
        yield from validate_selector(constraints.get(key), f"{path}.{key}")
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(items(constraints, key)):
            yield from _rule(rule, f"{path}.{key}[{index}]")


def _rule(rule: Body, path: str) -> Iterator[FieldError]:
    for key in ("apiGroups", "apiVersions", "operations", "resources"):
        values = items(rule, key)
        if not values:
            yield required(f"{path}.{key}")
        if "*" in values and len(values) > 1 and key != "resources":
            detail = f"if '*' is present, must not specify other {key}"
            yield invalid(f"{path}.{key}", values, detail)
    for index, operation in enumerate(items(rule, "operations")):
        if operation not in _OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    if rule.get("scope", "*") not in _SCOPES:
        yield not_supported(f"{path}.scope", rule["scope"], _SCOPES)


def _condition_names(conditions: list[Body]) -> Iterator[FieldError]:
    seen = set()
    for index, one in enumerate(conditions):
        path, name = f"spec.matchConditions[{index}].name", one.get("name", "")
        if not name:
            yield required(path)
        elif problem := qualified_problem(name):
            yield invalid(path, name, problem)
        elif name in seen:
            yield duplicate(path, name)
        seen.add(name)


def _variable_names(variables: list[Body]) -> Iterator[FieldError]:
    for index, one in enumerate(variables):
        path, name = f"spec.variables[{index}].name", one.get("name", "")
        if not name:
            yield required(path)
        elif not _IDENTIFIER.fullmatch(name) or _RESERVED.fullmatch(name):
            yield invalid(path, name, "name is not a valid CEL identifier")


def _mutations(mutations: list[Body]) -> Iterator[FieldError]:
    if not mutations:
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, one in enumerate(mutations):
        path = f"spec.mutations[{index}]"
        yield from _choice(one, "patchType", _SERVED_PATCHES, path)
        if one.get("patchType") == "JSONPatch" and not dig(one, "jsonPatch", "expression"):
            yield required(f"{path}.jsonPatch")
