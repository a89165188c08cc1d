"""Topics and subscriptions: published messages, and the messages that are still to deliver."""

import copy
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from google.pubsub_v1 import types

from sandbox.clock import Clock
from sandbox.pubsub.message import (
    Delivery,
    Message,
    already_exists,
    dead_letter_attributes,
    invalid_argument,
    not_found,
)
from sandbox.pubsub.subscription_filter import Predicate, parse_subscription_filter

# Message ids of the service are long decimals without an order.
_FIRST_MESSAGE_ID = 10_000_000_000_000_001
_DEFAULT_ACK_DEADLINE_S = 10
_ACK_DEADLINE_S = range(10, 601)
_DEFAULT_DELIVERY_ATTEMPTS = 5
_DELIVERY_ATTEMPTS = range(5, 101)
_IMMEDIATE_BACKOFF_S = 0.1
# https://cloud.google.com/pubsub/docs/handling-failures#exponential_backoff
_DEFAULT_MINIMUM_BACKOFF_S = 10.0
_MAXIMUM_BACKOFF_S = 600.0


@dataclass(slots=True)
class Pending:
    """A message that a subscription has not delivered; ``due`` is of the monotonic clock."""

    message: Message
    due: float
    attempt: int = 0
    is_leased: bool = False


class Subscription:
    """A subscription; the lock of the broker protects it."""

    def __init__(self, config: types.Subscription) -> None:
        self.config = _complete(config)
        self.pending: dict[str, Pending] = {}
        self._accepts = _parse_filter(config.filter)

    @property
    def name(self) -> str:
        """Full resource name."""
        return str(self.config.name)

    @property
    def is_push(self) -> bool:
        """Whether it has an endpoint."""
        return bool(self.config.push_config.push_endpoint)

    @property
    def max_delivery_attempts(self) -> int | None:
        """Deliveries before a message becomes a dead letter; None without such a policy."""
        policy = self.config.dead_letter_policy
        return int(policy.max_delivery_attempts) if policy.dead_letter_topic else None

    def offer(self, message: Message) -> None:
        """Add a message, unless the filter drops it."""
        if self._accepts(message.attributes):
            self.pending[message.message_id] = Pending(message, time.monotonic())

    def take(self, bound: int) -> Iterator[Pending]:
        """Lease the messages that are due, at most ``bound`` at once."""
        room = bound - sum(each.is_leased for each in self.pending.values())
        now = time.monotonic()
        due = (each for each in self.pending.values() if not each.is_leased and each.due <= now)
        for each in itertools.islice(due, max(room, 0)):
            each.is_leased = True
            each.attempt += 1
            yield each

    def backoff_s(self, attempt: int) -> float:
        """Return the pause after an attempt: doubled at each attempt, up to the maximum."""
        if "retry_policy" not in self.config:
            return _IMMEDIATE_BACKOFF_S
        minimum, maximum = _backoff_bounds_s(self.config.retry_policy)
        # The bound of the exponent prevents an overflow after days of retries.
        return min(minimum * 2.0 ** min(attempt - 1, 60), maximum)


@dataclass(slots=True)
class Topic:
    """A topic, with all messages that it accepted."""

    messages: list[Message] = field(default_factory=list)


class Broker:
    """
    The state of the server.

    ``changed`` is its lock, and a condition that each change notifies.
    """

    def __init__(self, clock: Clock) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries: list[Delivery] = []
        self.is_closed = False
        self._clock = clock
        self._ids = itertools.count(_FIRST_MESSAGE_ID)

    def create_topic(self, name: str) -> None:
        """Add a topic; raise PubsubError if it exists."""
        with self.changed:
            if name in self.topics:
                raise already_exists(name)
            self.topics[name] = Topic()

    def create_subscription(self, config: types.Subscription) -> types.Subscription:
        """Add a subscription for later messages; raise PubsubError if it is not valid."""
        with self.changed:
            if config.name in self.subscriptions:
                raise already_exists(config.name)
            for topic in (config.topic, config.dead_letter_policy.dead_letter_topic):
                if topic and topic not in self.topics:
                    raise not_found(topic)
            subscription = self.subscriptions[config.name] = Subscription(config)
            return subscription.config

    def modify_push(self, name: str, push: types.PushConfig) -> None:
        """Replace the endpoint of a subscription; without an endpoint, its messages wait."""
        with self.changed:
            if name not in self.subscriptions:
                raise not_found(name)
            check_endpoint(push)
            self.subscriptions[name].config.push_config = push
            self.changed.notify_all()

    def publish(self, topic: str, messages: Iterable[types.PubsubMessage]) -> list[str]:
        """Accept messages for each subscription, and return their ids."""
        with self.changed:
            if topic not in self.topics:
                raise not_found(topic)
            return [
                self._accept(topic, bytes(each.data), dict(each.attributes)) for each in messages
            ]

    def settle(self, subscription: Subscription, pending: Pending, delivery: Delivery) -> None:
        """Record a delivery: the message is done, due again later, or a dead letter."""
        with self.changed:
            self.deliveries.append(delivery)
            limit = subscription.max_delivery_attempts
            is_dead = limit is not None and pending.attempt >= limit
            if delivery.acknowledged or is_dead:
                del subscription.pending[delivery.message_id]
            else:
                pending.is_leased = False
                pending.due = time.monotonic() + subscription.backoff_s(pending.attempt)
            if is_dead and not delivery.acknowledged:
                topic = subscription.config.dead_letter_policy.dead_letter_topic
                attributes = dead_letter_attributes(
                    pending.message, subscription.name, pending.attempt
                )
                self._accept(topic, pending.message.data, attributes)
            self.changed.notify_all()

    def seconds_to_next_due(self) -> float | None:
        """Return the real seconds until a message is due again; None if none will be."""
        now = time.monotonic()
        due = (
            each.due
            for subscription in self.subscriptions.values()
            for each in subscription.pending.values()
            if not each.is_leased and each.due > now
        )
        earliest = min(due, default=None)
        return None if earliest is None else earliest - now

    def save(self) -> Callable[[], None]:
        """Return a function that removes all messages published from now on from their topics."""
        with self.changed:
            messages = {name: list(topic.messages) for name, topic in self.topics.items()}
            ids = copy.copy(self._ids)

        def restore() -> None:
            with self.changed:
                self._ids = copy.copy(ids)
                for name, topic in self.topics.items():
                    topic.messages[:] = messages.get(name, [])

        return restore

    def close(self) -> None:
        """Wake all waiting threads, for good."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _accept(self, topic: str, data: bytes, attributes: dict[str, str]) -> str:
        message = Message(str(next(self._ids)), self._clock.now(), data, attributes)
        self.topics[topic].messages.append(message)
        for subscription in self.subscriptions.values():
            if subscription.config.topic == topic:
                subscription.offer(message)
        self.changed.notify_all()
        return message.message_id


def check_endpoint(push: types.PushConfig) -> None:
    """Raise PubsubError if an endpoint is not a URL."""
    if push.push_endpoint and not push.push_endpoint.startswith(("http://", "https://")):
        raise invalid_argument(f"Invalid push endpoint given: (endpoint={push.push_endpoint}).")


def _complete(config: types.Subscription) -> types.Subscription:
    """Return a configuration with the defaults of the service, after checking it."""
    config.ack_deadline_seconds = config.ack_deadline_seconds or _DEFAULT_ACK_DEADLINE_S
    if config.ack_deadline_seconds not in _ACK_DEADLINE_S:
        raise invalid_argument(f"Invalid ack deadline given: {config.ack_deadline_seconds}.")
    check_endpoint(config.push_config)
    policy = config.dead_letter_policy
    if policy.dead_letter_topic:
        policy.max_delivery_attempts = policy.max_delivery_attempts or _DEFAULT_DELIVERY_ATTEMPTS
        if policy.max_delivery_attempts not in _DELIVERY_ATTEMPTS:
            raise invalid_argument(
                f"max_delivery_attempts must be 5 to 100, not {policy.max_delivery_attempts}."
            )
    if "retry_policy" in config:
        minimum, maximum = _backoff_bounds_s(config.retry_policy)
        if not 0 <= minimum <= maximum <= _MAXIMUM_BACKOFF_S:
            raise invalid_argument(f"Invalid retry policy: {minimum} s to {maximum} s.")
    return config


def _parse_filter(text: str) -> Predicate:
    try:
        return parse_subscription_filter(text)
    except ValueError as exc:
        raise invalid_argument(f"Invalid filter: {exc}") from exc


def _backoff_bounds_s(policy: types.RetryPolicy) -> tuple[float, float]:
    minimum, maximum = _DEFAULT_MINIMUM_BACKOFF_S, _MAXIMUM_BACKOFF_S
    if "minimum_backoff" in policy:
        minimum = policy.minimum_backoff.total_seconds()
    if "maximum_backoff" in policy:
        maximum = policy.maximum_backoff.total_seconds()
    return minimum, maximum
