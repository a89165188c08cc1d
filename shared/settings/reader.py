"""
Check the values of a file against their types, and find every problem.

The conversion of msgspec stops at the first problem. So this module walks the structure, and
msgspec converts the leaves.
"""

import difflib
import reprlib
import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from shared.settings.value_type import FORMS, Form

UNSOUND = object()
"""The result for a value that has a problem."""

_MAX_SHOWN = 120

_SECRET = "password"  # noqa: S105  # part of the names of keys

_repr = reprlib.Repr()
_repr.maxlevel = 2
_repr.maxstring = _repr.maxother = _MAX_SHOWN


@dataclass(frozen=True, slots=True)
class ValueReader:
    """Reads values and collects their problems, each as one line of text."""

    problems: list[str] = field(default_factory=list)

    def read_fields(
        self, value: Any, kind: type, key: str, *, hidden: Collection[str] = ()
    ) -> dict[str, Any]:
        """
        Return the given and valid fields of a struct; add a problem for the others.

        Fields that are ``hidden`` cannot be given.
        """
        if not isinstance(value, Mapping):
            self._refuse(value, key, "keys with values")
            return {}
        hints = get_type_hints(kind, include_extras=True)
        known = {name: hint for name, hint in hints.items() if name not in hidden}
        fields = {}
        for name, each in value.items():
            path = join(key, name)
            if name not in known:
                self.problems.append(f"{path}: unknown key{_suggest(name, known)}")
                continue
            read = self.read(each, known[name], path)
            if read is not UNSOUND:
                fields[name] = read
        return fields

    def read(self, value: Any, kind: Any, key: str) -> Any:
        """
        Return the value as its type, or add a problem and return `UNSOUND`.

        Args:
            value: The value from the YAML loader.
            kind: The annotated type of the key.
            key: Its full path, such as ``upstreams.docker.io.paths[0]``.
        """
        inner, words = unwrap(kind)
        if get_origin(inner) in {Union, types.UnionType}:
            members = [each for each in get_args(inner) if each is not types.NoneType]
            literals = {text for each in members for text in _literals(each)}
            if (value is None and types.NoneType in get_args(inner)) or _is_in(value, literals):
                return value
            kind = next(each for each in members if not _literals(each))
            inner, more = unwrap(kind)
            words = words or more
        if inner in FORMS:
            return self._read_form(value, FORMS[inner], key)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return self._read_struct(value, inner, key)
        return self._read_plain(value, kind, key, words)

    def _read_plain(self, value: Any, kind: Any, key: str, words: str) -> Any:
        """Read a collection, or a value that msgspec converts."""
        origin = get_origin(unwrap(kind)[0])
        if origin is Mapping or origin is dict:
            return self._read_mapping(value, kind, key, words)
        if origin is tuple or origin is frozenset:
            return self._read_items(value, kind, key, words)
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return self._refuse(value, key, words)

    def _read_struct(self, value: Any, kind: type[msgspec.Struct], key: str) -> Any:
        before = len(self.problems)
        fields = self.read_fields(value, kind, key)
        if isinstance(value, Mapping):
            self.problems.extend(
                f"{join(key, each.name)}: missing"
                for each in msgspec.structs.fields(kind)
                if each.required and each.name not in value
            )
        return kind(**fields) if len(self.problems) == before else UNSOUND

    def _read_form(self, value: Any, kind: type[Form], key: str) -> Any:
        """Read a form and the value that it describes; it may be empty if it requires nothing."""
        form = self._read_struct({} if value is None else value, kind, key)
        if form is UNSOUND:
            return UNSOUND
        faults = [f"{key}: {fault}" for fault in form.list_faults()]
        self.problems.extend(faults)
        return UNSOUND if faults else form.as_value()

    def _read_mapping(self, value: Any, kind: Any, key: str, words: str) -> Any:
        if not isinstance(value, Mapping) or len(value) < _minimum(kind):
            return self._refuse(value, key, words)
        name_kind, item_kind = get_args(unwrap(kind)[0])
        read = {
            self.read(name, name_kind, join(key, name)): self.read(each, item_kind, join(key, name))
            for name, each in value.items()
        }
        sound = {name: each for name, each in read.items() if UNSOUND not in (name, each)}
        return types.MappingProxyType(sound)

    def _read_items(self, value: Any, kind: Any, key: str, words: str) -> Any:
        if not isinstance(value, list) or len(value) < _minimum(kind):
            return self._refuse(value, key, words)
        inner, _ = unwrap(kind)
        item_kind, *_ = get_args(inner)
        read = [self.read(each, item_kind, f"{key}[{index}]") for index, each in enumerate(value)]
        items = [each for each in read if each is not UNSOUND]
        self.problems.extend(
            f"{key}[{index}]: {_show(each)} is listed twice"
            for index, each in enumerate(value)
            if each in value[:index]
        )
        return frozenset(items) if get_origin(inner) is frozenset else tuple(items)

    def _refuse(self, value: Any, key: str, words: str) -> Any:
        # A user who writes the password itself must not find it in a log.
        shown = "what is given" if _SECRET in key else _show(value)
        self.problems.append(f"{key}: {shown} is not allowed, only {words}")
        return UNSOUND


def join(key: str, name: object) -> str:
    """Return the full path of a key below another one."""
    return f"{key}.{name}" if key else str(name)


def unwrap(kind: Any) -> tuple[Any, str]:
    """Return the type without its annotations, and the description of its allowed values."""
    if get_origin(kind) is not Annotated:
        return kind, ""
    inner, *metas = get_args(kind)
    return inner, next((meta.extra["allowed"] for meta in metas if meta.extra), "")


def _minimum(kind: Any) -> int:
    """Return the number of items that a collection must have."""
    metas: Sequence[Any] = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return max((meta.min_length or 0 for meta in metas), default=0)


def _literals(kind: Any) -> tuple[Any, ...]:
    inner, _ = unwrap(kind)
    return get_args(inner) if get_origin(inner) is Literal else ()


def _is_in(value: Any, literals: Collection[str]) -> bool:
    return isinstance(value, str) and value in literals


def _suggest(name: object, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if nearest:
        return f", did you mean {nearest[0]!r}?"
    return f", only {', '.join(sorted(known))}"


def _show(value: Any) -> str:
    """Return a shortened value for a message; a few YAML aliases can make it very long."""
    text = "no value" if value is None else _repr.repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
