"""When functions import the libraries of vendors: one thread at a time, and only to publish."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import envelope

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "shared" / "clients"
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


_IMPORTS = """
import json, sys
import functions_framework

VENDORS = {"google", "grpc", "kubernetes", "requests", "urllib3", "pydantic"}
# The framework brings this one along; it is two small modules of its own.
FRAMEWORK = {"google", "google.cloud"}

def vendors():
    return sorted(
        name for name in sys.modules
        if name.split(".")[0] in VENDORS and name not in FRAMEWORK
        and not name.startswith("google.cloud.functions")
    )

name, source, body = sys.argv[1], sys.argv[2], sys.stdin.read()
client = functions_framework.create_app(f"handle_{name}", source).test_client()
status = client.post("/", data=body, content_type="application/json").status_code
ignoring = vendors()
sys.modules["main"].wiring.publisher._client
sys.stderr.write(json.dumps({"status": status, "ignoring": ignoring, "publishing": vendors()}))
"""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("audit_log", "audit-pod-without-accelerator"),
        ("audit_log", "audit-pod-create-by-replicaset"),
        ("build_notification", "build-success-pushed-in-a-step"),
        ("build_notification", "build-failure"),
    ],
)
@pytest.mark.usefixtures("config")
def test_detector_that_ignores_a_message_imports_no_vendor(function: str, name: str) -> None:
    source = ROOT / "functions" / function / "main.py"

    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _IMPORTS, function, str(source)],
        input=json.dumps(envelope(load_event(name))),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["disposition"] == "ignored"
    seen = json.loads(done.stderr)
    assert (seen["status"], seen["ignoring"]) == (200, [])
    assert "grpc" in seen["publishing"], "the control: publishing does import a vendor"
