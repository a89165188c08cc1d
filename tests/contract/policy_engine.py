"""
The policy as an API server evaluates it, with the C++ implementation of the same language.

The expressions are those of the YAML file itself. Only the last, which makes the JSON Patch, names
a type that the API server alone has: its objects become plain maps here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonpatch
import yaml
from cel_expr_python import cel  # type: ignore[import-untyped]  # no py.typed in 0.1.3
from cel_expr_python.ext import (  # type: ignore[import-untyped]
    ext_optional,
    ext_strings,
)

FILE = Path(__file__).parents[2] / "infra" / "kubernetes" / "rewriting" / "policy.yaml"
POLICY, BINDING = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))

_LIBRARIES = cel.NewEnvConfigFromYaml(
    "name: policy\nextensions:\n  - name: two-var-comprehensions\n"
)
_INPUTS = ("object", "oldObject", "params", "request")
_STRINGS_OF_KUBERNETES = 2


class Policy:
    """The policy, compiled once. A variable has the type of its expression, as it has there."""

    def __init__(self) -> None:
        self.types: dict[str, str] = {}
        """Of the variables and, under ``patch``, of the mutation."""
        self._declared = dict.fromkeys(_INPUTS, cel.Type.DYN)
        spec = POLICY["spec"]
        (mutation,) = spec["mutations"]
        self._conditions = [self._compile(each["expression"]) for each in spec["matchConditions"]]
        self._variables = {}
        for each in spec["variables"]:
            name, expression = f"variables.{each['name']}", self._compile(each["expression"])
            self._variables[name] = expression
            self._declared[name] = expression.return_type()
            self.types[each["name"]] = expression.return_type().name()
        self._patch = self._compile(_without_types(mutation["jsonPatch"]["expression"]))
        self.types["patch"] = self._patch.return_type().name()

    def admit(
        self,
        pod: Mapping[str, Any],
        data: Mapping[str, str] | None,
        *,
        old: Mapping[str, Any] | None = None,
    ) -> Any:
        """
        Return the pod as the API server stores it.

        Args:
            pod: What is sent: a new pod, or with ``old`` one with more ephemeral containers.
            data: Of the parameter; None where it has no such field.
            old: What the API server has stored before.
        """
        inputs: dict[str, Any] = {
            "object": pod,
            "oldObject": old,
            "params": {"metadata": {"name": "proven-mirrors"}}
            | ({} if data is None else {"data": data}),
            "request": {"operation": "CREATE" if old is None else "UPDATE"},
        }
        if not all(_evaluate(each, inputs) is True for each in self._conditions):
            return pod
        for name, expression in self._variables.items():
            inputs[name] = _evaluate(expression, inputs)
        return jsonpatch.apply_patch(pod, _evaluate(self._patch, inputs))

    def _compile(self, expression: str) -> cel.Expression:
        env = cel.NewEnv(
            config=_LIBRARIES,
            variables=self._declared,
            extensions=[
                ext_strings.ExtStrings(_STRINGS_OF_KUBERNETES),
                ext_optional.ExtOptional(),
            ],
        )
        return env.compile(expression)


def _evaluate(expression: cel.Expression, inputs: Mapping[str, Any]) -> Any:
    value = expression.eval(data=inputs)
    assert value.type() != cel.Type.ERROR, value.value()
    return value.plain_value()


def _without_types(expression: str) -> str:
    for field in ("op", "path", "value"):
        expression = expression.replace(f"JSONPatch{{{field}:", f"{{'{field}':")
        expression = expression.replace(f", {field}:", f", '{field}':")
    return expression
