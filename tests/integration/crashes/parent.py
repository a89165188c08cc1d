"""
Load the functions once, and fork an instance of one for each line of standard input.

It is run in a folder of unpacked archives, by an interpreter that has what is deployed and nothing
else. A fork takes milliseconds, a cold start more than a second.
"""

import gc
import importlib
import io
import json
import os
import pkgutil
import signal
import socket
import sys
from typing import Any

import functions_framework

_VENDORS = (
    "google.auth.transport.requests",
    "google.cloud.artifactregistry_v1",
    "google.cloud.logging_v2.client",
    "google.pubsub_v1.services.publisher",
    "grpc",
    "kubernetes.client",
    "requests",
)
"""Imports of an instance at its first message; none of them starts a thread."""


def main(names: list[str]) -> None:
    """Serve the functions of these names."""
    apps = {
        name: functions_framework.create_app(f"handle_{name}", f"{name}/main.py") for name in names
    }
    import shared

    ours = [each.name for each in pkgutil.walk_packages(shared.__path__, "shared.")]
    for module in (*_VENDORS, *ours):
        importlib.import_module(module)
    # Nothing waits for an instance that was killed.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := sys.stdin.readline():
        if os.fork() == 0:
            _serve(apps, **json.loads(line))
            os._exit(0)


def _serve(apps: dict[str, Any], name: str, address: str, environ: dict[str, str]) -> None:
    """Run an instance: read deliveries from a socket, one per line, until it is closed."""
    os.environ.update(environ)
    client = apps[name].test_client()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        stream = connection.makefile("rw", encoding="utf-8")
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        while line := stream.readline():
            sys.stdout = written = io.StringIO()
            answer = client.post("/", data=line, content_type="application/json")
            lines = written.getvalue().splitlines()
            stream.write(json.dumps({"status": answer.status_code, "lines": lines}) + "\n")
            stream.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
