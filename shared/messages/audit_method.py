"""
The method and the resource of an entry in GKE's audit log.

The method is ``GROUP_REVERSED.VERSION.PLURAL[.SUB_RESOURCE].VERB``, such as
``io.k8s.apps.v1.deployments.create`` or ``io.ray.v1.rayclusters.patch``; the resource is
``GROUP/VERSION[/namespaces/NAMESPACE]/PLURAL[/NAME[/SUB_RESOURCE]]``.
"""

import re
from dataclasses import dataclass
from typing import Self

from shared.errors import InvalidEventError

_VERSION = re.compile(r"v[0-9]+(?:(?:alpha|beta)[0-9]+)?")

_RESOURCE = re.compile(
    r"(?P<group>[^/]+)/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub_resource>.+))?)?/?"
)
# The resource name of a Namespace reads as if it were inside itself.
_NAMESPACE = re.compile(
    r"(?P<group>core)/(?P<version>[^/]+)(?P<namespace>)"
    r"/(?P<plural>namespaces)(?:/(?P<name>[^/]+)(?:/(?P<sub_resource>.+))?)?/?"
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A verb on a Kubernetes resource."""

    verb: str
    group: str
    """``core`` for the group with the empty name."""
    version: str
    plural: str
    namespace: str | None
    name: str | None
    """``None`` if the server generates the name and the entry omits it."""
    sub_resource: str | None

    @classmethod
    def parse(cls, method_name: str, resource_name: str) -> Self | None:
        """
        Parse the method and resource names of an entry; ``None`` if the method has no resource.

        Raises:
            InvalidEventError: The resource does not belong to the method.

        >>> operation = Operation.parse(
        ...     "io.k8s.core.v1.pods.ephemeralcontainers.patch",
        ...     "core/v1/namespaces/ml/pods/trainer-0/ephemeralcontainers",
        ... )
        >>> operation.verb, operation.plural, operation.sub_resource, operation.namespace
        ('patch', 'pods', 'ephemeralcontainers', 'ml')
        """
        method = _split_method(method_name)
        if method is None:
            return None
        version, plural, sub_resource, verb = method
        pattern = _NAMESPACE if plural == "namespaces" else _RESOURCE
        found = pattern.fullmatch(resource_name)
        if found is None or (found["version"], found["plural"]) != (version, plural):
            raise InvalidEventError(
                f"resourceName {resource_name!r} does not fit methodName {method_name!r}"
            )
        return cls(
            verb=verb,
            group=found["group"],
            version=version,
            plural=plural,
            namespace=found["namespace"] or None,
            name=found["name"],
            sub_resource=sub_resource or found["sub_resource"],
        )


def _split_method(method_name: str) -> tuple[str, str, str | None, str] | None:
    """Split version, plural, sub-resource and verb off the end: a group may have any form."""
    match method_name.split("."):
        case [_, *_, version, plural, verb] if _VERSION.fullmatch(version):
            return version, plural, None, verb
        case [_, *_, version, plural, sub_resource, verb] if _VERSION.fullmatch(version):
            return version, plural, sub_resource, verb
    return None
