"""Label and field selectors, parsed into tests of objects."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox.kubernetes.bodies import Body, dig, items, mapping
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import bad_request

Predicate = Callable[[Body], bool]
LabelTest = Callable[[Mapping[str, str]], bool]

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_.]*(?:/[-A-Za-z0-9_.]+)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALS = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_FIELD = re.compile(r"([^=!,]+?)\s*(==|=|!=)\s*(.*)")

_COMMON_FIELDS = ("metadata.name", "metadata.namespace")
_EVENT_FIELDS = tuple(
    f"involvedObject.{name}"
    for name in ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
)
_FIELDS: dict[str, tuple[str, ...]] = {
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase"),
    "events": (*_EVENT_FIELDS, "reason", "reportingComponent", "source", "type"),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "jobs.batch": ("status.successful",),
}


def parse_labels(text: str) -> LabelTest:
    """
    Parse a label selector of a query.

    Raises:
        ApiError: 400, if it violates the grammar.

    >>> parse_labels("app in (a, b),!x")({"app": "b"})
    True
    """
    tests = [_requirement(part) for part in _split(text)]
    return lambda labels: all(test(labels) for test in tests)


def _split(text: str) -> Iterable[str]:
    """Split at commas outside brackets."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _requirement(text: str) -> LabelTest:
    if match := _SET.fullmatch(text):
        values = [value.strip() for value in match[3].split(",")]
        return requirement(match[1], "In" if match[2] == "in" else "NotIn", values)
    if match := _EQUALS.fullmatch(text):
        return requirement(match[1], "NotIn" if match[2] == "!=" else "In", [match[3]])
    if match := _EXISTS.fullmatch(text):
        return requirement(match[2], "DoesNotExist" if match[1] else "Exists", [])
    raise bad_request(
        f"unable to parse requirement: found {text!r}, expected: ',' or 'end of string'"
    )


def requirement(key: str, operator: str, values: list[str]) -> LabelTest:
    """Return the test of one requirement, with the operators of objects and of node affinity."""
    tests: dict[str, LabelTest] = {
        "In": lambda labels: labels.get(key) in values,
        "NotIn": lambda labels: labels.get(key) not in values,
        "Exists": lambda labels: key in labels,
        "DoesNotExist": lambda labels: key not in labels,
        "Gt": lambda labels: _number(labels.get(key)) > _number(values[0]),
        "Lt": lambda labels: key in labels and _number(labels[key]) < _number(values[0]),
    }
    return tests[operator]


def _number(text: str | None) -> float:
    try:
        return int(text or "")
    except ValueError:
        return float("-inf")


def from_object(selector: Body | None) -> LabelTest:
    """Return the test of a LabelSelector; an absent one matches nothing, an empty one all."""
    if selector is None:
        return lambda _labels: False
    tests = [
        requirement(key, "In", [value]) for key, value in mapping(selector, "matchLabels").items()
    ]
    tests += [
        requirement(one["key"], one["operator"], items(one, "values"))
        for one in items(selector, "matchExpressions")
    ]
    return lambda labels: all(test(labels) for test in tests)


def parse_fields(resource: Resource, text: str) -> Predicate:
    """
    Parse a field selector of the fields that the API server indexes.

    Raises:
        ApiError: 400, for another field or another form.
    """
    tests = []
    for part in (one for one in text.split(",") if one):
        match = _FIELD.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        tests.append(_fieldrequirement(resource, match[1], match[2], match[3]))
    return lambda body: all(test(body) for test in tests)


def _fieldrequirement(resource: Resource, field: str, operator: str, wanted: str) -> Predicate:
    message = f"field label not supported: {field}"
    if field not in (*_COMMON_FIELDS, *_FIELDS.get(resource.key, ())):
        raise bad_request(message)
    path = field.split(".")
    if operator == "!=":
        return lambda body: _field_value(body, path) != wanted
    return lambda body: _field_value(body, path) == wanted


def _field_value(body: Body, path: list[str]) -> str:
    if path == ["source"]:
        return str(dig(body, "source", "component") or body.get("reportingComponent") or "")
    if path == ["status", "successful"]:
        return str(dig(body, "status", "succeeded") or 0)
    value: Any = dig(body, *path)
    if path[-1] == "unschedulable":
        return "true" if value else "false"
    return "" if value is None else str(value)


def select(resource: Resource, label_selector: str, field_selector: str) -> Predicate:
    """Return the test of both selectors."""
    by_label = parse_labels(label_selector) if label_selector else None
    by_field = parse_fields(resource, field_selector) if field_selector else None

    def matches(body: Body) -> bool:
        if by_label is not None and not by_label(mapping(body, "metadata", "labels")):
            return False
        return by_field is None or by_field(body)

    return matches
