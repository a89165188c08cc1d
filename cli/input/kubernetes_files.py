"""Read the objects of manifests: YAML with any number of documents, or JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from cli.exits import ExitCode, fail
from cli.input.log_export import STANDARD_INPUT, label_of
from cli.input.yaml_documents import DocumentError, read_documents

_Base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MAX_QUOTED = 60


class _Loader(_Base):  # type: ignore[misc]  # the one in C, where there is it
    """Reads numbers and booleans as values, and every other tagged scalar as text."""


def _as_written(loader: Any, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


def _as_kind(kind: str) -> Any:
    """Return a constructor that reads a value by its tag, and falls back to the text."""
    read = getattr(_Base, f"construct_yaml_{kind}")

    def construct(loader: Any, node: yaml.Node) -> Any:
        try:
            return read(loader, node)
        except (ValueError, KeyError):
            return node.value

    return construct


for _kind in ("int", "float", "bool"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_kind(_kind))
for _name in ("timestamp", "binary"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _as_written)
_Loader.add_constructor(None, _as_written)


def read_manifests(names: list[str]) -> Iterator[Mapping[str, Any]]:
    """
    Yield the objects of some files; the items of a list are separate objects.

    Raises:
        typer.Exit: A file cannot be read, or is neither YAML nor JSON.
    """
    for name in names:
        text, label = _read(name), label_of(name)
        try:
            # It refuses aliases that expand too far.
            read_documents(text)
            bodies = list(yaml.load_all(text, Loader=_Loader))  # it is a safe one
        except DocumentError as exc:
            where = f"{label}:{exc.line}" if exc.line else label
            fail(ExitCode.UNREADABLE, f"{where}: neither YAML nor JSON: {exc}")
        except (yaml.YAMLError, TypeError, ValueError, LookupError) as exc:
            fail(
                ExitCode.UNREADABLE, f"{label}: neither YAML nor JSON: {' '.join(str(exc).split())}"
            )
        for body in bodies:
            if body is not None and not isinstance(body, Mapping):
                fail(ExitCode.UNREADABLE, f"{label}: not a Kubernetes object: {_quote(body)}")
            yield from _objects_of(body)


def _quote(value: Any) -> str:
    """Return a value as a short text for an error."""
    shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
    return shown if len(shown) <= _MAX_QUOTED else f"{shown[:_MAX_QUOTED]}…"


def _objects_of(body: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        return
    items = body.get("items")
    if str(body.get("kind")).endswith("List") and isinstance(items, list):
        for item in items:
            yield from _objects_of(item)
    else:
        yield body


def _read(name: str) -> str:
    label = label_of(name)
    try:
        if name == STANDARD_INPUT:
            data = typer.get_binary_stream("stdin").read()
        else:
            data = Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as exc:
        fail(ExitCode.UNREADABLE, f"{label}: {exc.strerror}")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        fail(ExitCode.UNREADABLE, f"{label}:{line}: not UTF-8")
