"""The first deliveries of an instance come at once, and must not import libraries at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parent.parent.parent / "shared" / "clients"
MODULES = sorted(path.name for path in CLIENTS.glob("*.py"))
VENDORS = frozenset({"google", "grpc", "kubernetes", "requests", "urllib3", "yaml"})
LOCK = "IMPORTING"


def vendor_imports(node: ast.AST, *, is_locked: bool = False) -> Iterator[tuple[int, bool]]:
    """Yield the line of each import of a vendor's library, and whether it is locked."""
    if isinstance(node, ast.With):
        is_locked = is_locked or any(
            isinstance(item.context_expr, ast.Name) and item.context_expr.id == LOCK
            for item in node.items
        )
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    for name in names:
        if name.partition(".")[0] in VENDORS:
            assert isinstance(node, ast.stmt)
            yield node.lineno, is_locked
    for child in ast.iter_child_nodes(node):
        yield from vendor_imports(child, is_locked=is_locked)


@pytest.mark.parametrize("module", MODULES)
def test_vendors_library_is_imported_by_one_thread_at_a_time(module: str) -> None:
    found = list(vendor_imports(ast.parse((CLIENTS / module).read_text("utf-8"))))

    assert [line for line, is_locked in found if not is_locked] == []


def test_there_are_imports_of_vendors_to_be_checked() -> None:
    found = [
        line
        for module in MODULES
        for line, _ in vendor_imports(ast.parse((CLIENTS / module).read_text("utf-8")))
    ]

    assert len(found) > 10
