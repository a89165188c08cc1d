"""Entries that a log router holds back, so that others overtake them, or they become one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Entry = dict[str, Any]


@dataclass(slots=True)
class _Held:
    entry: Entry
    due: datetime
    count: int = 1


class HeldEntries:
    """What is held back, and until when."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._series: dict[tuple[str, str], _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def delay(self, entry: Entry, due: datetime) -> None:
        """Hold an entry until it is due."""
        self._held.append(_Held(entry, due))

    def fold(self, entry: Entry, due: datetime) -> bool:
        """
        Hold an Event; return False if it joined one that is held already.

        Events about the same object and for the same reason become a series, of which only the
        last is told: that there were others, its count says.
        """
        event: Mapping[str, Any] = entry.get("jsonPayload") or {}
        about: Mapping[str, Any] = event.get("involvedObject") or {}
        key = (str(about.get("uid") or about.get("name")), str(event.get("reason")))
        known = self._series.get(key)
        if known is None:
            held = self._series[key] = _Held(entry, due)
            self._held.append(held)
            return True
        known.count += 1
        series = {"count": known.count, "lastObservedTime": entry["timestamp"]}
        known.entry = {**entry, "jsonPayload": {**event, "series": series}}
        return False

    def release(self, now: datetime | None = None) -> list[Entry]:
        """Return what is due, or with no time all of it, and hold it no longer."""
        due = [each for each in self._held if now is None or each.due <= now]
        self._held = [each for each in self._held if each not in due]
        self._series = {key: each for key, each in self._series.items() if each not in due}
        return [each.entry for each in due]
