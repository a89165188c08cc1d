"""The API in the same process: what controllers, schedulers and nodes of the sandbox call."""

from typing import Any

from sandbox.kubernetes.bodies import Body, Patch, clone
from sandbox.kubernetes.calls import MERGE_PATCH, Call, Caller, Deletion, Options
from sandbox.kubernetes.cluster import present
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.queries import Query, list_page
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.statuses import ApiError, unknown_path
from sandbox.kubernetes.watches import Watch

__all__ = ["Api", "ApiError", "Watch"]


class Api:
    """
    Reads and writes without a socket: same validation, admission and audit, no authorisation.

    Resources are written like ``pods`` or ``jobs.batch``. Every body that is returned is a
    copy, and bodies passed in are not changed. All methods raise ``ApiError``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cluster = engine.cluster

    def create(
        self,
        resource: str,
        body: Body,
        namespace: str | None = None,
        *,
        user: str,
        subresource: str | None = None,
        name: str | None = None,
    ) -> Body:
        """
        Create an object; or with ``subresource`` (``binding``, ``eviction``) something of ``name``.

        The namespace is the body's own if none is passed.
        """
        return self._write(
            "create",
            resource,
            name or "",
            namespace or (body.get("metadata") or {}).get("namespace"),
            user,
            body=body,
            subresource=subresource or "",
        )

    def read(self, resource: str, name: str, namespace: str | None = None) -> Body:
        """Return an object."""
        served = self._resource(resource)
        return present(served, self._cluster.fetch(served, namespace or "", name))

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Body]:
        """Return the objects of a namespace, or of all, that selectors choose."""
        served = self._resource(resource)
        query = Query(served, namespace or "", label_selector, field_selector)
        return [present(served, stored) for stored in list_page(self._cluster, query).listed]

    def replace(
        self,
        resource: str,
        name: str,
        body: Body,
        namespace: str | None = None,
        *,
        user: str,
        subresource: str | None = None,
    ) -> Body:
        """Replace an object, or its ``status``; 409 if its resourceVersion is another by now."""
        return self._write(
            "update", resource, name, namespace, user, body=body, subresource=subresource or ""
        )

    def patch(
        self,
        resource: str,
        name: str,
        body: Patch,
        namespace: str | None = None,
        *,
        user: str,
        content_type: str = MERGE_PATCH,
        subresource: str | None = None,
    ) -> Body:
        """Change an object, or its ``status``, by a patch."""
        return self._write(
            "patch",
            resource,
            name,
            namespace,
            user,
            body=body,
            content_type=content_type,
            subresource=subresource or "",
        )

    def delete(
        self,
        resource: str,
        name: str,
        namespace: str | None = None,
        *,
        user: str,
        propagation: str = "Background",
        grace_period_s: int | None = None,
    ) -> Body:
        """
        Delete an object.

        A pod that is bound to a node and has not ended only gets a deletionTimestamp: its node
        stops it, and then deletes it with ``grace_period_s=0``.
        """
        deletion = Deletion(propagation, grace_period_s)
        return self._write("delete", resource, name, namespace, user, deletion=deletion)

    def watch(self, resource: str | None = None) -> Watch:
        """Watch one resource, or all, from now on; close it when done."""
        if resource is not None:
            self._resource(resource)
        return Watch(self._cluster.store, resource)

    def _resource(self, resource: str) -> Resource:
        if not self._cluster.resources.has_key(resource):
            raise unknown_path()
        return self._cluster.resources.named(resource)

    def _write(
        self, verb: str, resource: str, name: str, namespace: str | None, user: str, **rest: Any
    ) -> Body:
        served = self._resource(resource)
        caller = Caller(user, ("system:authenticated",))
        if "body" in rest:
            # What is recorded must not change when the caller goes on using its body.
            rest["body"] = clone(rest["body"])
        call = Call(
            verb,
            served,
            caller,
            (namespace or "") if served.namespaced else "",
            name,
            options=Options(field_validation="Strict"),
            **rest,
        )
        answer: Body = clone(self._engine.execute(call).body)
        return answer
