"""Names: a module name occurs once in a folder, a class has one meaning, and is a noun."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("shared", "cli", "sandbox", "tools")
ENTRY_POINTS = frozenset({"__init__", "__main__", "main"})

NOUNS = frozenset({"CloudLogging", "Finding", "Messaging", "Saving"})
"""Names in -ing that are nouns of the field."""

VIEWED = frozenset({"Cluster", "FactLog"})
"""Classes that the pipeline reads through a Protocol of the same name."""


def list_modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def public_classes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def repeated(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


@pytest.mark.parametrize("folder", FOLDERS)
def test_module_name_is_unique_in_its_folder(folder: str) -> None:
    stems = (path.stem for path in list_modules(folder) if "floor" not in path.parts)

    assert repeated(stem for stem in stems if stem not in ENTRY_POINTS) == []


@pytest.mark.parametrize(
    "folder", ["shared/domain", "shared/messages", "shared/clients", "shared/settings"]
)
def test_class_name_has_one_meaning(folder: str) -> None:
    product = [path for top in ("shared", "functions") for path in list_modules(top)]
    names = Counter(name for path in product for name in public_classes(path))
    ours = {name for path in list_modules(folder) for name in public_classes(path)}

    assert sorted(name for name in ours - VIEWED if names[name] > 1) == []


@pytest.mark.parametrize("folder", ["shared/messages", "shared/clients", "shared/settings"])
def test_class_name_is_a_noun(folder: str) -> None:
    names = {name for path in list_modules(folder) for name in public_classes(path)}

    assert {name for name in names - NOUNS if name.endswith("ing")} == set()
