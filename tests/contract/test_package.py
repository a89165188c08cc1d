"""The installed command: its wheel, its dependencies, and the modules that its help imports."""

import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.app import COMMANDS, load_command
from cli.version import VERSION
from tools.archives import find_import_closure, imported_names

ROOT = Path(__file__).parents[2]
FACTS = ROOT / "tests" / "frozen" / "files" / "facts.jsonl"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LIBRARIES = {
    "google",
    "grpc",
    "jinja2",
    "kubernetes",
    "msgspec",
    "requests",
    "rich",
    "typer",
    "urllib3",
    "yaml",
}
HELP_MODULES = {"cli", "cli.__main__", "cli.app", "cli.version"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the installed backend, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(  # noqa: S603  # our own build
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel beside a foreign package with the name of ours."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "cli").mkdir()
    (folder / "cli" / "__init__.py").write_text("raise SystemExit('this is not the command')")
    return folder


def run(
    folder: Path, *arguments: str, name: str = "prestream", entry: str = "main"
) -> subprocess.CompletedProcess[str]:
    """Run an entry point as its script does."""
    script = (
        f"import sys; sys.argv[0] = '/bin/{name}'; import prestream; sys.exit(prestream.{entry}())"
    )
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-P", "-c", script, *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": str(folder), "GOOGLE_CLOUD_PROJECT": "demo"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_wheel_has_the_version_and_entry_points(wheel: Path) -> None:
    entry_points = zipfile.ZipFile(wheel).read(f"prestream-{VERSION}.dist-info/entry_points.txt")

    assert set(re.findall(r"^(\S+) =", entry_points.decode(), re.MULTILINE)) == {
        "prestream",
        "kubectl-prestream",
        "kubectl_complete-prestream",
    }


@pytest.mark.parametrize("folder", ["cli", "shared", "infra/kubernetes"])
def test_wheel_holds_every_file_of_a_folder(wheel: Path, folder: str) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {path for path in (ROOT / folder).rglob("*") if path.is_file()}

    needed = {path for path in files if path.suffix != ".pyc"} - {ROOT / "cli" / "entry_point.py"}

    assert {f"prestream/{path.relative_to(ROOT)}" for path in needed} <= held


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--version",), f"prestream {VERSION}\n"),
        (
            ("policy", "--api-version", "v1"),
            (ROOT / "infra/kubernetes/rewriting/policy.yaml").read_text("utf-8")[:500],
        ),
        (("report", "--json", str(FACTS)), "{\n  "),
    ],
)
def test_installed_command_runs(site: Path, arguments: tuple[str, ...], expected: str) -> None:
    ended = run(site, *arguments)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(expected)


def test_installed_command_writes_the_page(site: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    ended = run(site, "report", str(FACTS), "--html", str(page))

    assert ended.returncode == 0, ended.stderr
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_installed_command_reads_the_configuration_of_the_folder(site: Path) -> None:
    config = site / "prestream.yaml"
    config.write_text("locatoin: us\n", encoding="utf-8")
    try:
        ended = run(site, "policy", "--status")
    finally:
        config.unlink()

    assert ended.returncode == 4
    assert "locatoin" in ended.stderr


def test_kubectl_plugin_is_called_as_in_kubectl(site: Path) -> None:
    ended = run(site, "--help", name="kubectl-prestream")

    assert ended.stdout.strip().startswith("Usage: kubectl prestream ")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("re",), ["replay", "report", "rewrite", ":4"]),
        (("plan", "--off"), ["--offline", ":4"]),
        (("",), [*COMMANDS, ":4"]),
    ],
)
def test_kubectl_completes_commands_and_options(
    site: Path, words: tuple[str, ...], completed: list[str]
) -> None:
    ended = run(site, *words, name="kubectl_complete-prestream", entry="complete")

    assert ended.stdout.split() == completed


def test_help_imports_neither_commands_nor_libraries_but_typer() -> None:
    script = (
        "import json, sys; from cli.__main__ import main\n"
        "sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "finally: print(json.dumps(sorted(sys.modules)))"
    )
    ended = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-P", "-c", script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = json.loads(ended.stdout.splitlines()[-1])
    ours = {name for name in imported if name.partition(".")[0] in {"cli", "shared"}}
    libraries = {name.partition(".")[0] for name in imported} & LIBRARIES

    assert ours == HELP_MODULES
    # Namespace packages are made at the start, by files of the environment.
    assert libraries - {"google"} == {"typer"}
    assert "google.auth" not in imported


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_loaded_by_its_name(name: str) -> None:
    command = load_command(name)

    assert command.name == name
    assert command.help


def test_dependencies_are_the_libraries_that_the_command_imports() -> None:
    files = set((ROOT / "cli").rglob("*.py"))
    files |= {file for path in files for file in find_import_closure(path, ROOT)}
    modules = {name for path in files for name in imported_names(ast.parse(path.read_bytes()))}
    foreign = {each for each in modules if each.partition(".")[0] not in {"cli", "shared"}}

    imported = {_normalize(found) for each in foreign if (found := _find_distribution(each))}

    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["charts"]]
    assert imported == {_normalize(re.split("[>=]", each)[0]) for each in declared}


def _find_distribution(module: str) -> str | None:
    """Return the distribution that installed a module, or the module of an attribute."""
    name = module
    while name:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and spec.origin in _INSTALLED:
            return _INSTALLED[str(spec.origin)]
        name = name.rpartition(".")[0]
    assert module.partition(".")[0] in sys.stdlib_module_names, module
    return None


def _list_installed() -> Iterator[tuple[str, str]]:
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            yield str(distribution.locate_file(file)), distribution.metadata["Name"]


_INSTALLED = dict(_list_installed())


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
