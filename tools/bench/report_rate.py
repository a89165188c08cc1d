"""The time and memory of ``prestream report``, and the size of its page."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.local_cloud import ROOT

LINES: Final = 100_000
IMAGES: Final = 3_000
FEW: Final = 10_000
"""Lines of the run that memory is compared with."""

_MEGABYTE: Final = 1e6
_KIBIBYTE: Final = 1024

_PULL: Final = (
    '{"event": "pull.observed", "image": "docker.io/bench/app-%d:1", "mirror":'
    ' "us-docker.pkg.dev/demo/hub/bench/app-%d:1", "digest": null, "cluster":'
    ' "projects/demo/locations/us-central1/clusters/gpu", "cause": null, "workload":'
    ' "core/v1/namespaces/ml/pods/app-%d", "node": "node-%d", "node_pool": "l4-%d",'
    ' "accelerator": "nvidia-l4", "pull_seconds": %.3f, "image_bytes": 5032958897, "streamed":'
    ' "%s", "evidence": [{"kind": "pull", "text": "Successfully pulled image'
    ' \\"us-docker.pkg.dev/demo/hub/bench/app:1\\" in 4.299s (4.299s including waiting). Image'
    ' size: 5032958897 bytes.", "log": "projects/demo/logs/events", "insert_id": "event-%d"}],'
    ' "hint": null, "insertId": "pull.observed-%d", "timestamp": "%s"}\n'
)
_STREAM: Final = (
    '{"event": "stream.observed", "image": "docker.io/bench/app-%d:1", "mirror":'
    ' "us-docker.pkg.dev/demo/hub/bench/app-%d:1", "digest": null, "cluster":'
    ' "projects/demo/locations/us-central1/clusters/gpu", "cause": null, "node": "node-%d",'
    ' "layers": 12, "streamed_layers": 12, "insertId": "stream.observed-%d", "timestamp": "%s"}\n'
)
# Memory inherited from the parent counts in the usage that the system reports, but not
# in what it says of itself.
_COMMAND: Final = """
import atexit, re, sys
from pathlib import Path
from cli.__main__ import main

def print_usage():
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
    print(peak[1], file=sys.stderr)

atexit.register(print_usage)
main()
"""

_VERDICTS: Final = ("streamed", "streamed", "unknown", "not_streamed", "cached_on_node")


@dataclass(frozen=True, slots=True)
class ReportRate:
    """The result of reading."""

    lines: int
    seconds: float
    """Seconds of the whole command, from start to end."""
    peak_bytes: int
    peak_bytes_of_few: int
    """The result of a run over `FEW` lines."""
    page_bytes: int

    @property
    def lines_per_second(self) -> float:
        """How many lines the command reads in a second."""
        return self.lines / self.seconds

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return {**asdict(self), "lines_per_second": round(self.lines_per_second)}

    def __str__(self) -> str:
        return (
            f"prestream report: {self.lines:,} lines in {self.seconds:.1f} s,"
            f" {self.lines_per_second:,.0f} a second; at most"
            f" {self.peak_bytes / _MEGABYTE:.0f} MB, against"
            f" {self.peak_bytes_of_few / _MEGABYTE:.0f} MB for {FEW:,} lines; a page of"
            f" {self.page_bytes / _MEGABYTE:.1f} MB"
        )


def measure_report(lines: int = LINES) -> ReportRate:
    """
    Let the command read so many facts, and then few.

    Raises:
        RuntimeError: It did not count every pull.
    """
    with tempfile.TemporaryDirectory(prefix="prestream-bench-") as folder:
        file = Path(folder) / "facts.jsonl"
        _, few = _run(_write(file, FEW), FEW)
        seconds, peak = _run(_write(file, lines), lines)
        page_bytes = _page_of(file).stat().st_size
    return ReportRate(lines, seconds, peak, few, page_bytes)


def _page_of(file: Path) -> Path:
    return file.with_suffix(".html")


def _write(file: Path, lines: int) -> Path:
    with file.open("w", encoding="utf-8") as out:
        out.writelines(make_lines(lines))
    return file


def make_lines(lines: int) -> Iterator[str]:
    """Yield as many statements of nodes as pulls, each twenty on another node."""
    for number in range(lines):
        of, image, node = number // 2, number // 2 % IMAGES, number // 40
        moment = time.gmtime(1_790_000_000 + number)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
        if number % 2:
            yield _STREAM % (image, image, node, number, at)
            continue
        verdict = _VERDICTS[of % len(_VERDICTS)]
        took = (90.0 if verdict == "not_streamed" else 4.0) + of % 97 / 40
        pool = image % 4
        yield _PULL % (image, image, of, node, pool, took, verdict, number, number, at)


def _run(file: Path, lines: int) -> tuple[float, int]:
    """Run the command as a process of its own; return its seconds and the most that it held."""
    arguments = [sys.executable, "-c", _COMMAND, "report", str(file), "--json"]
    arguments += ["--html", str(_page_of(file))]
    started = time.perf_counter()
    ended = subprocess.run(
        arguments, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, check=False
    )
    seconds = time.perf_counter() - started
    if ended.returncode != 0 or json.loads(ended.stdout)["total"]["pulls"] != (lines + 1) // 2:
        raise RuntimeError(f"prestream report lost facts, or failed: {ended.stderr[-500:]!r}")
    return seconds, int(ended.stderr.split()[-1]) * _KIBIBYTE
