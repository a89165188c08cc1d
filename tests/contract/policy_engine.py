"""
The policy as an API server evaluates it: by the sandbox's evaluator, on the YAML file itself.

Here nothing is ignored: an expression that does not compile, or fails, fails the test.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

from sandbox.kubernetes.policy_expressions import compile_policy

FILE = Path(__file__).parents[2] / "infra" / "kubernetes" / "rewriting" / "policy.yaml"
POLICY, BINDING = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))


class Policy:
    """The policy, compiled once. A variable has the type of its expression, as it has there."""

    def __init__(self, spec: Mapping[str, Any] = POLICY["spec"]) -> None:
        self._compiled = compile_policy(dict(spec))
        assert self._compiled.problems == []
        (self._mutation,) = self._compiled.mutations
        expressions = {**self._compiled.variables, "patch": self._mutation}
        self.types = {name: each.return_type().name() for name, each in expressions.items()}
        """The types of the variables and, under ``patch``, of the mutation."""

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
            pod: The new pod, or with ``old`` the pod with more ephemeral containers.
            data: The data of the parameter; None without the field.
            old: The pod that the API server stored before.
        """
        inputs: dict[str, Any] = {
            "object": pod,
            "oldObject": old,
            "params": {"metadata": {"name": "proven-mirrors"}}
            | ({} if data is None else {"data": data}),
            "request": {"operation": "CREATE" if old is None else "UPDATE"},
        }
        if not self._compiled.matches(inputs):
            return pod
        return jsonpatch.apply_patch(pod, self._compiled.make_patch(self._mutation, inputs))
