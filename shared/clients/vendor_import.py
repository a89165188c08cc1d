"""
A lock for imports of vendors' libraries, which are imported at their first use.

An instance serves several deliveries at once, and the first ones would import several libraries in
parallel. To avoid a deadlock, Python lets a thread see a partly imported package. The failure then
lasts for the life of the instance: for example, ``requests`` without ``requests.exceptions``.
https://github.com/python/cpython/issues/83065
"""

import gc
import threading
from typing import Final


class ImportLock:
    """
    The lock to hold during an import; an import that already happened costs almost nothing.

    The garbage collector is disabled meanwhile. A library creates tens of thousands of objects and
    drops few; scanning them repeatedly takes a sixth of the import time.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._collects = True

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._depth == 0:
            self._collects = gc.isenabled()
            gc.disable()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._collects:
            gc.enable()
        self._lock.release()


IMPORTING: Final = ImportLock()
