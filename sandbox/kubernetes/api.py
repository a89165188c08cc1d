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
        subresource: str = "",
        name: str = "",
    ) -> Body:
        """
        Create an object, or a ``subresource`` (``binding``, ``eviction``) of ``name``.

        Without ``namespace``, the body's own namespace is used.
        """
        where = namespace or (body.get("metadata") or {}).get("namespace")
        return self._write("create", resource, name, where, user, body, subresource=subresource)

    def read(self, resource: str, name: str, namespace: str | None = None) -> Body:
        """Return an object."""
        return self._store.fetch(_resource(resource), namespace or "", name).copy()

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Body]:
        """Return the selected objects of a namespace, or of all."""
        query = Query(_resource(resource), namespace or "", label_selector, field_selector)
        return [stored.copy() for stored in list_page(self._store, query).listed]

    def replace(
        self,
        resource: str,
        name: str,
        body: Body,
        namespace: str | None = None,
        *,
        user: str,
        subresource: str = "",
    ) -> Body:
        """Replace an object, or its ``status``; 409 if its resourceVersion changed."""
        return self._write("update", resource, name, namespace, user, body, subresource=subresource)

    def patch(
        self,
        resource: str,
        name: str,
        body: Patch,
        namespace: str | None = None,
        *,
        user: str,
        content_type: str = MERGE_PATCH,
        subresource: str = "",
    ) -> Body:
        """Patch an object, or its ``status``."""
        rest = {"content_type": content_type, "subresource": subresource}
        return self._write("patch", resource, name, namespace, user, body, **rest)

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
        return Watch(self._store, None if resource is None else _resource(resource).key)

    def _write(
        self,
        verb: str,
        resource: str,
        name: str,
        namespace: str | None,
        user: str,
        body: Patch | None = None,
        **rest: Any,
    ) -> Body:
        served = _resource(resource)
        call = Call(
            verb,
            served,
            Caller(user, ("system:authenticated",)),
            (namespace or "") if served.namespaced else "",
            name,
            # The audit record must not change when the caller changes its body.
            body=clone(body),
            options=Options(field_validation="Strict"),
            **rest,
        )
        answer: Body = clone(self._engine.execute(call).body)
        return answer


def _resource(key: str) -> Resource:
    if key not in BY_KEY:
        raise unknown_path()
    return BY_KEY[key]
