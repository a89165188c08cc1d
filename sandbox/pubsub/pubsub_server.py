"""The embedded Pub/Sub server: gRPC calls, faults, and push delivery."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from google.pubsub_v1 import types

from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.pubsub.broker import Broker
from sandbox.pubsub.message import (
    MAX_REQUEST_BYTES,
    MAX_REQUEST_MESSAGES,
    Delivery,
    Message,
    PubsubError,
    check_message,
    check_name,
    invalid_argument,
)
from sandbox.pubsub.push_dispatcher import PushDispatcher

_MAX_CALLS = 16
# Pub/Sub accepts requests of 10 MB, gRPC only 4 MB by default.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
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

Call = Callable[[Any], Any]


class PubsubServer:
    """
    Pub/Sub on a loopback port, for clients with PUBSUB_EMULATOR_HOST set to ``address``.

    It answers the calls that the project makes: CreateTopic, Publish, CreateSubscription and
    ModifyPushConfig. Publish times come from the clock; back-off passes in real time. Calls of
    faults are ``"Publish projects/…/topics/…"`` and the like, and
    ``"Push projects/…/subscriptions/…"``.
    """

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._broker = Broker(clock)
        self._faults = faults
        self._stopped = threading.Event()
        self._dispatcher = PushDispatcher(self._broker, faults)
        self._pool = ThreadPoolExecutor(_MAX_CALLS, thread_name_prefix="pubsub-call")
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ]
        self._server = grpc.server(self._pool, options=options)
        self._server.add_generic_rpc_handlers((self._publisher(), self._subscriber()))
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        """``host:port`` of the socket."""
        return f"127.0.0.1:{self._port}"

    @property
    def deliveries(self) -> list[Delivery]:
        """All pushes so far, in the order of their ends."""
        with self._broker.changed:
            return list(self._broker.deliveries)

    def start(self) -> Self:
        """Start to answer and to push."""
        self._server.start()
        self._dispatcher.start()
        return self

    def stop(self) -> None:
        """End all calls and pushes, and wait for their threads."""
        self._stopped.set()
        self._broker.close()
        self._dispatcher.stop()
        self._server.stop(grace=None).wait()
        self._pool.shutdown(wait=True)

    def messages(self, topic: str) -> list[Message]:
        """Return all messages published to a topic (full name), dead letters included."""
        with self._broker.changed:
            return list(self._broker.topics[topic].messages)

    def save(self) -> Callable[[], None]:
        """Return a function that removes all messages published from now on from their topics."""
        return self._broker.save()

    def settled(self, timeout_s: float) -> bool:
        """Wait until each pushed message is acknowledged or a dead letter; False if it is not."""
        subscriptions = self._broker.subscriptions
        return self.wait_for(
            lambda: not any(each.is_push and each.pending for each in subscriptions.values()),
            timeout_s,
        )

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a predicate holds, for at most ``timeout_s`` real seconds."""
        with self._broker.changed:
            return self._broker.changed.wait_for(predicate, timeout_s)

    def _publisher(self) -> grpc.GenericRpcHandler:
        calls = {
            "CreateTopic": self._handler("CreateTopic", self._create_topic, types.Topic),
            "Publish": self._handler(
                "Publish", self._publish, types.PublishRequest, types.PublishResponse.serialize
            ),
        }
        return grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", calls)

    def _subscriber(self) -> grpc.GenericRpcHandler:
        create, modify = "CreateSubscription", "ModifyPushConfig"
        calls = {
            create: self._handler(create, self._create_subscription, types.Subscription),
            modify: self._handler(
                modify, self._modify_push, types.ModifyPushConfigRequest, lambda _: b""
            ),
        }
        return grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", calls)

    def _handler(
        self, method: str, call: Call, request: Any, serialize: Call | None = None
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(method, call),
            request_deserializer=request.deserialize,
            response_serializer=serialize or request.serialize,
        )

    def _guarded(self, method: str, call: Call) -> Callable[[Any, grpc.ServicerContext], Any]:
        """Return a call to which faults apply, and whose errors become statuses."""

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            fault = self._faults.hit("pubsub", f"{method} {_resource(request)}")
            if fault is not None:
                self._stopped.wait(fault.stall_s)
                if not fault.takes_effect:
                    _abort(fault, context)
            try:
                answer = call(request)
            except PubsubError as exc:
                context.abort(exc.code, str(exc))
            if fault is not None:
                _abort(fault, context)
            return answer

        return guarded

    def _create_topic(self, request: types.Topic) -> types.Topic:
        self._broker.create_topic(check_name(request.name, "topics"))
        return request

    def _create_subscription(self, request: types.Subscription) -> types.Subscription:
        check_name(request.name, "subscriptions")
        check_name(request.topic, "topics")
        return self._broker.create_subscription(request)

    def _modify_push(self, request: types.ModifyPushConfigRequest) -> None:
        self._broker.modify_push(
            check_name(request.subscription, "subscriptions"), request.push_config
        )

    def _publish(self, request: types.PublishRequest) -> types.PublishResponse:
        """Accept all messages of a request, or none."""
        check_name(request.topic, "topics")
        count = len(request.messages)
        if not 1 <= count <= MAX_REQUEST_MESSAGES:
            raise invalid_argument(
                f"The value for message_count is out of bounds. You passed {count} in the "
                f"request, but it must be between 1 and {MAX_REQUEST_MESSAGES}."
            )
        size = len(types.PublishRequest.serialize(request))
        if size > MAX_REQUEST_BYTES:
            raise invalid_argument(
                f"The value for request_size is too large. You passed {size} in the request, "
                f"but the maximum value is {MAX_REQUEST_BYTES}."
            )
        for message in request.messages:
            check_message(message)
        ids = self._broker.publish(request.topic, request.messages)
        return types.PublishResponse(message_ids=ids)


def _abort(fault: Fault, context: grpc.ServicerContext) -> None:
    # A connection that closes without an answer is UNAVAILABLE to a gRPC client, as is 503.
    code = _STATUS_BY_HTTP.get(fault.status, grpc.StatusCode.UNAVAILABLE)
    error = (fault.body or {}).get("error", {})
    context.abort(code, str(error.get("message", f"the sandbox answers {fault.status}")))


def _resource(request: Any) -> str:
    """Return the name of the resource of a request."""
    fields = (getattr(request, name, None) for name in ("name", "topic", "subscription"))
    return str(next(filter(None, fields), ""))
