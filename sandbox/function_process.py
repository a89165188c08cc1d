"""A function in its own process, and one address in front of several such processes."""

import itertools
import json
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlsplit

Line = dict[str, Any]

_START_S = 60.0
_STOP_S = 10.0


class FunctionProcess:
    """
    Unpacks an archive into an empty folder and serves it there, as Google would.

    ``python`` is an interpreter in whose environment only the archive's requirements are
    installed. ``lines`` are the JSON lines that the function wrote; other lines become
    ``{"text": …}``.
    """

    def __init__(
        self, archive: Path, folder: Path, *, python: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = archive.stem
        self.lines: list[Line] = []
        self._folder = folder
        self._python = python
        self._environ = dict(environ)
        self._written = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._port = _free_port()
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)

    @property
    def url(self) -> str:
        """The push endpoint."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def pid(self) -> int:
        """Id of the serving process, for measurements."""
        if self._process is None:
            raise RuntimeError(f"function {self.name} is not started")
        return self._process.pid

    def start(self) -> Self:
        """Start serving, and return at once; ``wait_until_ready`` waits."""
        command = [
            str(self._python.with_name("functions-framework")),
            "--source=main.py",
            f"--target=handle_{self.name}",
            f"--port={self._port}",
            "--host=127.0.0.1",
        ]
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            cwd=self._folder,
            env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **self._environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C ends the cloud, which then stops its functions
        )
        output = self._process.stdout
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()
        return self

    def wait_until_ready(self) -> None:
        """
        Wait until it accepts connections.

        Raises:
            RuntimeError: It ended, or did not within a minute; the message has its last lines.
        """
        due = time.monotonic() + _START_S
        while time.monotonic() < due:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1.0).close()
            except OSError:
                with self._written:
                    self._written.wait(0.05)
            else:
                return
        raise RuntimeError(f"function {self.name} does not serve: {self.lines[-5:]}")

    def wait_for_line(self, matches: Callable[[Line], bool], timeout_s: float) -> Line | None:
        """Wait for a line that matches, and return it; None if none came in time."""

        def find() -> Line | None:
            return next((line for line in self.lines if matches(line)), None)

        with self._written:
            return self._written.wait_for(find, timeout_s)

    def stop(self) -> None:
        """Stop serving, and remove the folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None and self._reader is not None:
                self._reader.join()
                self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, output: IO[str] | None) -> None:
        for text in output or ():
            try:
                line = json.loads(text)
            except ValueError:
                line = {"text": text.rstrip("\n")}
            with self._written:
                self.lines.append(line if isinstance(line, dict) else {"text": text})
                self._written.notify_all()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


_POLL_S = 0.05
_CHUNK = 64 * 1024


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


class LoadBalancer:
    """Gives each connection to the next instance; a push is a connection of its own."""

    def __init__(self, urls: Sequence[str]) -> None:
        addresses = itertools.cycle([_address(url) for url in urls])
        lock = threading.Lock()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with lock:
                    chosen = next(addresses)
                # An instance that ended refuses; the push has no answer then, and is repeated.
                with suppress(OSError), closing(socket.create_connection(chosen)) as instance:
                    _join(self.request, instance)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), daemon=True
        )

    @property
    def url(self) -> str:
        """The push endpoint."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def start(self) -> Self:
        """Begin to take connections."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def _join(client: socket.socket, instance: socket.socket) -> None:
    """Pass bytes both ways until the instance closes its side."""
    sender = threading.Thread(target=_copy, args=(client, instance), daemon=True)
    sender.start()
    _copy(instance, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
