"""Run the demo: ``make demo``, or ``make demo KUBECONFIG=…`` for a cluster of one's own."""

import os
import sys
from pathlib import Path

from rich.console import Console

from sandbox.demo.local_run import run_locally
from sandbox.demo.own_cluster import run_on_own_cluster

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Return the exit status: 0 only if every outcome is the expected one."""
    console = Console()
    build = ROOT / "build"
    # The demo is an entry point, so it reads the environment.
    kubeconfig = os.environ.get("KUBECONFIG")  # noqa: TID251
    if kubeconfig:
        return run_on_own_cluster(console, build, Path(kubeconfig))
    return run_locally(console, build)


if __name__ == "__main__":
    sys.exit(main())
