"""Rules for names, labels, annotations and label selectors."""

import re

from sandbox.kubernetes.bodies import Body, items, mapping
from sandbox.kubernetes.field_errors import (
    Errors,
    FieldError,
    disallowed,
    invalid,
    required,
    too_long,
)

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_PATH = re.compile(r"(?!\.{1,2}$)[^/%]+")
_ENDS = "and must start and end with an alphanumeric character"
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    f"{_ENDS} (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    f"'.', {_ENDS} (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUALIFIED_TEXT = (
    f"name part must consist of alphanumeric characters, '-', '_' or '.', {_ENDS} (e.g. 'MyName',  "
    "or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    f"{_ENDS} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_MAX_ANNOTATIONS = 256 * 1024
_MAX_LABEL = 63
_MAX_SUBDOMAIN = 253
_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def label_problem(name: str) -> str | None:
    """Return why a name is not a DNS label."""
    if len(name) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    return None if _LABEL.fullmatch(name) else _LABEL_TEXT


def subdomain_problem(name: str) -> str | None:
    """Return why a name is not a DNS subdomain."""
    if len(name) > _MAX_SUBDOMAIN:
        return f"must be no more than {_MAX_SUBDOMAIN} bytes"
    return None if _SUBDOMAIN.fullmatch(name) else _SUBDOMAIN_TEXT


def qualified_problem(name: str) -> str | None:
    """
    Return why a text is not a qualified name, as keys of labels and annotations are.

    >>> qualified_problem("nvidia.com/gpu") is None, qualified_problem("a/b/c") is None
    (True, False)
    """
    prefix, slash, rest = name.rpartition("/")
    if slash and (not prefix or "/" in prefix):
        return "a qualified name has an optional DNS subdomain prefix and '/'"
    if slash and (problem := subdomain_problem(prefix)):
        return f"prefix part {problem}"
    if not rest:
        return "name part must be non-empty"
    if len(rest) > _MAX_LABEL:
        return f"name part must be no more than {_MAX_LABEL} bytes"
    return None if _QUALIFIED.fullmatch(rest) else _QUALIFIED_TEXT


def value_problem(value: str) -> str | None:
    """Return why a text is not a label value."""
    if len(value) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    return None if _VALUE.fullmatch(value) else _VALUE_TEXT


def _name_problem(resource: str, name: str) -> str | None:
    if resource.endswith(".rbac.authorization.k8s.io"):
        why = "may not contain '/' or '%', and may not be '.' or '..'"
        return None if _PATH.fullmatch(name) else why
    return label_problem(name) if resource == "namespaces" else subdomain_problem(name)


def validate_metadata(resource: str, body: Body) -> Errors:
    """Check the metadata of an object."""
    metadata = mapping(body, "metadata")
    name = metadata.get("name", "")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif problem := _name_problem(resource, name):
        yield invalid("metadata.name", name, problem)
    yield from validate_labels(mapping(metadata, "labels"), "metadata.labels")
    yield from validate_annotations(mapping(metadata, "annotations"), "metadata.annotations")
    for owner in items(metadata, "ownerReferences"):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield invalid(f"metadata.ownerReferences.{field}", "", "must not be empty")
    for index, finalizer in enumerate(items(metadata, "finalizers")):
        if "/" not in finalizer and finalizer not in _FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid(f"metadata.finalizers[{index}]", finalizer, why)


def validate_labels(labels: Body, field: str) -> Errors:
    """Check the keys and values of labels."""
    for key, value in labels.items():
        if problem := qualified_problem(key):
            yield invalid(field, key, problem)
        if problem := value_problem(value):
            yield invalid(field, value, problem)


def validate_annotations(annotations: Body, field: str) -> Errors:
    """Check the keys of annotations, and their total size."""
    for key in annotations:
        # The prefix of an annotation key may have upper-case letters.
        if problem := qualified_problem(key.lower()):
            yield invalid(field, key, problem)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _MAX_ANNOTATIONS:
        yield too_long(field, _MAX_ANNOTATIONS)


def validate_metadata_update(body: Body, before: Body) -> Errors:
    """Check that the identity of an object stays, and that a deleted one gets no finalizer."""
    metadata, old = body["metadata"], before["metadata"]
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        if metadata.get(field) != old.get(field):
            yield invalid(f"metadata.{field}", metadata.get(field), "field is immutable")
    added = set(items(metadata, "finalizers")) - set(items(old, "finalizers"))
    if old.get("deletionTimestamp") and added:
        why = "no new finalizers can be added if the object is being deleted"
        yield disallowed("metadata.finalizers", why)


def validate_selector(selector: Body | None, path: str) -> Errors:
    """Check a LabelSelector object, which may be absent."""
    yield from validate_labels(mapping(selector, "matchLabels"), f"{path}.matchLabels")
    for index, one in enumerate(items(selector, "matchExpressions")):
        yield from validate_requirement(one, f"{path}.matchExpressions[{index}]")


def validate_requirement(one: Body, path: str) -> Errors:
    """Check one requirement of a selector or of a node affinity."""
    operator, values = one.get("operator", ""), items(one, "values")
    if error := _operator_error(operator, len(values), path):
        yield error
    if problem := qualified_problem(one.get("key", "")):
        yield invalid(f"{path}.key", one.get("key", ""), problem)
    for index, value in enumerate(values):
        if problem := value_problem(value):
            yield invalid(f"{path}.values[{index}]", value, problem)


def _operator_error(operator: str, count: int, path: str) -> FieldError | None:
    if operator not in _OPERATORS:
        return invalid(f"{path}.operator", operator, "not a valid selector operator")
    if operator in ("In", "NotIn") and not count:
        return required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and count:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return disallowed(f"{path}.values", why)
    return None
