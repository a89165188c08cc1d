"""Names, labels and annotations."""

import re

from sandbox.kubernetes.bodies import Body, items, mapping
from sandbox.kubernetes.fields import FieldError, forbidden, invalid, required, too_long

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_PATH = re.compile(r"(?!\.{1,2}$)[^/%]+")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_MAX_ANNOTATIONS = 256 * 1024
_MAX_LABEL = 63
_MAX_SUBDOMAIN = 253

_LABEL_NAMED = ("namespaces", "services")
_PATH_NAMED = (
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
)


def label_problem(name: str) -> str | None:
    """Say why a name is no DNS-1123 label."""
    if len(name) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    return None if _LABEL.fullmatch(name) else _LABEL_TEXT


def subdomain_problem(name: str) -> str | None:
    """Say why a name is no DNS-1123 subdomain."""
    if len(name) > _MAX_SUBDOMAIN:
        return f"must be no more than {_MAX_SUBDOMAIN} bytes"
    return None if _SUBDOMAIN.fullmatch(name) else _SUBDOMAIN_TEXT


def qualified_problem(name: str) -> str | None:
    """
    Say why a text is no qualified name, as keys of labels and annotations and resources are.

    >>> qualified_problem("nvidia.com/gpu") is None, qualified_problem("a/b/c") is None
    (True, False)
    """
    prefix, slash, rest = name.rpartition("/")
    if slash and (not prefix or "/" in prefix):
        return (
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
            "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') "
            "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )
    if slash and (problem := subdomain_problem(prefix)):
        return f"prefix part {problem}"
    if not rest:
        return "name part must be non-empty"
    if len(rest) > _MAX_LABEL:
        return f"name part must be no more than {_MAX_LABEL} bytes"
    return None if _QUALIFIED.fullmatch(rest) else _QUALIFIED_TEXT


def value_problem(value: str) -> str | None:
    """Say why a text is no value of a label."""
    if len(value) > _MAX_LABEL:
        return f"must be no more than {_MAX_LABEL} bytes"
    return None if _VALUE.fullmatch(value) else _VALUE_TEXT


def _path_problem(name: str) -> str | None:
    if _PATH.fullmatch(name):
        return None
    return "may not contain '/' or '%', and may not be '.' or '..'"


def _service_problem(name: str) -> str | None:
    if len(name) <= _MAX_LABEL and _SERVICE.fullmatch(name):
        return None
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
        "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
        "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    )


def validate_metadata(key: str, body: Body) -> list[FieldError]:
    """Check the metadata of an object of the resource ``key``."""
    metadata = mapping(body, "metadata")
    errors = _validate_name(key, metadata)
    errors += validate_labels(mapping(metadata, "labels"), "metadata.labels")
    errors += validate_annotations(mapping(metadata, "annotations"), "metadata.annotations")
    for index, owner in enumerate(items(metadata, "ownerReferences")):
        errors += [
            required(f"metadata.ownerReferences[{index}].{field}", "must not be empty")
            for field in ("apiVersion", "kind", "name", "uid")
            if not owner.get(field)
        ]
    for finalizer in items(metadata, "finalizers"):
        if problem := qualified_problem(finalizer):
            errors.append(invalid("metadata.finalizers", finalizer, problem))
        elif "/" not in finalizer and finalizer not in (
            "orphan",
            "foregroundDeletion",
            "kubernetes",
        ):
            errors.append(
                invalid(
                    "metadata.finalizers",
                    finalizer,
                    "name is neither a standard finalizer name nor is it fully qualified",
                )
            )
    controllers = [
        one.get("name") for one in items(metadata, "ownerReferences") if one.get("controller")
    ]
    if len(controllers) > 1:
        errors.append(
            invalid(
                "metadata.ownerReferences",
                metadata["ownerReferences"],
                'Only one reference can have Controller set to true. Found "true" in references '
                "for " + " and ".join(map(str, controllers)),
            )
        )
    return errors


def _validate_name(key: str, metadata: Body) -> list[FieldError]:
    name = metadata.get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if key in _PATH_NAMED:
        problem = _path_problem(name)
    elif key == "services":
        problem = _service_problem(name)
    else:
        problem = label_problem(name) if key in _LABEL_NAMED else subdomain_problem(name)
    return [invalid("metadata.name", name, problem)] if problem else []


def validate_labels(labels: Body, field: str) -> list[FieldError]:
    """Check the keys and values of labels."""
    errors = []
    for key, value in labels.items():
        if problem := qualified_problem(key):
            errors.append(invalid(field, key, problem))
        if problem := value_problem(value):
            errors.append(invalid(field, value, problem))
    return errors


def validate_annotations(annotations: Body, field: str) -> list[FieldError]:
    """Check the keys of annotations, and their size together."""
    errors = []
    size = 0
    for key, value in annotations.items():
        # Annotation keys may hold upper-case letters in their prefix.
        if problem := qualified_problem(key.lower()):
            errors.append(invalid(field, key, problem))
        size += len(key.encode()) + len(value.encode())
    if size > _MAX_ANNOTATIONS:
        errors.append(too_long(field, _MAX_ANNOTATIONS))
    return errors


def validate_metadata_update(body: Body, before: Body) -> list[FieldError]:
    """Check what may not change in metadata."""
    metadata, old = body["metadata"], before["metadata"]
    errors = [
        invalid(f"metadata.{field}", metadata.get(field), "field is immutable")
        for field in ("name", "namespace", "uid", "creationTimestamp")
        if metadata.get(field) != old.get(field)
    ]
    if old.get("deletionTimestamp"):
        added = [
            one for one in items(metadata, "finalizers") if one not in items(old, "finalizers")
        ]
        if added:
            errors.append(
                forbidden(
                    "metadata.finalizers",
                    f"no new finalizers can be added if the object is being deleted, found new "
                    f"finalizers {json_list(added)}",
                )
            )
    return errors


def json_list(values: list[str]) -> str:
    """Write strings as Go's %#v does."""
    return "[]string{" + ", ".join(f'"{value}"' for value in values) + "}"
