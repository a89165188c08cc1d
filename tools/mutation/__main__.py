"""``python -m tools.mutation``: test a sample of mutants, and write what survived."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.mutation.results import describe, read_mutants, summarize, write
from tools.mutation.workspace import choose_sample, list_mutants, make_workspace

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "mutation"
WORKSPACE = BUILD / "workspace"
SEED = 11


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate mutants, test a sample of them, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutation")
    parser.add_argument("--sample", type=int, default=1000, help="mutants to test (default: 1000)")
    parser.add_argument("--processes", type=int, default=2, help="at a time (default: 2)")
    options = parser.parse_args(arguments)
    make_workspace(ROOT, WORKSPACE)
    names = list_mutants(WORKSPACE)
    sample = choose_sample(names, options.sample, SEED)
    test(sample, options.processes)
    summary = summarize(read_mutants(WORKSPACE, sample), len(names))
    write(summary, BUILD)
    print(f"{describe(summary)}; survivors: {BUILD}/mutation.txt")
    return 0


def test(sample: Sequence[str], processes: int) -> None:
    """Run mutmut, with its output in `mutmut.log`; raises CalledProcessError when it fails."""
    mutmut = Path(sys.executable).with_name("mutmut")
    command = [str(mutmut), "run", "--max-children", str(processes), *sample]
    # The order of tests and the examples of Hypothesis are the same in every run.
    environment = os.environ | {"PYTHONHASHSEED": "0", "CI": "true"}
    with (BUILD / "mutmut.log").open("w") as log:
        subprocess.run(command, cwd=WORKSPACE, env=environment, check=True, stdout=log, stderr=log)


if __name__ == "__main__":
    sys.exit(main())
