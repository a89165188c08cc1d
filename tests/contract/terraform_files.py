"""The infrastructure's Terraform, read as data: literals are values, expressions stay text."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

INFRA = Path(__file__).parents[2] / "infra"
ROOT_OF_BOOTSTRAP = INFRA / "bootstrap"
PRESTREAM = INFRA / "modules" / "prestream"
BOOTSTRAP = PRESTREAM / "modules" / "bootstrap"
MODULE = PRESTREAM / "modules" / "event_function"
SETTINGS = PRESTREAM / "modules" / "settings"
FOLDERS = (INFRA, ROOT_OF_BOOTSTRAP, PRESTREAM, BOOTSTRAP, MODULE, SETTINGS)
FILES = sorted(path for folder in FOLDERS for path in folder.glob("*.tf"))

_OPTIONS = hcl2.SerializationOptions(strip_string_quotes=True, with_comments=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A resource, variable or other block of a file."""

    file: Path
    kind: str
    labels: tuple[str, ...]
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return ".".join(self.labels)


@cache
def read_file(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = hcl2.loads(
        path.read_text(encoding="utf-8"), serialization_options=_OPTIONS
    )
    return content


def read_blocks(kind: str, folder: Path | None = None) -> Iterator[Block]:
    """Yield the blocks of a kind, in the order of the files; of one folder, or of all."""
    depth = {"resource": 2, "data": 2}.get(kind, 1)
    for path in FILES:
        if folder is not None and path.parent != folder:
            continue
        for entry in read_file(path).get(kind, []):
            yield from _unfold(path, kind, (), entry, depth)


def read_local(name: str) -> Any:
    """Return the local value of that name, of any module."""
    for path in FILES:
        for block in read_file(path).get("locals", []):
            if name in block:
                return block[name]
    raise LookupError(name)


def find_block(kind: str, name: str, folder: Path = PRESTREAM) -> dict[str, Any]:
    """Return the body of the one block of that name."""
    [found] = [block.body for block in read_blocks(kind, folder) if block.name == name]
    return found


def _unfold(
    path: Path, kind: str, labels: tuple[str, ...], entry: dict[str, Any], depth: int
) -> Iterator[Block]:
    for label, body in entry.items():
        if depth == 1:
            yield Block(path, kind, (*labels, label), body)
        else:
            yield from _unfold(path, kind, (*labels, label), body, depth - 1)
