"""Faults that can be switched on in any service of the local cloud."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Fault:
    """
    What goes wrong, for which calls, and how often.

    ``service`` is one of ``pubsub``, ``artifact-registry``, ``registry``, ``logging``,
    ``container``, ``kubernetes``; ``call`` a regular expression searched in
    ``"METHOD /path?query"`` (for gRPC, ``"Publish projects/…"``).
    """

    service: str
    call: str = ""
    status: int = 503
    """HTTP status of the answer; 0 closes the connection without one."""
    body: Mapping[str, Any] | None = None
    """Body of the answer; None for the service's own error body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    stall_s: float = 0.0
    """Real seconds to wait before answering."""
    applied: bool = False
    """Whether the call takes effect although its answer is the fault: a lost answer."""
    times: int | None = None
    """How many calls are hit before the fault ends; None for all."""


class Faults:
    """The faults that are switched on; the services ask it at each call."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on, and return it so that it can be removed."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Switch a fault off."""
        with self._lock:
            self._faults = [other for other in self._faults if other is not fault]

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def hit(self, service: str, call: str) -> Fault | None:
        """Return the fault that hits a call, counting it."""
        with self._lock:
            for fault in self._faults:
                if fault.service == service and re.search(fault.call, call):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._faults.remove(fault)
                    return fault
        return None
