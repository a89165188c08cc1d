"""
The vendors' libraries are imported where they are first used, by one thread at a time.

An instance serves several deliveries at once, and its first ones would import several libraries
at once. Python lets a thread see half of a package that another is importing where the two would
wait for each other, and what fails then stays broken for the life of the instance: ``requests``
without ``requests.exceptions``, for one.
https://github.com/python/cpython/issues/83065
"""

import gc
import threading
from typing import Final


class Importing:
    """
    Held by whoever imports a vendor's library; a library that is there costs next to nothing.

    The garbage collector rests meanwhile. A library makes objects by the ten thousand and drops
    hardly any, and looking through them again and again takes a sixth of the time of an import.
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


IMPORTING: Final = Importing()
