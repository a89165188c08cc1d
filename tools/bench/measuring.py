"""Measure one cold start: from the start of the process to its first answer, and what it holds."""

import http.client
import re
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from sandbox.function_process import FunctionProcess

_ANSWER_S = 60.0
_KIBIBYTE = 1024
_PAUSE_S = 0.005
"""Between two attempts to connect; it bounds the error of a measured time."""


class FailedDeliveryError(Exception):
    """A delivery did not end as its scenario demands, so that its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one process: of its cold start, and of what it does once it is warm."""

    cold_start_s: float
    """From before the process is made to the whole answer to its first delivery."""
    pss_bytes: int
    """Proportional set size of the process and its children, after that answer."""
    rate: float = 1.0
    """Deliveries a second, once it is warm."""
    cpu_s: float = 1.0
    """Seconds of a processor that each of those took."""
    cold_cpu_s: float = 1.0
    """Seconds of a processor until the first answer: a busy machine does not change them much."""


def measure(process: FunctionProcess, body: bytes) -> Sample:
    """
    Start a function, send it one delivery, and measure; the process is left running.

    Raises:
        FailedDeliveryError: It does not serve, or answers with an error.
    """
    started = time.perf_counter()
    process.start()
    status = post(process, body)
    cold_start_s = time.perf_counter() - started
    if status >= http.client.BAD_REQUEST:
        raise FailedDeliveryError(f"{process.name} answered {status}: {process.lines[-3:]}")
    return Sample(cold_start_s, sum_pss(process.pid), cold_cpu_s=sum_cpu_s(process.pid))


def post(process: FunctionProcess, body: bytes, timeout_s: float = _ANSWER_S) -> int:
    """
    Post a delivery as soon as the function accepts connections; return the answer's status.

    Raises:
        FailedDeliveryError: It ended, or did not serve within a minute.
    """
    address = urlsplit(process.url).netloc
    due = time.monotonic() + _ANSWER_S
    while time.monotonic() < due and _is_running(process.pid):
        connection = http.client.HTTPConnection(address, timeout=timeout_s)
        try:
            connection.connect()
        except OSError:
            time.sleep(_PAUSE_S)
            continue
        headers = {"Content-Type": "application/json", "Connection": "close"}
        try:
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as exc:
            raise FailedDeliveryError(f"{process.name} gave no answer: {exc}") from exc
        finally:
            connection.close()
        return answer.status
    raise FailedDeliveryError(f"{process.name} does not serve: {process.lines[-5:]}")


def peak_bytes(pid: int) -> int:
    """Return the most that a process, or the largest of its children, ever held."""
    parent = psutil.Process(pid)
    return max(map(_peak_of, (parent, *parent.children(recursive=True))))


def _peak_of(process: psutil.Process) -> int:
    text = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return int(found[1]) * _KIBIBYTE if found else 0


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def sum_cpu_s(pid: int) -> float:
    """Return the seconds of a processor that a process and its children have taken."""
    parent = psutil.Process(pid)
    times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def sum_pss(pid: int) -> int:
    """Return the memory of a process and its children, what several share counted once."""
    parent = psutil.Process(pid)
    members = [parent, *parent.children(recursive=True)]
    return sum(int(member.memory_full_info().pss) for member in members)
