"""The import contracts: a violation that is planted in a copy of the sources is found."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
CONFIGURATION: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
IMPORT_LINTER = CONFIGURATION["tool"]["importlinter"]

ADAPTERS = "Only adapters import the SDKs of Google and Kubernetes"
CYCLES = "There are no cycles"
DOWNWARDS = "Imports point downwards"
SHARED = "Imports in shared point downwards"
COMMANDS = "Imports in cli point downwards, and commands are independent"
FUNCTIONS = "Functions are independent"
PIPELINE = "Imports in the pipeline point downwards, and steps are independent"
SANDBOX = "The sandbox does not import the code that it tests"
RULES = "Rules import no library, not even indirectly"
NO_VENDOR = "The pipeline, messages and settings reach no vendor, not even indirectly"

IN_STEP = ("shared/pipeline/detect.py", "shared/pipeline/fan_out.py")
LAYERS = (
    "shared/runtime",
    "shared/pipeline",
    "shared/settings",
    "shared/messages",
    "shared/clients",
    "shared/domain",
    "cli/doctor",
    "cli/connect",
    "cli/input",
    "tools",
)


def module_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


VIOLATIONS = [
    pytest.param(
        {"shared/messages/build.py": "import google.cloud.storage"},
        {ADAPTERS, NO_VENDOR},
        id="vendor-in-messages",
    ),
    pytest.param(
        {"cli/plan/plan.py": "def load() -> None:\n    import google.auth"},
        {ADAPTERS},
        id="vendor-in-a-command",
    ),
    pytest.param(
        {
            IN_STEP[0]: f"import {module_of(IN_STEP[1])}",
            IN_STEP[1]: f"import {module_of(IN_STEP[0])}",
        },
        {PIPELINE, CYCLES},
        id="cycle-of-steps",
    ),
    pytest.param(
        {IN_STEP[0]: f"import {module_of(IN_STEP[1])}"}, {PIPELINE}, id="step-imports-step"
    ),
    pytest.param(
        {"shared/domain/manifest.py": "import msgspec"},
        {RULES, "Only code that reads documents imports decoders"},
        id="library-in-domain",
    ),
    pytest.param({"shared/errors.py": "import shared.domain.manifest"}, {SHARED}, id="errors"),
    pytest.param(
        {"shared/pipeline/detect.py": "from shared.clients import publisher"},
        {NO_VENDOR},
        id="client-in-pipeline",
    ),
    pytest.param(
        {"shared/messages/build.py": "import shared.settings.keys"}, {SHARED}, id="settings"
    ),
    pytest.param(
        {"shared/runtime/handler.py": "import cli.terminal"}, {DOWNWARDS}, id="cli-in-runtime"
    ),
    pytest.param({"cli/terminal.py": "import tools.audit"}, {DOWNWARDS}, id="tool-in-cli"),
    pytest.param(
        {"functions/audit_log/main.py": "import functions.pull_event.main"},
        {FUNCTIONS},
        id="function-imports-function",
    ),
    pytest.param(
        {"cli/plan/plan.py": "import cli.policy.policy"}, {COMMANDS}, id="command-imports-command"
    ),
    pytest.param({"cli/terminal.py": "import cli.exits"}, {COMMANDS, CYCLES}, id="terminal"),
    pytest.param({"sandbox/clock.py": "import shared.errors"}, {SANDBOX}, id="sandbox"),
]
"""Planted lines, and contracts that they break."""


class Checkout:
    """A copy of the sources, in which imports are planted and contracts checked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for package in IMPORT_LINTER["root_packages"]:
            shutil.copytree(
                ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")

    def find_broken(self, planted: Mapping[str, str] | None = None) -> set[str]:
        """Return the names of the contracts that lines break, each at the end of a file."""
        planted = planted or {}
        before = {path: (self._folder / path).read_text("utf-8") for path in planted}
        for path, line in planted.items():
            (self._folder / path).write_text(f"{before[path]}\n{line}\n", encoding="utf-8")
        try:
            return self._lint()
        finally:
            for path, text in before.items():
                (self._folder / path).write_text(text, encoding="utf-8")

    def _lint(self) -> set[str]:
        done = subprocess.run(  # noqa: S603 - the command is ours
            [LINT_IMPORTS, "--no-cache"],
            cwd=self._folder,
            env={"PATH": os.defpath, "COLUMNS": "200"},
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode in {0, 1}, done.stderr
        broken = {
            line.removesuffix(" BROKEN")
            for line in done.stdout.splitlines()
            if line.endswith(" BROKEN")
        }
        assert bool(done.returncode) == bool(broken), done.stdout
        return broken


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_sources_keep_every_contract(checkout: Checkout) -> None:
    assert checkout.find_broken() == set()


@pytest.mark.parametrize(("planted", "broken"), VIOLATIONS)
def test_planted_import_breaks_its_contracts(
    checkout: Checkout, planted: Mapping[str, str], broken: set[str]
) -> None:
    assert checkout.find_broken(planted) >= broken


@pytest.mark.parametrize("layer", LAYERS)
def test_cycle_inside_a_layer_breaks_a_contract(checkout: Checkout, layer: str) -> None:
    one, two, *_ = sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / layer).glob("*.py")
        if not path.stem.startswith("__")
    )

    broken = checkout.find_broken(
        {one: f"import {module_of(two)}", two: f"import {module_of(one)}"}
    )

    assert CYCLES in broken


def test_every_library_that_is_imported_is_named_in_a_contract() -> None:
    packages = IMPORT_LINTER["root_packages"]
    graph = grimp.build_graph(*packages, include_external_packages=True, cache_dir=None)
    known = {
        name
        for contract in IMPORT_LINTER["contracts"]
        for name in contract.get("protected_modules", ())
    }

    libraries = {
        imported
        for module in graph.modules
        if module.partition(".")[0] in {"shared", "functions", "cli"}
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.partition(".")[0] not in {*packages, *sys.stdlib_module_names}
    }

    assert libraries
    assert libraries <= known
