"""What a test or the demo can switch in Artifact Registry while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Switches:
    """How Artifact Registry behaves; every field may be changed at any time."""

    operation_delay_s: float = 0.0
    """Seconds of the sandbox's clock that creating a repository takes; 0: done at once."""
    operation_error: Mapping[str, Any] | None = None
    """``google.rpc.Status`` with which operations that begin now end, such as ``{"code": 13}``."""
    hide_unknown: bool = False
    """Whether /v2/ answers 403 for a repository that does not exist, instead of 404."""
    denied: set[str] = field(default_factory=set)
    """Repositories (full resource names) whose artifacts our own identity may not read."""
    refusal_status: int = 403
    """Status with which an upstream's 401 or 403 is passed on; Google also documents 502."""
    prewarm_delay_s: float = 60.0
    """Seconds of the sandbox's clock that an artifact is CACHING."""
    prewarm_error: str | None = None
    """The error message with which prewarming that begins now fails."""
    prewarm_limit_bytes: int = 100_000_000_000
    """Prewarm storage of a project."""
