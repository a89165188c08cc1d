"""The embedded Pub/Sub server."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import grpc

from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.pubsub.broker import Broker
from sandbox.pubsub.messages import Delivery, Message
from sandbox.pubsub.publisher_service import PublisherService
from sandbox.pubsub.pushing import PushDispatcher
from sandbox.pubsub.rpc import Gate
from sandbox.pubsub.subscriber_service import SubscriberService

# A pull that waits and a stream hold a thread each.
_MAX_CALLS = 64
# Pub/Sub takes requests of 10 MB, gRPC by itself only 4.
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class PubsubServer:
    """
    Pub/Sub on a loopback port, for clients that have PUBSUB_EMULATOR_HOST set to ``address``.

    Publish times come from the clock; ack deadlines and back-off pass in real time. Faults of
    service ``pubsub`` are told by ``"Publish projects/…/topics/…"`` and the like, pushes by
    ``"Push projects/…/subscriptions/…"``.
    """

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self._broker = Broker(clock)
        self._stopped = threading.Event()
        self._dispatcher = PushDispatcher(self._broker, clock, faults)
        self._pool = ThreadPoolExecutor(_MAX_CALLS, thread_name_prefix="pubsub-call")
        self._server = grpc.server(
            self._pool,
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ],
        )
        gate = Gate(faults, self._stopped)
        self._server.add_generic_rpc_handlers(
            (
                PublisherService(self._broker).handler(gate),
                SubscriberService(self._broker).handler(gate),
            )
        )
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        """``host:port`` of the socket."""
        return f"127.0.0.1:{self._port}"

    @property
    def deliveries(self) -> list[Delivery]:
        """Every push so far, in the order of their ends."""
        with self._broker.changed:
            return list(self._broker.deliveries)

    def start(self) -> Self:
        """Begin to answer, and to push."""
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
        """
        Return all that was ever published to a topic, dead letters included.

        Raises:
            KeyError: There is no topic of that (full) name.
        """
        with self._broker.changed:
            return list(self._broker.topics[topic].messages)

    def save(self) -> Callable[[], None]:
        """Return what forgets all that is published from now on, as far as nobody took it."""
        return self._broker.save()

    def settled(self, timeout_s: float) -> bool:
        """
        Wait until no subscription has an outstanding or scheduled message.

        That is, each pushed message was acknowledged, filtered or dead-lettered, and each
        pulled one acknowledged. What waits in a pull subscription until somebody asks for it
        does not count.

        Returns:
            Whether that was so within ``timeout_s`` real seconds.
        """
        subscriptions = self._broker.subscriptions
        return self.wait_for(
            lambda: all(subscription.is_settled for subscription in subscriptions.values()),
            timeout_s,
        )

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a predicate (over ``messages``, say) holds; it is asked at each change."""
        return self._broker.wait_for(predicate, timeout_s)
