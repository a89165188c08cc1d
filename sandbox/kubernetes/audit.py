"""Audit records of all writes, accepted or refused."""

import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sandbox.clock import Clock
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.calls import Call


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One write and its answer."""

    verb: str
    """``create``, ``update``, ``patch``, ``delete`` or ``deletecollection``."""
    user: str
    group: str
    """API group; empty for the core group."""
    version: str
    resource: str
    """Plural, without the group."""
    subresource: str
    namespace: str
    name: str
    request: Body | list[Body] | None
    """The request body: an object, a patch, or the options of a deletion."""
    content_type: str
    """The kind of a patch."""
    response: Body
    """The object, or the Status of the refusal."""
    code: int
    dry_run: bool
    user_agent: str
    source_ip: str
    received_at: datetime
    audit_id: str


AuditListener = Callable[[AuditRecord], None]


class AuditLog:
    """Passes records to the listeners, in order, and without the lock of the store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: list[AuditListener] = []
        self._pending: deque[AuditRecord] = deque()
        self._delivery = threading.RLock()

    def add_listener(self, listener: AuditListener) -> None:
        """Call a listener with each record from now on."""
        self._listeners.append(listener)

    def record(self, call: Call, response: Body, code: int, received_at: datetime) -> None:
        """Keep a record until ``deliver``."""
        name = call.name or str(response.get("metadata", {}).get("name", ""))
        self._pending.append(
            AuditRecord(
                verb=call.verb,
                user=call.caller.name,
                group=call.resource.group,
                version=call.resource.version,
                resource=call.resource.plural,
                subresource=call.subresource,
                namespace=call.namespace,
                name=name,
                request=call.body,
                content_type=call.content_type,
                response=response,
                code=code,
                dry_run=call.options.dry_run,
                user_agent=call.caller.user_agent,
                source_ip=call.caller.source_ip,
                received_at=received_at,
                audit_id=str(uuid.uuid4()),
            )
        )

    def deliver(self) -> None:
        """Pass the pending records to the listeners."""
        with self._delivery:
            while self._pending:
                record = self._pending.popleft()
                for listener in tuple(self._listeners):
                    listener(record)
