"""Leased messages as pull answers carry them."""

from collections.abc import Iterable

from google.pubsub_v1 import types

from sandbox.pubsub.backlogs import Lease
from sandbox.pubsub.messages import to_wire
from sandbox.pubsub.subscriptions import Subscription


def received(subscription: Subscription, leases: Iterable[Lease]) -> list[types.ReceivedMessage]:
    """Return leases in the form of a pull's answer."""
    return [
        types.ReceivedMessage(
            ack_id=lease.ack_id,
            message=to_wire(lease.message),
            delivery_attempt=subscription.delivery_attempt(lease.attempt) or 0,
        )
        for lease in leases
    ]
