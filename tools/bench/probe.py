"""
A function in this process, and what each delivery makes the interpreter do.

``bench.probing`` runs it in the environment of what is deployed, in the folder of an unpacked
archive: ``python probe.py NAME``. Each line of standard input is the body of a push; each answer is
a line with ``probe`` in it, between the function's own.
"""

import json
import sys
from collections import Counter
from types import FrameType
from typing import Any

import functions_framework
from werkzeug.test import Client


def _send(client: Client, body: str) -> tuple[int, Counter[str]]:
    """Send a delivery; return its status, and how many functions were called on the way."""
    counted: Counter[str] = Counter()

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        counted[event] += 1

    sys.setprofile(count)
    try:
        answer = client.post("/", data=body, content_type="application/json")
    finally:
        sys.setprofile(None)
    return answer.status_code, counted


def _answer(**fields: Any) -> None:
    print(json.dumps({"probe": fields}), flush=True)


def _main() -> None:
    name = sys.argv[1]
    client = Client(functions_framework.create_app(f"handle_{name}", "main.py"))
    before = set(sys.modules)
    _answer(modules=sorted(before))
    for body in sys.stdin:
        status, counted = _send(client, body)
        now = set(sys.modules)
        _answer(
            status=status,
            modules=sorted(now - before),
            python_calls=counted["call"],
            python="{}.{}".format(*sys.version_info),
        )
        before |= now


if __name__ == "__main__":
    _main()
