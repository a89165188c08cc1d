"""Instances of a function: processes that start quickly and can be killed at any moment."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARENT = Path(__file__).with_name("parent.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a delivery."""

    status: int
    lines: list[dict[str, Any]]
    """The lines that the function wrote during it."""

    @property
    def is_acknowledged(self) -> bool:
        """Whether the message is settled."""
        return 200 <= self.status < 300


class Instance:
    """One process of a function; it takes deliveries one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rw", encoding="utf-8")
        self._pid = int(self._stream.readline())
        self._is_dead = False

    def deliver(self, envelope: Mapping[str, Any]) -> Answer | None:
        """Deliver a message, and return the answer; None if the process died before it."""
        if self._is_dead:
            return None
        try:
            self._stream.write(json.dumps(envelope) + "\n")
            self._stream.flush()
            line = self._stream.readline()
        except OSError:
            line = ""
        if not line:
            self._is_dead = True
            return None
        answer = json.loads(line)
        return Answer(answer["status"], [json.loads(each) for each in answer["lines"]])

    def kill(self) -> None:
        """Kill it, as if its machine failed."""
        if self._is_dead:
            return
        # Only once: after that, another process may have this id.
        self._is_dead = True
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End it if it still runs."""
        self._stream.close()
        self._connection.close()


class Functions:
    """
    The functions from their archives, loaded once; ``instance`` forks a process for deliveries.

    The functions share one process, so ``shared`` is the union of the archives.
    """

    def __init__(self, archives: Path, python: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="functions-")
        folder = Path(self._folder.name)
        names = []
        for archive in sorted(archives.glob("*.zip")):
            names.append(archive.stem)
            with zipfile.ZipFile(archive) as content:
                content.extractall(folder)
            (folder / archive.stem).mkdir()
            (folder / "main.py").rename(folder / archive.stem / "main.py")
        self._address = str(folder / "instances")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._address)
        self._listener.listen()
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [str(python), "-u", str(PARENT), *names],
            cwd=folder,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": self._folder.name,
                "GOOGLE_CLOUD_PROJECT": "demo",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Wait until all functions are loaded."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    @contextmanager
    def instance(self, name: str, environ: Mapping[str, str]) -> Iterator[Instance]:
        """Start a fresh instance of a function."""
        assert self._process.stdin is not None
        order = {"name": name, "address": self._address, "environ": dict(environ)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        connection, _ = self._listener.accept()
        instance = Instance(connection)
        try:
            yield instance
        finally:
            instance.kill()
            instance.close()

    def stop(self) -> None:
        """Stop, and remove the unpacked archives."""
        self._process.kill()
        self._process.communicate()
        self._listener.close()
        self._folder.cleanup()
