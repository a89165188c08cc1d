"""
The vendors' libraries are imported where they are first used, by one thread at a time.

An instance serves several deliveries at once, and its first ones would import several libraries
at once. Python lets a thread see half of a package that another is importing where the two would
wait for each other, and what fails then stays broken for the life of the instance: ``requests``
without ``requests.exceptions``, for one.
https://github.com/python/cpython/issues/83065
"""

import threading
from typing import Final

IMPORTING: Final = threading.RLock()
"""Held by whoever imports a vendor's library; a library that is there costs next to nothing."""
