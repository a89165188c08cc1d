"""The one way in for every write: it is made or refused, recorded, and followed up."""

from collections import deque
from collections.abc import Callable

from sandbox.kubernetes.audit import AuditLog
from sandbox.kubernetes.authorization import Authorizer
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import Answer, Call
from sandbox.kubernetes.cluster import Cluster
from sandbox.kubernetes.creation import create
from sandbox.kubernetes.deletion import delete, delete_collection
from sandbox.kubernetes.pod_actions import create_subresource
from sandbox.kubernetes.reviews import answer_review
from sandbox.kubernetes.statuses import ApiError
from sandbox.kubernetes.store import Change
from sandbox.kubernetes.updates import patch, update

Follower = Callable[[Change], None]

_VERBS: dict[str, Callable[[Cluster, Call], Answer]] = {
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}


def _shown(outcome: Answer | ApiError) -> tuple[Body, int]:
    """Return what a write is answered with."""
    if isinstance(outcome, ApiError):
        return outcome.status, outcome.code
    return outcome.body, outcome.code


class Engine:
    """Makes writes one after another, as etcd's order has them."""

    def __init__(self, cluster: Cluster, audit: AuditLog, authorizer: Authorizer) -> None:
        self.cluster = cluster
        self.authorizer = authorizer
        self.audit = audit
        self._followers: list[Follower] = []
        self._changes: deque[Change] = deque()
        self._depth = 0
        cluster.store.subscribe(self._changes.append)

    def add_follower(self, follower: Follower) -> None:
        """Call ``follower`` after each write, before its answer is given."""
        self._followers.append(follower)

    def execute(self, call: Call) -> Answer:
        """
        Make a write.

        Raises:
            ApiError: It is refused.
        """
        store = self.cluster.store
        received_at = self.cluster.clock.now()
        with store.lock:
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
        """Record a write that was refused before it came here."""
        self.audit.record(call, error.status, error.code, self.cluster.clock.now())
        self.audit.deliver()

    def _perform(self, call: Call) -> Answer:
        if not call.resource.stored:
            return answer_review(self.authorizer, call)
        if call.verb == "create" and call.subresource:
            return create_subresource(self.cluster, call)
        return _VERBS[call.verb](self.cluster, call)

    def _follow_up(self) -> None:
        while self._changes:
            change = self._changes.popleft()
            for follow in self._followers:
                follow(change)
