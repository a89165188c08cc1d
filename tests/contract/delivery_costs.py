"""
Measure one delivery to a fresh instance: ``python -m tests.contract.delivery_costs NAME FILE``.

The file is the body of the delivery. The result includes the state of the process before: its code,
and what a first small message left.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import psutil

from tests.fakes.deployments import World, deployed
from tests.strategies.envelopes import envelope


def main(name: str, path: str) -> None:
    """Deliver the body, and print what became of it and what it cost."""
    os.environ |= {"GOOGLE_CLOUD_PROJECT": "demo", "PRESTREAM_CONFIG": os.devnull}
    with deployed(name) as function:
        world = World()
        function.deliver(envelope(b"{}"), world=world)
        body = Path(path).read_bytes()
        before = psutil.Process().memory_info().rss
        start = time.process_time()
        settled, _ = function.deliver(body, world=world)
        costs = {
            "status": settled.status,
            "line": settled.line,
            "bytes": _peak_bytes() - before,
            "seconds": round(time.process_time() - start, 2),
        }
    sys.stdout.write(json.dumps(costs))


def _peak_bytes() -> int:
    """Return the most that this process held; what the system counts holds its parent's as well."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
