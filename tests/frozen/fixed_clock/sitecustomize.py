"""
Let ``datetime.now`` return one moment in a served function, so that recordings agree on any day.

Python imports this module at its start because its folder is in ``PYTHONPATH``. Timeouts and
caches use the monotonic clock, which goes on.
"""

import datetime
import os
from typing import Any

_REAL = datetime.datetime
_NOW = _REAL.fromisoformat(os.environ["FROZEN_NOW"])


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _REAL)


class _Fixed(_REAL, metaclass=_Kind):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        moment = _NOW.astimezone(tz)
        return moment if tz else moment.replace(tzinfo=None)

    @classmethod
    def utcnow(cls) -> Any:
        return _NOW.replace(tzinfo=None)


vars(datetime)["datetime"] = _Fixed
