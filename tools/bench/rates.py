"""How many deliveries a function answers in a second, once it is warm."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sandbox.function_process import FunctionProcess
from tools.bench.measuring import FailedDeliveryError, sum_cpu_s

SENDERS: Final = 4
"""Deliveries under way at once: the concurrency of an instance, as Terraform sets it."""

_TIMEOUT_S = 60.0
_READ_BYTES = 65_536
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Rate:
    """The result of a period of sending."""

    deliveries: int
    seconds: float
    cpu_s: float
    """Memory of the function's process and its children."""

    @property
    def per_second(self) -> float:
        """Deliveries answered in a second."""
        return self.deliveries / self.seconds


def measure_rate(
    process: FunctionProcess, bodies: Sequence[bytes], *, seconds: float | None, senders: int
) -> Rate:
    """
    Send deliveries over connections that are kept, each sender one after the other.

    Args:
        process: A function that serves.
        bodies: The bodies to send.
        seconds: How long, from the first body on again and again; None to send each once.
        senders: How many at once.

    Raises:
        FailedDeliveryError: One was answered with an error.
    """
    source = iter(bodies) if seconds is None else itertools.cycle(bodies)
    lock = threading.Lock()
    started = time.perf_counter()
    due = None if seconds is None else started + seconds
    before = sum_cpu_s(process.pid)

    def take() -> bytes | None:
        if due is not None and time.perf_counter() >= due:
            return None
        with lock:
            return next(source, None)

    with ThreadPoolExecutor(senders) as pool:
        sent = list(pool.map(lambda _: _send(process, take), range(senders)))
    taken = time.perf_counter() - started
    return Rate(sum(sent), taken, sum_cpu_s(process.pid) - before)


def _send(process: FunctionProcess, take: Callable[[], bytes | None]) -> int:
    """Send as long as there is something to send; a socket of our own costs the least time."""
    address = urlsplit(process.url)
    count = 0
    with socket.create_connection((address.hostname, address.port), _TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (body := take()) is not None:
            connection.sendall(
                b"POST / HTTP/1.1\r\nHost: function\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            status = _read_answer(connection, process)
            if status >= 400:  # noqa: PLR2004
                raise FailedDeliveryError(f"{process.name} answered {status}: {process.lines[-3:]}")
            count += 1
    return count


def _read_answer(connection: socket.socket, process: FunctionProcess) -> int:
    content = b""
    while _END not in content:
        content += _receive(connection, process)
    head, _, body = content.partition(_END)
    lines = head.lower().split(b"\r\n")
    length = next(int(each.partition(b":")[2]) for each in lines if b"content-length:" in each)
    missing = length - len(body)
    while missing > 0:
        missing -= len(_receive(connection, process))
    return int(head.split()[1])


def _receive(connection: socket.socket, process: FunctionProcess) -> bytes:
    content = connection.recv(_READ_BYTES)
    if not content:
        raise FailedDeliveryError(f"{process.name} closed a connection: {process.lines[-3:]}")
    return content
