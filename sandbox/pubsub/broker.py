"""Topics and subscriptions: what was published, and who still waits for it."""

import copy
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from google.pubsub_v1 import types

from sandbox.clock import Clock
from sandbox.pubsub.backlogs import Lease
from sandbox.pubsub.errors import already_exists, not_found
from sandbox.pubsub.messages import Delivery, Message, dead_letter_attributes
from sandbox.pubsub.resource_names import DELETED_TOPIC, split_subscription
from sandbox.pubsub.subscriptions import Subscription

# Real ids are decimal and long; nothing may depend on their order.
_FIRST_MESSAGE_ID = 10_000_000_000_000_001


@dataclass(slots=True)
class Topic:
    """A topic, with everything that was ever published to it."""

    config: types.Topic
    messages: list[Message] = field(default_factory=list)


class Broker:
    """
    The state of the server, behind one lock.

    ``changed`` is that lock, and a condition notified at every change: whoever waits for
    messages, for settlement or for a due time waits on it. Due times are real (monotonic)
    seconds, publish times the clock's.
    """

    def __init__(self, clock: Clock) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries: list[Delivery] = []
        self._clock = clock
        self._ids = itertools.count(_FIRST_MESSAGE_ID)
        self._closed = False

    def topic(self, name: str) -> Topic:
        """Return a topic, or refuse as not found."""
        if name not in self.topics:
            raise not_found(name)
        return self.topics[name]

    def subscription(self, name: str) -> Subscription:
        """Return a subscription, or refuse as not found."""
        if name not in self.subscriptions:
            raise not_found(name)
        return self.subscriptions[name]

    def create_topic(self, config: types.Topic) -> types.Topic:
        """Add a topic, or refuse one that exists."""
        with self.changed:
            if config.name in self.topics:
                raise already_exists(config.name)
            self.topics[config.name] = Topic(config)
            return config

    def delete_topic(self, name: str) -> None:
        """Remove a topic; its subscriptions stay, with what they owe."""
        with self.changed:
            self.topic(name)
            del self.topics[name]
            for subscription in self.subscriptions.values():
                if subscription.config.topic == name:
                    subscription.config.topic = DELETED_TOPIC
            self.changed.notify_all()

    def create_subscription(self, config: types.Subscription) -> types.Subscription:
        """Add a subscription to what its topic accepts from now on."""
        with self.changed:
            if config.name in self.subscriptions:
                raise already_exists(config.name)
            self.topic(config.topic)
            if config.dead_letter_policy.dead_letter_topic:
                self.topic(config.dead_letter_policy.dead_letter_topic)
            subscription = Subscription(config)
            self.subscriptions[config.name] = subscription
            return subscription.config

    def delete_subscription(self, name: str) -> None:
        """Remove a subscription and what it owes."""
        with self.changed:
            self.subscription(name)
            del self.subscriptions[name]
            self.changed.notify_all()

    def publish(self, topic: str, messages: Iterable[types.PubsubMessage]) -> list[str]:
        """Accept messages, owe them to every subscription, and return their ids."""
        with self.changed:
            self.topic(topic)
            return [
                self._accept(topic, bytes(wire.data), dict(wire.attributes), str(wire.ordering_key))
                for wire in messages
            ]

    def save(self) -> Callable[[], None]:
        """Return what forgets all that is published from now on, as far as nobody took it."""
        with self.changed:
            messages = {name: list(topic.messages) for name, topic in self.topics.items()}
            ids = copy.copy(self._ids)

        def restore() -> None:
            with self.changed:
                self._ids = copy.copy(ids)
                for name, topic in self.topics.items():
                    topic.messages[:] = messages.get(name, [])

        return restore

    def take(self, subscription: Subscription, limit: int, lease_s: float) -> list[Lease]:
        """Lease up to ``limit`` messages of a subscription for ``lease_s`` real seconds."""
        with self.changed:
            self.expire()
            now = time.monotonic()
            return subscription.backlog.take(limit, now, now + lease_s)

    def ack(self, subscription: Subscription, ack_ids: Iterable[str]) -> None:
        """Settle leases for good."""
        with self.changed:
            for ack_id in ack_ids:
                subscription.backlog.ack(ack_id)
            self.changed.notify_all()

    def nack(self, subscription: Subscription, ack_ids: Iterable[str]) -> None:
        """End leases, so that their messages come again, or become dead letters."""
        with self.changed:
            now = time.monotonic()
            for ack_id in ack_ids:
                lease = subscription.backlog.nack(ack_id, now, subscription.retry)
                if lease is not None:
                    self._bury_if_exhausted(subscription, lease)
            self.changed.notify_all()

    def extend(self, subscription: Subscription, ack_ids: Iterable[str], seconds: float) -> None:
        """Give leases ``seconds`` from now on; 0 is a nack."""
        if seconds <= 0:
            self.nack(subscription, ack_ids)
            return
        with self.changed:
            for ack_id in ack_ids:
                subscription.backlog.extend(ack_id, time.monotonic() + seconds)
            self.changed.notify_all()

    def expire(self) -> None:
        """End the leases whose deadline has passed."""
        with self.changed:
            now = time.monotonic()
            for subscription in list(self.subscriptions.values()):
                if ack_ids := subscription.backlog.expired(now):
                    self.nack(subscription, ack_ids)

    def seconds_to_next_change(self) -> float | None:
        """Return the real seconds until something falls due by itself; None if nothing will."""
        with self.changed:
            now = time.monotonic()
            times = [sub.backlog.next_change(now) for sub in self.subscriptions.values()]
            due = min((moment for moment in times if moment is not None), default=None)
            return None if due is None else due - now

    def wake(self) -> None:
        """Let everybody who waits look again."""
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until a predicate holds, asking again after each change; return whether it does."""
        with self.changed:
            return self.changed.wait_for(predicate, timeout_s)

    def close(self) -> None:
        """Wake everybody who waits, for good."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether the server is stopping."""
        return self._closed

    def _accept(
        self, topic: str, data: bytes, attributes: dict[str, str], ordering_key: str
    ) -> str:
        message = Message(str(next(self._ids)), self._clock.now(), data, attributes, ordering_key)
        self.topics[topic].messages.append(message)
        now = time.monotonic()
        for subscription in self.subscriptions.values():
            if subscription.config.topic == topic:
                subscription.offer(message, now)
        self.changed.notify_all()
        return message.message_id

    def _bury_if_exhausted(self, subscription: Subscription, lease: Lease) -> None:
        limit = subscription.max_delivery_attempts
        topic = subscription.config.dead_letter_policy.dead_letter_topic
        # A dead-letter topic that is gone leaves the message where it is, as the service does.
        if limit is None or lease.attempt < limit or topic not in self.topics:
            return
        project, name = split_subscription(subscription.name)
        attributes = dead_letter_attributes(
            lease.message, project=project, subscription=name, attempts=lease.attempt
        )
        subscription.backlog.discard(lease.message.message_id)
        self._accept(topic, lease.message.data, attributes, lease.message.ordering_key)
