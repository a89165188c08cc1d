"""Pages of a list of Kubernetes objects, limited in bytes."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from shared.errors import TransientError

PAGE_BYTES: Final = 4 * 1024 * 1024
"""
The largest page that is read, unless it has only one object.

A page of a hundred ordinary objects has less than a quarter of it. Etcd limits an object to 1.5 MB,
which can be some megabytes as JSON: https://etcd.io/docs/latest/dev-guide/limit/
"""

_CHUNK_BYTES = 64 * 1024


class PageSize:
    """The number of objects to ask for, so that a page has about ``PAGE_BYTES`` at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.objects = most

    @property
    def limit_bytes(self) -> int | None:
        """The bytes to read of a page; ``None`` if it cannot be smaller."""
        return PAGE_BYTES if self.objects > 1 else None

    def shrink(self) -> None:
        """Ask for fewer objects after a page that was too large."""
        self.objects = max(1, self.objects // 4)

    def adapt(self, read_bytes: int) -> None:
        """
        Ask for as many objects as fit, if the next ones are like those of the page that was read.

        The number at most doubles, so that small objects among large ones cost few pages that are
        too large.
        """
        fitting = self.objects * PAGE_BYTES // max(1, read_bytes)
        self.objects = max(1, min(self._most, 2 * self.objects, fitting))


class _Metadata(msgspec.Struct):
    token: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct):
    metadata: _Metadata | None = None
    items: list[msgspec.Raw] | None = None


class Page:
    """
    The objects of a page, which are parsed one by one.

    Raises:
        TransientError: It is not a list; a proxy answered in place of the API server.
    """

    def __init__(self, content: bytes, action: str) -> None:
        self._action = action
        try:
            page = msgspec.json.decode(content, type=_List)
        except ValueError as exc:
            raise _unreadable(action, exc) from exc
        self._items = page.items or []
        self.token = page.metadata.token if page.metadata is not None else None
        """The token of the next page, if there is one."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for item in self._items:
            yield parse_object(bytes(item), self._action)


def read_limited(response: Any, limit_bytes: int | None) -> bytes | None:
    """Read the body of a response; ``None``, and no more of the body, if it exceeds a limit."""
    if limit_bytes is None:
        return bytes(response.data)
    body = bytearray()
    for chunk in response.stream(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit_bytes:
            response.close()
            return None
    return bytes(body)


def parse_object(content: bytes, action: str) -> dict[str, Any]:
    """
    Parse an object of the API server.

    Raises:
        TransientError: It is not JSON; a proxy answered in place of the API server.
    """
    try:
        parsed: dict[str, Any] = json.loads(content)
    except ValueError as exc:
        raise _unreadable(action, exc) from exc
    return parsed


def _unreadable(action: str, error: ValueError) -> TransientError:
    return TransientError(f"cannot {action}: the answer is not JSON: {error}")
