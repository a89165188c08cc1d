"""Every write passes here: it is accepted or refused, recorded, and followed by controllers."""

from collections import deque
from collections.abc import Callable

from sandbox.kubernetes.access import Authorizer, answer_review
from sandbox.kubernetes.audit import AuditLog
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import Answer, Call
from sandbox.kubernetes.deletion import delete, delete_collection
from sandbox.kubernetes.pod_subresources import create_subresource
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.store import Change, Store
from sandbox.kubernetes.writes import create, patch, update

Follower = Callable[[Change], None]

_VERBS: dict[str, Callable[[Store, Call], Answer]] = {
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}


def _shown(outcome: Answer | ApiError) -> tuple[Body, int]:
    """Return the body and the status of an answer."""
    if isinstance(outcome, ApiError):
        return outcome.status, outcome.code
    return outcome.body, outcome.code


class Engine:
    """Performs writes one after another."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.authorizer = Authorizer(store)
        self.audit = AuditLog(store.clock)
        self._followers: list[Follower] = []
        self._changes: deque[Change] = deque()
        self._depth = 0
        store.subscribe(self._changes.append)

    def add_follower(self, follower: Follower) -> None:
        """Call ``follower`` after each write, before its answer."""
        self._followers.append(follower)

    def execute(self, call: Call) -> Answer:
        """
        Perform a write.

        Raises:
            ApiError: It is refused.
        """
        received_at = self.store.clock.now()
        with self.store.lock:
            outermost = self._depth == 0
            self._depth += 1
            try:
                outcome = self._attempt(call)
                self.audit.record(call, *_shown(outcome), received_at)
                if outermost:
                    self._follow_up()
            finally:
                self._depth -= 1
        if outermost:
            self.audit.deliver()
        if isinstance(outcome, ApiError):
            raise outcome
        return outcome

    def _attempt(self, call: Call) -> Answer | ApiError:
        try:
            return self._perform(call)
        except ApiError as error:
            return error

    def refuse(self, call: Call, error: ApiError) -> None:
        """Record a write that authorization refused."""
        self.audit.record(call, error.status, error.code, self.store.clock.now())
        self.audit.deliver()

    def _perform(self, call: Call) -> Answer:
        if not call.resource.stored:
            return answer_review(self.authorizer, call)
        if call.verb == "create" and call.subresource:
            return create_subresource(self.store, call)
        return _VERBS[call.verb](self.store, call)

    def _follow_up(self) -> None:
        while self._changes:
            change = self._changes.popleft()
            for follow in self._followers:
                follow(change)
