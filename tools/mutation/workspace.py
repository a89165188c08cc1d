"""A copy of the project in which mutmut works, and a reproducible sample of its mutants."""

import contextlib
import random
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

PACKAGES = ("shared/domain", "shared/messages", "shared/pipeline", "shared/clients")
"""The packages to mutate."""
TESTS = ("tests/unit", "tests/contract", "shared")
"""The tests that decide, doctests included, except those that `fast_tests` skips."""
CODE_READING_TESTS = (
    "test_calls_of_the_client_are_listed",
    "test_calls_of_all_clients_are_tried",
    "test_every_library_that_is_imported_is_named_in_a_contract",
)
"""Tests that read code instead of running it: they would find the mutated copies."""


def make_workspace(root: Path, workspace: Path) -> None:
    """Copy the files that git tracks or could track, and configure mutmut."""
    shutil.rmtree(workspace, ignore_errors=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name and (root / name).is_file()]
    for name in names:
        target = workspace / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target)
    configuration = ConfigParser()
    configuration["mutmut"] = make_configuration({name.split("/")[0] for name in names})
    with (workspace / "setup.cfg").open("w") as file:
        configuration.write(file)


def make_configuration(copied: set[str]) -> dict[str, str]:
    """Return the settings of mutmut; each list has one item a line."""
    left_out = " and ".join(f"not {name}" for name in ("__mutmut", *CODE_READING_TESTS))
    plugin = ("-p", "tools.mutation.fast_tests", "-p", "no:cacheprovider")
    # A skip can leave a socket open.
    warnings = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")
    return {
        "source_paths": "\n".join(PACKAGES),
        "also_copy": "\n".join(sorted(copied)),
        "pytest_add_cli_args": "\n".join((*plugin, *warnings)),
        "pytest_add_cli_args_test_selection": "\n".join((*TESTS, "-k", left_out)),
        # Each mutant starts in a process that has imported the tests but has run none: caches are
        # empty.
        "process_isolation": "forkserver",
        "track_dependencies": "false",
        "use_git_change_detection": "false",
    }


def list_mutants(workspace: Path) -> list[str]:
    """Return the names of all mutants, in a stable order."""
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    names: list[str] = []
    # mutmut reads its settings from the current folder.
    with contextlib.chdir(workspace):
        for package in PACKAGES:
            for path in sorted(Path(package).rglob("*.py")):
                mutated = mutate_file_contents(str(path), path.read_text())
                names += [get_mutant_name(path, name) for name in mutated.mutant_names]
    return names


def choose_sample(names: list[str], size: int, seed: int) -> list[str]:
    """Return a reproducible sample, or all names if there are fewer."""
    return random.Random(seed).sample(names, min(size, len(names)))  # noqa: S311
