"""Which writes a MutatingAdmissionPolicy, or a binding of one, is about."""

from collections.abc import Iterable, Mapping

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.bodies import Body, items, mapping
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.store import Store

_EVERY = "*"
_EXEMPT = frozenset(
    f"{plural}.admissionregistration.k8s.io"
    for plural in (
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    )
)


def is_exempt(attributes: Attributes) -> bool:
    """Whether no policy ever sees a write: nobody shall be locked out of the policies."""
    return attributes.resource.key in _EXEMPT


def concerns(constraints: Body, attributes: Attributes, store: Store) -> bool:
    """Whether constraints (``matchConstraints`` or ``matchResources``) include a write."""
    rules = constraints.get("resourceRules")
    if rules is not None and not any(_is_named(rule, attributes) for rule in rules):
        return False
    if any(_is_named(rule, attributes) for rule in items(constraints, "excludeResourceRules")):
        return False
    return _selects_namespace(
        mapping(constraints, "namespaceSelector"), attributes, store
    ) and _selects_object(mapping(constraints, "objectSelector"), attributes)


def _is_named(rule: Body, attributes: Attributes) -> bool:
    resource = attributes.resource
    scope = "Namespaced" if resource.namespaced else "Cluster"
    names = items(rule, "resourceNames")
    return (
        _includes(items(rule, "operations"), attributes.verb.upper())
        and _includes(items(rule, "apiGroups"), resource.group)
        and _includes(items(rule, "apiVersions"), resource.version)
        and rule.get("scope", _EVERY) in (_EVERY, scope)
        and (not names or attributes.name in names)
        and any(_is_resource(text, attributes) for text in items(rule, "resources"))
    )


def _includes(allowed: Iterable[str], value: str) -> bool:
    return any(one in (_EVERY, value) for one in allowed)


def _is_resource(text: str, attributes: Attributes) -> bool:
    """Whether a write is to what ``pods``, ``pods/status``, ``*/scale`` and the like name."""
    plural, _, subresource = text.partition("/")
    is_named = plural in (_EVERY, attributes.resource.plural)
    return is_named and subresource in (attributes.subresource, _EVERY)


def _selects_namespace(selector: Body, attributes: Attributes, store: Store) -> bool:
    """Look at the labels of the namespace; what has none is never left out by them."""
    if attributes.resource.key == "namespaces":
        return from_object(selector)(_labels(attributes.body))
    if not attributes.resource.namespaced:
        return True
    namespace = store.get("namespaces", ("", attributes.namespace))
    return namespace is not None and from_object(selector)(_labels(namespace.body))


def _selects_object(selector: Body, attributes: Attributes) -> bool:
    """Look at the labels that the object has, or had before."""
    test = from_object(selector)
    before = attributes.before
    return test(_labels(attributes.body)) or (before is not None and test(_labels(before)))


def _labels(body: Body) -> Mapping[str, str]:
    return mapping(body, "metadata", "labels")
