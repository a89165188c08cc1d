"""Pages of lists, as the REST API cuts them."""

from collections.abc import Sequence
from typing import Any

import flask

from sandbox.http_server import ApiError

_DEFAULT_SIZE = 100
_MAX_SIZE = 1000


def page(field: str, items: Sequence[Any]) -> dict[str, Any]:
    """
    Return the page of ``items`` that the request asks for by pageSize and pageToken.

    Raises:
        ApiError: The size or the token is not one.
    """
    try:
        size = int(flask.request.args.get("pageSize", 0))
        start = int(flask.request.args.get("pageToken") or 0)
    except ValueError as exc:
        raise ApiError(400, f"invalid page size or token: {exc}") from exc
    if size < 0 or start < 0:
        raise ApiError(400, "page size and token cannot be negative")
    end = start + min(size or _DEFAULT_SIZE, _MAX_SIZE)
    answer: dict[str, Any] = {field: list(items[start:end])} if items[start:end] else {}
    if end < len(items):
        answer["nextPageToken"] = str(end)
    return answer
