"""
Read YAML and JSON with the position of every text, to replace a text without other changes.

A replacement keeps everything else in the file: comments, order, quotes, indentation and line
endings belong to the author.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from shared.domain.image_fields import Path

# The parser in C is some thirty times as fast, and takes JSON that is indented with tabs.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_STRING = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_BYTE_ORDER_MARK = "\ufeff"

_MAX_ALIASED = 100_000
"""The number of values that the aliases of a file may add to those that are written."""

_MAX_DEPTH = 200
"""The maximum of levels in one document."""

# Half a character beyond the first 65 536, as JSON escapes it and YAML does not know it.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class DocumentError(Exception):
    """A text is neither YAML nor JSON; the message has the position."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line
        """The line, counted from 1; None if the whole text is at fault."""


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a text in a file."""

    line: int
    column: int
    """Line and column, counted from 1."""
    start: int
    end: int
    """The range in the source, quotes included."""
    value: str


class Document:
    """One object of a file."""

    def __init__(self, root: yaml.Node, aliased: int = 0) -> None:
        inner_first = _sort_inner_first(root)
        self.aliased = aliased + _count_aliased(inner_first, _MAX_ALIASED - aliased)
        """The number of values that aliases add, with those of earlier documents."""
        self._root = root
        self._values: dict[int, Any] = {}
        self.body: Any = self._read(root)
        """Mappings, lists and texts; every other value, which cannot name an image, is None."""
        self._ways = _count_ways(inner_first)

    def find(self, path: Path) -> Place:
        """Return the position of the text at a path of the body."""
        node = self._node_at(path)
        mark = node.start_mark
        return Place(mark.line + 1, mark.column + 1, mark.index, node.end_mark.index, node.value)

    def count_ways(self, path: Path) -> int:
        """Return the number of paths to the same text: more than one if an anchor is used."""
        return self._ways[id(self._node_at(path))]

    def _node_at(self, path: Path) -> yaml.Node:
        node = self._root
        for name in path:
            node = _fields_of(node)[name] if isinstance(name, str) else node.value[name]
        return node

    def _read(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _STRING else None
        if id(node) in self._values:
            return self._values[id(node)]
        value: Any = {} if isinstance(node, yaml.MappingNode) else []
        self._values[id(node)] = value
        if isinstance(node, yaml.MappingNode):
            value.update({name: self._read(each) for name, each in _fields_of(node).items()})
        else:
            value.extend(self._read(each) for each in node.value)
        return value


def read_documents(text: str) -> list[Document]:
    """
    Read the objects of a YAML or JSON file.

    Raises:
        DocumentError: It is neither.
    """
    text = _SURROGATE.sub(r"\\u0020", text.removeprefix(_BYTE_ORDER_MARK))
    loader = _Loader(text)
    try:
        _check_depth(text)
        documents: list[Document] = []
        while loader.check_node():
            aliased = documents[-1].aliased if documents else 0
            documents.append(Document(loader.get_node(), aliased))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        # The parser reports the end of the file as a line of its own.
        line = min(mark.line + 1, len(text.splitlines())) if mark else None
        raise DocumentError(exc.problem or "not YAML", line) from exc
    except yaml.YAMLError as exc:
        raise DocumentError(" ".join(str(exc).split())) from exc
    finally:
        loader.dispose()
    return documents


def replace_texts(text: str, replacements: Iterable[tuple[Place, str]]) -> str:
    """Return the file with the texts at some positions replaced, and no other change."""
    offset = len(text) - len(text.removeprefix(_BYTE_ORDER_MARK))
    for place, value in sorted(replacements, key=lambda each: each[0].start, reverse=True):
        start, end = place.start + offset, place.end + offset
        text = text[:start] + _replace_scalar(text[start:end], place.value, value) + text[end:]
    return text


def _check_depth(text: str) -> None:
    """Refuse a nesting that would exhaust the stack of the parser in C."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                mark = event.start_mark
                raise DocumentError("it is nested too deeply", mark.line + 1 if mark else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _replace_scalar(source: str, old: str, new: str) -> str:
    """Replace the value of a scalar, which may have an anchor or a tag."""
    before, found, after = source.rpartition(old)
    if found:
        return before + new + after
    quote = source[-1]  # a text that is not found literally has escapes, and so quotes
    return source[: source.index(quote)] + quote + new + quote


def _fields_of(node: yaml.Node) -> Mapping[str, yaml.Node]:
    """Return the fields of a mapping by their names, with those that it merges in."""
    merged: dict[str, yaml.Node] = {}
    own: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.tag == _MERGE:
            bases = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for base in reversed(bases):  # the first one decides
                if isinstance(base, yaml.MappingNode):
                    merged.update(_fields_of(base))
        elif isinstance(key, yaml.ScalarNode):
            own[key.value] = value
    return {**merged, **own}


def _count_aliased(inner_first: Sequence[yaml.Node], limit: int) -> int:
    """
    Count the values that aliases add to a document, before the aliases are followed.

    Raises:
        DocumentError: They add more values than the limit, or more levels than a document may have.
    """
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    for node in inner_first:
        inner = list(_nodes_in(node))
        size = 1 + sum(sizes[id(each)] for each in inner)
        depth = max((1 + depths[id(each)] for each in inner), default=0)
        line = node.start_mark.line + 1
        if size > limit + len(inner_first):
            raise DocumentError(f"its aliases expand to more than {_MAX_ALIASED} values", line)
        if depth > _MAX_DEPTH:
            raise DocumentError("its aliases are nested too deeply", line)
        sizes[id(node)], depths[id(node)] = size, depth
    return sizes[id(inner_first[-1])] - len(inner_first)


def _count_ways(inner_first: Sequence[yaml.Node]) -> Counter[int]:
    """Return the number of paths to each node, through aliases and merged mappings."""
    ways: Counter[int] = Counter({id(inner_first[-1]): 1})
    for node in reversed(inner_first):
        is_mapping = isinstance(node, yaml.MappingNode)
        for each in _fields_of(node).values() if is_mapping else _nodes_in(node):
            ways[id(each)] += ways[id(node)]
    return ways


def _sort_inner_first(root: yaml.Node) -> list[yaml.Node]:
    """
    Return every node once, after the nodes in it.

    Raises:
        DocumentError: An alias is inside the node that it refers to.
    """
    done: dict[int, yaml.Node] = {}
    open_nodes: set[int] = set()
    pending = [root]
    while pending:
        node = pending[-1]
        inner = [each for each in _nodes_in(node) if id(each) not in done]
        if id(node) in done or not inner:
            done.setdefault(id(node), node)
            open_nodes.discard(id(node))
            pending.pop()
            continue
        open_nodes.add(id(node))
        if any(id(each) in open_nodes for each in inner):
            line = node.start_mark.line + 1
            raise DocumentError("an alias is inside the node that it refers to", line)
        pending.extend(inner)
    return list(done.values())


def _nodes_in(node: yaml.Node) -> Iterator[yaml.Node]:
    """Yield the keys and values of a mapping, or the items of a list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
