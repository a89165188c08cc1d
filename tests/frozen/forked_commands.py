"""
Run command lines in children of one interpreter, because most of a short one is imports.

Standard input is a JSON list of ``{"folder", "environ", "arguments"}``; ``standard_input`` is a
file in the folder, and the output of each goes to ``stdout`` and ``stderr`` beside the folder.
Standard output is a JSON list of exit codes.
"""

import contextlib
import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run each command line in a child, one after the other."""
    runs = json.load(sys.stdin)
    importlib.import_module("cli.app")
    codes = [_fork(run) for run in runs]
    sys.stdout.write(json.dumps(codes))


def _fork(run: dict[str, Any]) -> int:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(run)
            sys.argv = ["prestream", *run["arguments"]]
            runpy.run_module("cli", run_name="__main__")
        finally:
            os.write(writing, json.dumps(sorted(sys.modules)).encode())
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        imported = json.loads(pipe.read() or b"[]")
    _, status = os.waitpid(child, 0)
    for name in imported:
        # The next child finds it, and need not import it again.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return os.waitstatus_to_exitcode(status)


def _become(run: dict[str, Any]) -> None:
    folder = Path(run["folder"])
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(run["environ"])
    for descriptor, name in enumerate((run["standard_input"] or os.devnull, "", "")):
        path = folder / name if descriptor == 0 else folder.with_suffix(f".{descriptor}")
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(path, flags), descriptor)


if __name__ == "__main__":
    main()
