"""A subscription: its checked configuration, and what it still owes."""

from collections.abc import Mapping

from google.pubsub_v1 import types

from sandbox.pubsub.backlogs import Backlog, RetryPolicy
from sandbox.pubsub.errors import invalid_argument, unimplemented
from sandbox.pubsub.messages import Message
from sandbox.pubsub.subscription_filters import parse_subscription_filter

_DEFAULT_ACK_DEADLINE_S = 10
_ACK_DEADLINE_S = range(10, 601)
_DEFAULT_DELIVERY_ATTEMPTS = 5
_DELIVERY_ATTEMPTS = range(5, 101)
# https://cloud.google.com/pubsub/docs/handling-failures#exponential_backoff
_DEFAULT_MINIMUM_BACKOFF_S = 10.0
_MAXIMUM_BACKOFF_S = 600.0

UPDATABLE_FIELDS = frozenset({
    "ack_deadline_seconds", "dead_letter_policy", "expiration_policy", "labels",
    "message_retention_duration", "push_config", "retain_acked_messages", "retry_policy",
})  # fmt: skip


class Subscription:
    """One subscription, of a checked configuration; used under the broker's lock only."""

    def __init__(self, config: types.Subscription) -> None:
        self.config = config
        self.backlog = Backlog(ordered=config.enable_message_ordering)
        self._accepts = parse_subscription_filter(config.filter)

    @property
    def name(self) -> str:
        """Full resource name."""
        return str(self.config.name)

    @property
    def is_push(self) -> bool:
        """Whether messages are pushed to an endpoint."""
        return bool(self.config.push_config.push_endpoint)

    @property
    def is_settled(self) -> bool:
        """
        Whether nothing is outstanding or scheduled.

        What waits in a pull subscription until somebody asks for it is neither.
        """
        return not (len(self.backlog) if self.is_push else self.backlog.leased)

    @property
    def ack_deadline_s(self) -> int:
        """Real seconds within which a delivery must be acknowledged."""
        return int(self.config.ack_deadline_seconds)

    @property
    def max_delivery_attempts(self) -> int | None:
        """Deliveries before a message is a dead letter; None without such a policy."""
        policy = self.config.dead_letter_policy
        return int(policy.max_delivery_attempts) if policy.dead_letter_topic else None

    @property
    def retry(self) -> RetryPolicy:
        """The pauses between deliveries of a message."""
        if "retry_policy" not in self.config:
            return RetryPolicy()
        minimum, maximum = _backoff_bounds_s(self.config.retry_policy)
        return RetryPolicy(minimum, maximum)

    def offer(self, message: Message, now: float) -> None:
        """Owe a message, unless the filter drops it."""
        if self._accepts(message.attributes):
            self.backlog.add(message, now)

    def delivery_attempt(self, attempt: int) -> int | None:
        """Return the attempt as receivers see it: only under a dead-letter policy."""
        return None if self.max_delivery_attempts is None else attempt


def check_config(config: types.Subscription) -> types.Subscription:
    """
    Complete a configuration with the service's defaults.

    Raises:
        ApiError: The service would refuse it.
    """
    config.ack_deadline_seconds = config.ack_deadline_seconds or _DEFAULT_ACK_DEADLINE_S
    if config.ack_deadline_seconds not in _ACK_DEADLINE_S:
        raise invalid_argument(f"Invalid ack deadline given: {config.ack_deadline_seconds}.")
    _check_filter(config.filter)
    check_push_config(config.push_config)
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


def check_push_config(push: types.PushConfig) -> None:
    """Refuse an endpoint that is no URL, and what this server cannot do."""
    if push.push_endpoint and not push.push_endpoint.startswith(("http://", "https://")):
        raise invalid_argument(f"Invalid push endpoint given: (endpoint={push.push_endpoint}).")
    if "no_wrapper" in push:
        raise unimplemented("unwrapped pushes")


def changed_config(
    current: types.Subscription, wanted: types.Subscription, paths: Mapping[str, None]
) -> types.Subscription:
    """
    Return a configuration with the fields of an update mask replaced.

    Raises:
        ApiError: The mask is empty, or names what cannot change, or a value is refused.
    """
    if not paths:
        raise invalid_argument("The update_mask in the request must be set.")
    changed = types.Subscription(current)
    for path in paths:
        if path not in UPDATABLE_FIELDS:
            raise invalid_argument(f"Invalid update_mask provided in the request: {path!r}.")
        if path in wanted:
            setattr(changed, path, getattr(wanted, path))
        else:
            delattr(changed, path)
    return check_config(changed)


def _check_filter(text: str) -> None:
    try:
        parse_subscription_filter(text)
    except ValueError as exc:
        raise invalid_argument(f"Invalid filter: {exc}") from exc


def _backoff_bounds_s(policy: types.RetryPolicy) -> tuple[float, float]:
    minimum = (
        policy.minimum_backoff.total_seconds()
        if "minimum_backoff" in policy
        else _DEFAULT_MINIMUM_BACKOFF_S
    )
    maximum = (
        policy.maximum_backoff.total_seconds()
        if "maximum_backoff" in policy
        else _MAXIMUM_BACKOFF_S
    )
    return minimum, maximum
