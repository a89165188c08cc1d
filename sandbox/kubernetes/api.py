"""The API without a socket, for the controllers and nodes of the sandbox."""

from typing import Any

from sandbox.kubernetes.bodies import Body, Patch, clone
from sandbox.kubernetes.calls import MERGE_PATCH, Call, Caller, Deletion, Options
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.queries import Query, list_page
from sandbox.kubernetes.resources import BY_KEY, Resource
from sandbox.kubernetes.statuses import ApiError, unknown_path
from sandbox.kubernetes.watches import Watch

__all__ = ["Api", "ApiError", "Watch"]


class Api:
    """
    Reads and writes with the same validation, admission and audit, but without authorization.

    Resources have names such as ``pods`` or ``jobs.batch``. A returned body is a copy, and a
    passed one is not changed. All methods raise ``ApiError``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

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
        Create an object, or a ``subresource`` (``binding``, ``eviction``) of ``name``.

        Without ``namespace``, the body's own namespace is used.
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
        return self._store.fetch(served, namespace or "", name).copy()

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Body]:
        """Return the selected objects of a namespace, or of all."""
        served = self._resource(resource)
        query = Query(served, namespace or "", label_selector, field_selector)
        return [stored.copy() for stored in list_page(self._store, query).listed]

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
        """Replace an object, or its ``status``; 409 if its resourceVersion changed."""
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
        """Patch an object, or its ``status``."""
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

        A running pod gets a deletionTimestamp: its node stops it, and then deletes it with
        ``grace_period_s=0``.
        """
        deletion = Deletion(propagation, grace_period_s)
        return self._write("delete", resource, name, namespace, user, deletion=deletion)

    def watch(self, resource: str | None = None) -> Watch:
        """Watch one resource, or all, from now on; the caller closes the watch."""
        if resource is not None:
            self._resource(resource)
        return Watch(self._store, resource)

    def _resource(self, resource: str) -> Resource:
        if resource not in BY_KEY:
            raise unknown_path()
        return BY_KEY[resource]

    def _write(
        self, verb: str, resource: str, name: str, namespace: str | None, user: str, **rest: Any
    ) -> Body:
        served = self._resource(resource)
        caller = Caller(user, ("system:authenticated",))
        if "body" in rest:
            # The audit record must not change when the caller changes its body.
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
