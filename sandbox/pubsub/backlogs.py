"""What a subscription still owes: messages that wait, are leased, or are due for another try."""

from dataclasses import dataclass

from sandbox.pubsub.messages import Message

IMMEDIATE_BACKOFF_S = 0.1
"""Pause before a redelivery where no retry policy says otherwise."""

NO_DEADLINE = float("inf")
"""The deadline of a lease that something else ends."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How long a nacked message rests, in real seconds: doubled at each attempt, up to a maximum.

    >>> policy = RetryPolicy(minimum_s=10, maximum_s=35)
    >>> [policy.backoff_s(attempt) for attempt in (1, 2, 3)]
    [10.0, 20.0, 35]
    """

    minimum_s: float = IMMEDIATE_BACKOFF_S
    maximum_s: float = IMMEDIATE_BACKOFF_S

    def backoff_s(self, attempt: int) -> float:
        """Return the pause after the given attempt, the first being 1."""
        # The exponent is bounded, since a float overflows where a message is retried for days.
        return min(self.minimum_s * 2.0 ** min(attempt - 1, 60), self.maximum_s)


@dataclass(frozen=True, slots=True)
class Lease:
    """A message handed out, until it is settled or its deadline passes."""

    ack_id: str
    message: Message
    attempt: int


@dataclass(slots=True)
class _Owed:
    message: Message
    due: float
    attempts: int = 0
    ack_id: str | None = None
    deadline: float = 0.0


class Backlog:
    """
    The messages that one subscription has not yet settled, in order of publishing.

    Times are of the monotonic clock and passed in; locking is the caller's affair.
    """

    def __init__(self, *, ordered: bool = False) -> None:
        self._ordered = ordered
        self._owed: dict[str, _Owed] = {}
        self._leased: dict[str, _Owed] = {}

    def __len__(self) -> int:
        return len(self._owed)

    @property
    def leased(self) -> int:
        """How many messages are handed out."""
        return len(self._leased)

    def is_leased(self, ack_id: str) -> bool:
        """Whether a lease still stands."""
        return ack_id in self._leased

    def add(self, message: Message, now: float) -> None:
        """Owe a message, from now on."""
        self._owed[message.message_id] = _Owed(message, due=now)

    def take(self, limit: int, now: float, deadline: float) -> list[Lease]:
        """Lease up to ``limit`` messages that are due, until ``deadline``."""
        leases: list[Lease] = []
        busy_keys: set[str] = set()
        for owed in self._owed.values():
            if len(leases) >= limit:
                break
            key = owed.message.ordering_key if self._ordered else ""
            if owed.ack_id is None and owed.due <= now and key not in busy_keys:
                leases.append(self._lease(owed, deadline))
            if key:
                busy_keys.add(key)
        return leases

    def ack(self, ack_id: str) -> None:
        """Settle a lease for good; one that has ended is not known any more, and ignored."""
        owed = self._leased.pop(ack_id, None)
        if owed is not None:
            del self._owed[owed.message.message_id]

    def extend(self, ack_id: str, deadline: float) -> None:
        """Move the deadline of a lease."""
        if owed := self._leased.get(ack_id):
            owed.deadline = deadline

    def nack(self, ack_id: str, now: float, retry: RetryPolicy) -> Lease | None:
        """End a lease, so that its message is due again after the pause; return what it was."""
        owed = self._leased.pop(ack_id, None)
        if owed is None:
            return None
        owed.ack_id = None
        owed.due = now + retry.backoff_s(owed.attempts)
        return Lease(ack_id, owed.message, owed.attempts)

    def discard(self, message_id: str) -> None:
        """Owe a message no longer, because it was forwarded."""
        self._owed.pop(message_id, None)

    def expired(self, now: float) -> list[str]:
        """Return the leases whose deadline has passed."""
        return [ack_id for ack_id, owed in self._leased.items() if owed.deadline <= now]

    def next_change(self, now: float) -> float | None:
        """Return when a message falls due or a lease ends after ``now``, whichever is first."""
        times = (owed.due if owed.ack_id is None else owed.deadline for owed in self._owed.values())
        return min((moment for moment in times if now < moment < NO_DEADLINE), default=None)

    def _lease(self, owed: _Owed, deadline: float) -> Lease:
        owed.attempts += 1
        owed.deadline = deadline
        owed.ack_id = f"{owed.message.message_id}-{owed.attempts}"
        self._leased[owed.ack_id] = owed
        return Lease(owed.ack_id, owed.message, owed.attempts)
