"""The seam between gRPC and the services: routing, refusals, and faults that are switched on."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from sandbox.faults import Fault, Faults
from sandbox.pubsub.errors import ApiError

EMPTY = b""
"""The answer ``google.protobuf.Empty`` as it is on the wire: it has no fields."""

# https://cloud.google.com/apis/design/errors#handling_errors
_STATUS_BY_HTTP = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Gate:
    """Applies the faults of service ``pubsub`` to calls, and turns refusals into statuses."""

    def __init__(self, faults: Faults, stopped: threading.Event) -> None:
        self._faults = faults
        self._stopped = stopped

    def unary(
        self, method: str, handle: Callable[[Any, grpc.ServicerContext], Any]
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        """Guard a call that has one answer."""

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            fault = self._enter(method, request, context)
            try:
                answer = handle(request, context)
            except ApiError as exc:
                context.abort(exc.code, str(exc))
            if fault is not None:
                _abort(fault, context)
            return answer

        return guarded

    def stream(
        self,
        method: str,
        handle: Callable[[Any, Iterator[Any], grpc.ServicerContext], Iterator[Any]],
    ) -> Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]]:
        """Guard a stream, by its first request."""

        def guarded(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            first = next(requests)
            if fault := self._enter(method, first, context):
                _abort(fault, context)
            try:
                yield from handle(first, requests, context)
            except ApiError as exc:
                context.abort(exc.code, str(exc))

        return guarded

    def _enter(self, method: str, request: Any, context: grpc.ServicerContext) -> Fault | None:
        """Wait and refuse as a fault says; return one that only replaces the answer."""
        fault = self._faults.hit("pubsub", f"{method} {_resource(request)}")
        if fault is None:
            return None
        self._stopped.wait(fault.stall_s)
        if not fault.takes_effect:
            _abort(fault, context)
        return fault


def service_handler(
    service: str, methods: "dict[str, grpc.RpcMethodHandler[Any, Any]]"
) -> grpc.GenericRpcHandler:
    """Register the methods of a service of package ``google.pubsub.v1``."""
    return grpc.method_handlers_generic_handler(f"google.pubsub.v1.{service}", methods)


def _abort(fault: Fault, context: grpc.ServicerContext) -> None:
    # A connection that closes without an answer is UNAVAILABLE to a gRPC client, as is 503.
    code = _STATUS_BY_HTTP.get(fault.status, grpc.StatusCode.UNAVAILABLE)
    error = (fault.body or {}).get("error", {})
    context.abort(code, str(error.get("message", f"the sandbox answers {fault.status}")))


def _resource(request: Any) -> str:
    """Return the resource that a request is about."""
    for field in ("name", "topic", "subscription", "project"):
        value = getattr(request, field, None)
        if value:
            return value if isinstance(value, str) else str(value.name)
    return ""
