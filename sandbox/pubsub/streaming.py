"""Streaming pull: messages flow to a client for as long as it keeps its stream open."""

import threading
from collections.abc import Iterator

import grpc
from google.pubsub_v1 import types

from sandbox.pubsub.backlogs import Lease
from sandbox.pubsub.broker import Broker
from sandbox.pubsub.deliveries import received
from sandbox.pubsub.errors import invalid_argument
from sandbox.pubsub.resource_names import check_subscription
from sandbox.pubsub.subscriptions import Subscription

_BATCH = 100
_DEADLINE_S = range(10, 601)


class StreamingPulls:
    """Serves the streams of all subscriptions."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def serve(
        self,
        first: types.StreamingPullRequest,
        requests: Iterator[types.StreamingPullRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[types.StreamingPullResponse]:
        """Send messages as they fall due, until the client goes or closes its side."""
        if first.stream_ack_deadline_seconds not in _DEADLINE_S:
            raise invalid_argument("stream_ack_deadline_seconds must be 10 to 600.")
        with self._broker.changed:
            subscription = self._broker.subscription(check_subscription(first.subscription))
        half_closed = threading.Event()
        reader = threading.Thread(
            target=self._read, args=(subscription, requests, half_closed), daemon=True
        )
        context.add_callback(self._broker.wake)
        reader.start()
        held: set[str] = set()
        while leases := self._next(subscription, first, held, context, half_closed):
            held.update(lease.ack_id for lease in leases)
            yield types.StreamingPullResponse(received_messages=received(subscription, leases))

    def _next(
        self,
        subscription: Subscription,
        first: types.StreamingPullRequest,
        held: set[str],
        context: grpc.ServicerContext,
        half_closed: threading.Event,
    ) -> list[Lease]:
        """Wait for messages within the client's flow control; none means the stream has ended."""
        leases: list[Lease] = []

        def has_ended() -> bool:
            held.difference_update(
                {ack_id for ack_id in held if not subscription.backlog.is_leased(ack_id)}
            )
            limit = first.max_outstanding_messages
            room = min(limit - len(held), _BATCH) if limit > 0 else _BATCH
            if self._broker.is_closed or half_closed.is_set() or not context.is_active():
                return True
            leases.extend(self._broker.take(subscription, room, first.stream_ack_deadline_seconds))
            return bool(leases)

        self._broker.wait_for(has_ended, None)
        return leases

    def _read(
        self,
        subscription: Subscription,
        requests: Iterator[types.StreamingPullRequest],
        half_closed: threading.Event,
    ) -> None:
        """Settle what the client says on its side of the stream."""
        try:
            for request in requests:
                self._broker.ack(subscription, request.ack_ids)
                for ack_id, seconds in zip(
                    request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=False
                ):
                    self._broker.extend(subscription, [ack_id], seconds)
        except grpc.RpcError:
            pass  # The client is gone; nothing of what it holds is settled by that.
        finally:
            half_closed.set()
            self._broker.wake()
