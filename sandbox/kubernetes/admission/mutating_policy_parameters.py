"""The parameters of a policy's binding: the objects that are handed to its expressions."""

from sandbox.kubernetes.bodies import Body, mapping
from sandbox.kubernetes.cluster import Cluster, key_of, present
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.selectors import from_object

_NONE: list[Body | None] = [None]


class ParameterError(Exception):
    """The parameters cannot be had."""


def find_parameters(
    policy: Body, binding: Body, namespace: str, cluster: Cluster
) -> list[Body | None]:
    """
    Return each parameter of a binding; one that is None where it has none at all.

    An empty list means that the binding does nothing: its parameters are not there, and that is
    allowed.

    Raises:
        ParameterError: They are not there, which is not allowed, or cannot be looked for.
    """
    kind, reference = mapping(policy, "spec", "paramKind"), mapping(binding, "spec", "paramRef")
    if not kind or not reference:
        return _NONE
    resource = cluster.resources.of_kind(kind.get("apiVersion", ""), kind.get("kind", ""))
    if resource is None:
        raise ParameterError(f"paramKind kind `{kind.get('kind', '')}` not known")
    where = _namespace(resource, reference, namespace)
    found = _named(cluster, resource, where, reference)
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise ParameterError(
            "no params found for policy binding with `Deny` parameterNotFoundAction"
        )
    return [*found]


def _namespace(resource: Resource, reference: Body, namespace: str) -> str:
    stated: str = reference.get("namespace", "")
    if not resource.namespaced:
        if stated:
            raise ParameterError(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            )
        return ""
    if not (stated or namespace):
        raise ParameterError(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return stated or namespace


def _named(cluster: Cluster, resource: Resource, namespace: str, reference: Body) -> list[Body]:
    if name := reference.get("name"):
        stored = cluster.store.get(resource.key, key_of(resource, namespace, name))
        return [present(resource, stored)] if stored is not None else []
    test = from_object(mapping(reference, "selector"))
    return [
        present(resource, stored)
        for _, stored in sorted(cluster.store.scan(resource.key, namespace), key=lambda one: one[0])
        if test(mapping(stored.body, "metadata", "labels"))
    ]
