"""Rules for names, and for the keys and values of labels and annotations."""

import re

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.field_errors import Errors, invalid, too_long

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_WORD = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_PATH = re.compile(r"(?!\.{1,2}$)[^/%]+")
_MAX_ANNOTATIONS = 256 * 1024
_MAX_LABEL = 63
_MAX_SUBDOMAIN = 253


def label_problem(name: str) -> str | None:
    """Return why a name is not a DNS label."""
    if len(name) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    return None if _LABEL.fullmatch(name) else "must be a lowercase RFC 1123 label"


def subdomain_problem(name: str) -> str | None:
    """Return why a name is not a DNS subdomain."""
    if len(name) > _MAX_SUBDOMAIN:
        return f"must be no more than {_MAX_SUBDOMAIN} bytes"
    return None if _SUBDOMAIN.fullmatch(name) else "must be a lowercase RFC 1123 subdomain"


def qualified_problem(name: str) -> str | None:
    """
    Return why a text is not a qualified name, as keys of labels and annotations are.

    >>> qualified_problem("nvidia.com/gpu") is None, qualified_problem("a/b/c") is None
    (True, False)
    """
    prefix, slash, rest = name.rpartition("/")
    if slash and (problem := subdomain_problem(prefix)):
        return f"prefix part {problem}"
    return "name part must be non-empty" if not rest else value_problem(rest)


def value_problem(value: str) -> str | None:
    """Return why a text is not a label value; it may be empty."""
    if len(value) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    why = "must consist of alphanumeric characters, '-', '_' or '.', and begin and end with one"
    return None if not value or _WORD.fullmatch(value) else why


def name_problem(resource: str, name: str) -> str | None:
    """Return why an object of a resource may not have a name."""
    if resource.endswith(".rbac.authorization.k8s.io"):
        why = "may not contain '/' or '%', and may not be '.' or '..'"
        return None if _PATH.fullmatch(name) else why
    return label_problem(name) if resource == "namespaces" else subdomain_problem(name)


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
