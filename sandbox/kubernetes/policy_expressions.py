"""
The expressions of a MutatingAdmissionPolicy, compiled and evaluated by the C++ implementation.

The libraries are those of the rewriting policy: strings, optional values, comprehensions with two
variables, and the type JSONPatch, whose values are texts. An expression that needs another library
(sets, quantities, ``authorizer``) does not compile, so that the policy is refused.
https://kubernetes.io/docs/reference/using-api/cel/
"""

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.kubernetes.bodies import Body, dig, items

CONDITION = "BOOL"
PATCH = "LIST<JSONPatch>"
_INPUTS = ("object", "oldObject", "request", "namespaceObject")
_LIBRARIES = "name: policy\nextensions:\n  - name: two-var-comprehensions\n"
_STRINGS_OF_KUBERNETES = 2
"""The version of the strings library."""


class EvaluationError(Exception):
    """An expression cannot be evaluated with its inputs."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An expression that does not compile, and its field."""

    field: str
    expression: str
    detail: str


@dataclass(slots=True)
class CompiledPolicy:
    """A policy's expressions; those that do not compile are listed as problems instead."""

    conditions: list[Any] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    mutations: list[Any] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def matches(self, inputs: Mapping[str, Any]) -> bool:
        """
        Whether all match conditions hold; a false one decides even if another fails.

        Raises:
            EvaluationError: One cannot be evaluated, and all others hold.
        """
        failed: EvaluationError | None = None
        for condition in self.conditions:
            try:
                if not _evaluate(condition, inputs):
                    return False
            except EvaluationError as error:
                failed = error
        if failed is not None:
            raise failed
        return True

    def make_patch(self, mutation: Any, inputs: Mapping[str, Any]) -> list[Body]:
        """
        Return the operations of one mutation.

        Raises:
            EvaluationError: It, or a variable that it needs, cannot be evaluated.
        """
        bound = dict(inputs)
        for name, expression in self.variables.items():
            # The API server evaluates variables lazily: one without a use may fail.
            with contextlib.suppress(EvaluationError):
                bound[f"variables.{name}"] = _evaluate(expression, bound)
        return [_operation(each) for each in _evaluate(mutation, bound)]


def compile_policy(spec: Body) -> CompiledPolicy:
    """Compile all expressions of a policy's specification."""
    compiled = CompiledPolicy()
    declared = [*_INPUTS, *(["params"] if spec.get("paramKind") else [])]
    types = dict.fromkeys(declared, _cel().Type.DYN)
    for index, one in enumerate(items(spec, "matchConditions")):
        path = f"spec.matchConditions[{index}].expression"
        condition = _compile(compiled, one.get("expression", ""), path, types, CONDITION)
        compiled.conditions += [condition] if condition else []
    for index, one in enumerate(items(spec, "variables")):
        path = f"spec.variables[{index}].expression"
        variable = _compile(compiled, one.get("expression", ""), path, types)
        if variable is not None:
            compiled.variables[one["name"]] = variable
            types[f"variables.{one['name']}"] = variable.return_type()
    for index, one in enumerate(items(spec, "mutations")):
        if expression := dig(one, "jsonPatch", "expression"):
            path = f"spec.mutations[{index}].jsonPatch.expression"
            mutation = _compile(compiled, expression, path, types, PATCH)
            compiled.mutations += [mutation] if mutation else []
    return compiled


def _compile(
    compiled: CompiledPolicy, expression: str, path: str, types: Mapping[str, Any], wanted: str = ""
) -> Any:
    """Compile one expression; on failure, add a problem and return None."""
    try:
        made = _environment(types, has_patches=wanted == PATCH).compile(expression)
    except RuntimeError as error:
        detail = f"compilation failed: {str(error).removeprefix('INVALID_ARGUMENT: ')}"
        compiled.problems.append(Problem(path, expression, detail))
        return None
    found = made.return_type().name()
    if wanted and found != wanted:
        detail = f"must evaluate to {_shown(wanted)} but got {_shown(found)}"
        compiled.problems.append(Problem(path, expression, detail))
        return None
    return made


def _environment(types: Mapping[str, Any], *, has_patches: bool) -> Any:
    from cel_expr_python.ext import (  # type: ignore[import-untyped]  # no py.typed in 0.1.3
        ext_optional,
        ext_strings,
    )

    return _cel().NewEnv(
        descriptor_pool=_patch_types() if has_patches else None,
        config=_cel().NewEnvConfigFromYaml(_LIBRARIES),
        variables=dict(types),
        extensions=[ext_strings.ExtStrings(_STRINGS_OF_KUBERNETES), ext_optional.ExtOptional()],
    )


def _cel() -> Any:
    # Imported here because it is slow, and most clusters have no policy.
    from cel_expr_python import cel  # type: ignore[import-untyped]  # no py.typed in 0.1.3

    return cel


@functools.cache
def _patch_types() -> Any:
    """Return the type JSONPatch, as a message; its value is any JSON value."""
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, struct_pb2

    texts = [
        {"name": name, "number": number, "type": "TYPE_STRING", "label": "LABEL_OPTIONAL"}
        for number, name in enumerate(("op", "path", "from"), start=1)
    ]
    value = {
        "name": "value",
        "number": 4,
        "type": "TYPE_MESSAGE",
        "typeName": ".google.protobuf.Value",
        "label": "LABEL_OPTIONAL",
    }
    described = {
        "name": "jsonpatch.proto",
        "syntax": "proto3",
        "dependency": [struct_pb2.DESCRIPTOR.name],
        "messageType": [{"name": "JSONPatch", "field": [*texts, value]}],
    }
    # Its classes are made when the module is imported, which no type checker sees.
    file = descriptor_pb2.FileDescriptorProto()  # type: ignore[attr-defined]
    json_format.ParseDict(described, file)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _evaluate(expression: Any, inputs: Mapping[str, Any]) -> Any:
    try:
        value = expression.eval(data=inputs)
    except RuntimeError as error:
        # It takes too many steps; the API server has a budget too, with another measure.
        raise EvaluationError(str(error)) from error
    if value.type().name() == "ERROR":
        raise EvaluationError(str(value.value()))
    return value.plain_value()


def _operation(message: Any) -> Body:
    from google.protobuf import json_format

    fields: Body = {"op": message.op, "path": message.path}
    if origin := getattr(message, "from"):
        fields["from"] = origin
    if message.HasField("value"):
        fields["value"] = json_format.MessageToDict(message.value)
    return fields


def _shown(name: str) -> str:
    """Write a type as Kubernetes does."""
    return name.replace("LIST<", "list(").replace(">", ")").replace(CONDITION, "bool")
