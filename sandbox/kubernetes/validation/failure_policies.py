"""The podFailurePolicy of a Job."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, items
from sandbox.kubernetes.fields import FieldError, invalid, not_supported, required
from sandbox.kubernetes.validation.names import qualified_problem

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_MAX_CODES = 255
_STATUSES = ("False", "True", "Unknown")


def validate_failure_policy(spec: Body, names: set[str | None], path: str) -> Iterator[FieldError]:
    """Check the rules about pods that fail."""
    for index, rule in enumerate(items(spec, "podFailurePolicy", "rules")):
        where = f"{path}.rules[{index}]"
        action = rule.get("action", "")
        if not action:
            yield required(f"{where}.action", f"valid values: {', '.join(map(_quoted, _ACTIONS))}")
        elif action not in _ACTIONS:
            yield not_supported(f"{where}.action", action, _ACTIONS)
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield invalid(f"{where}.action", action, "requires the backoffLimitPerIndex to be set")
        yield from _requirement(rule, names, where)


def _quoted(text: str) -> str:
    return f'"{text}"'


def _requirement(rule: Body, names: set[str | None], path: str) -> Iterator[FieldError]:
    codes, conditions = rule.get("onExitCodes"), items(rule, "onPodConditions")
    if codes is not None and conditions:
        yield invalid(
            path, rule, "specifying both OnExitCodes and OnPodConditions is not supported"
        )
    elif codes is None and not conditions:
        yield invalid(path, rule, "specifying one of OnExitCodes and OnPodConditions is required")
    if codes is not None:
        yield from _codes(codes, names, f"{path}.onExitCodes")
    for index, pattern in enumerate(conditions):
        where = f"{path}.onPodConditions[{index}]"
        if problem := qualified_problem(pattern.get("type", "")):
            yield invalid(f"{where}.type", pattern.get("type", ""), problem)
        status = pattern.get("status", "")
        if status not in _STATUSES:
            yield not_supported(f"{where}.status", status, _STATUSES)


def _codes(codes: Body, names: set[str | None], path: str) -> Iterator[FieldError]:
    operator, values = codes.get("operator", ""), items(codes, "values")
    if not operator:
        yield required(f"{path}.operator", 'valid values: "In", "NotIn"')
    elif operator not in ("In", "NotIn"):
        yield not_supported(f"{path}.operator", operator, ("In", "NotIn"))
    yield from _values(operator, values, path)
    name = codes.get("containerName")
    if name is not None and name not in names:
        yield invalid(
            f"{path}.containerName",
            name,
            "must be one of the container or initContainer names in the pod template",
        )


def _values(operator: str, values: list[int], path: str) -> Iterator[FieldError]:
    if not values:
        yield invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > _MAX_CODES:
        yield invalid(f"{path}.values", values, f"must have at most {_MAX_CODES} items")
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
    if len(set(values)) != len(values):
        yield invalid(f"{path}.values", values, "must be unique")
    elif list(values) != sorted(values):
        yield invalid(f"{path}.values", values, "must be ordered")
