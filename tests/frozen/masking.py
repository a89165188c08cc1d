"""Replace free text, which may become clearer, and values that vary between runs."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

PROSE = frozenset({"hint", "detail", "description", "message", "error", "note", "help", "title"})
"""Fields whose text is for people; whether there is a text is still compared."""

VARYING = frozenset({"resourceVersion"})


def mask(
    value: Any,
    rename: Callable[[str], str] = str,
    key: str = "",
    prose: Collection[str] = PROSE,
) -> Any:
    """Return a JSON value with its prose as ``*``, keys in order, and texts renamed."""
    if isinstance(value, Mapping):
        return {rename(name): mask(value[name], rename, name, prose) for name in sorted(value)}
    if isinstance(value, list):
        return [mask(each, rename, key, prose) for each in value]
    if isinstance(value, str):
        return "*" if value and (key in prose or key in VARYING) else rename(value)
    return value
