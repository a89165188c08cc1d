"""The parts that all pulls of a trial have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cluster_event import NodeEvent
from shared.domain.image_reference import ImageReference
from shared.pipeline.ports import ClusterApi
from shared.settings.keys import Settings

ReadLog = Callable[[str, datetime], tuple[NodeEvent, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullContext:
    """The parts that all pulls of a trial have in common."""

    cluster: ClusterApi
    settings: Settings
    trial_id: str
    helper: ImageReference
    platform: str
    priority_class: str
    read_log: ReadLog
    settle_s: float
    """How long the statements of a snapshotter may take to arrive."""
    clock: Callable[[], float]
    """A clock in seconds that never goes back."""
    pause: Callable[[], None]
    """Waits between two reads."""
