"""
The YAML of a configuration file.

Terraform reads the same file with ``yamldecode``, which follows YAML 1.2. PyYAML follows YAML 1.1,
where ``no`` is false and ``0755`` is octal. So this module resolves plain scalars by the core
schema of YAML 1.2, and both readers get the same values.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ConfigurationError

if TYPE_CHECKING:
    import yaml

# The core schema: https://yaml.org/spec/1.2.2/#103-core-schema
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        (
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        list("-+0123456789."),
    ),
    "merge": (r"<<", ["<"]),
}
_MAX_DEPTH = 100
_MAX_KEYS = 10_000
_BASES = {"0o": 8, "0x": 16}


@dataclass(frozen=True, slots=True)
class Document:
    """The keys of a file, and the problems that only its text shows, such as repeated keys."""

    values: Mapping[Any, Any]
    problems: tuple[str, ...] = ()


def read_document(path: Path) -> Document:
    """
    Read a YAML file with keys, or an empty one.

    Raises:
        ConfigurationError: The file cannot be read, or is not such a YAML file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"cannot read the configuration file {str(path)!r}: {exc}"
        ) from exc
    return parse_document(text, name=str(path))


def parse_document(text: str, *, name: str) -> Document:
    """
    Parse YAML with keys, or an empty text; errors call it ``name``.

    Raises:
        ConfigurationError: The text is not YAML, or does not consist of keys.

    >>> parse_document("# nothing but a comment", name="prestream.yaml").values
    {}
    """
    if all(not line or line.startswith("#") for line in map(str.strip, text.splitlines())):
        # An empty file is common, and importing the parser takes longer than the rest.
        return Document({})
    import yaml

    loader = _make_loader(text)
    try:
        values = loader.get_single_data()
    except yaml.MarkedYAMLError as exc:
        raise ConfigurationError(_describe(exc, name)) from exc
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, LookupError) as exc:
        raise ConfigurationError(f"{name} is not valid YAML: {exc}") from exc
    finally:
        loader.dispose()
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{name} holds a {type(values).__name__}, not keys with values")
    return Document(values, tuple(loader.duplicates))


def _describe(exc: "yaml.MarkedYAMLError", name: str) -> str:
    mark = exc.problem_mark or exc.context_mark
    where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    context = f" ({exc.context})" if exc.context else ""
    return f"{name} is not valid YAML{where}: {exc.problem}{context}"


def _check_limit(number: int, limit: int, what: str, node: "yaml.Node | None") -> None:
    import yaml

    if number > limit:
        mark = node.start_mark if node else None
        raise yaml.MarkedYAMLError(problem=f"more than {limit} {what}", problem_mark=mark)


def _find_duplicates(mapping: "yaml.MappingNode") -> Iterator[str]:
    """Yield a problem for each key that a mapping repeats."""
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        if not isinstance(key.value, str):
            continue  # A list or a mapping, which cannot be a key.
        line = key.start_mark.line + 1
        first = lines.setdefault(key.value, line)
        if first != line:
            yield f"{key.value}: given twice, in line {first} and in line {line}"


def _make_loader(text: str) -> Any:
    """Return a loader of plain values; PyYAML's C loader, if available, is ten times as fast."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # its base is known at run time only
        """Resolves scalars like YAML 1.2, and collects repeated keys."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML fills it by class

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.duplicates: list[str] = []
            self.depth = 0

        def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
            self.depth += 1
            # Deeper, the parser in C would exhaust its stack.
            _check_limit(self.depth, _MAX_DEPTH, "levels", parent)
            super().descend_resolver(parent, index)

        def ascend_resolver(self) -> None:
            self.depth -= 1
            super().ascend_resolver()

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            super().flatten_mapping(node)
            _check_limit(len(node.value), _MAX_KEYS, "keys, with those that it merges", node)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: FBT001, FBT002  # PyYAML's signature
            self.duplicates += _find_duplicates(node)
            return super().construct_mapping(node, deep=deep)

    for tag, (pattern, starts) in _SCALARS.items():
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), starts
        )
    Loader.add_constructor(
        "tag:yaml.org,2002:int",
        lambda _, node: int(node.value, _BASES.get(node.value[:2], 10)),
    )
    return Loader(text)
