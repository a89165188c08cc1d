"""What every part of the server works on."""

from dataclasses import dataclass

from sandbox.clock import Clock
from sandbox.kubernetes.bodies import Body, encode
from sandbox.kubernetes.resources import Resource, Resources
from sandbox.kubernetes.statuses import not_found
from sandbox.kubernetes.store import Name, Store, Stored


@dataclass(frozen=True, slots=True)
class Cluster:
    """The state of a cluster, its clock and the resources that it serves."""

    store: Store
    clock: Clock
    resources: Resources

    def fetch(self, resource: Resource, namespace: str, name: str) -> Stored:
        """
        Return an object.

        Raises:
            ApiError: 404.
        """
        stored = self.store.get(resource.key, key_of(resource, namespace, name))
        if stored is None:
            raise not_found(resource, name)
        return stored


def key_of(resource: Resource, namespace: str, name: str) -> Name:
    """Return the key of an object in the store."""
    return (namespace if resource.namespaced else "", name)


def present(resource: Resource, stored: Stored) -> Body:
    """Return a copy of an object, in the version that was asked for."""
    body = stored.copy()
    if resource.custom:
        body["apiVersion"] = resource.api_version
    return body


def present_raw(resource: Resource, stored: Stored) -> bytes:
    """Return the text of an object, in the version that was asked for."""
    if not resource.custom or stored.body.get("apiVersion") == resource.api_version:
        return stored.raw
    return encode(present(resource, stored))
