"""A function as the Functions Framework serves it, with what it is wired to replaced."""

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import functions_framework

Line = Callable[[], dict[str, Any]]
"""Returns the only line that was logged since the last call."""

FUNCTIONS = Path(__file__).parents[2] / "functions"

CLOUD_EVENT_HEADERS = {
    "ce-id": "m-1",
    "ce-source": "//pubsub.googleapis.com/projects/demo/topics/t",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
}


class ServedFunction:
    """Takes deliveries in both forms, and answers with the HTTP status."""

    def __init__(self, name: str, wiring: Mapping[str, Any]) -> None:
        source = FUNCTIONS / name / "main.py"
        app = functions_framework.create_app(f"handle_{name}", str(source))
        # The framework loads the source as a module of its own, called "main".
        main = vars(sys.modules["main"])
        for attribute, make in wiring.items():
            if hasattr(type(main.get("wiring")), attribute):
                main["wiring"] = replaced(main["wiring"], attribute, make)
        self.http = app.test_client()

    def push(self, data: Any, **message: Any) -> int:
        """Deliver a message as a push subscription does."""
        return self.post(envelope(data, **message))

    def push_cloud_event(self, data: Any, **message: Any) -> int:
        """Deliver the same message as an event in binary mode, as Eventarc does."""
        return self.post(envelope(data, **message), headers=CLOUD_EVENT_HEADERS)

    def post(self, body: Any, *, headers: Mapping[str, str] | None = None) -> int:
        """Deliver a body of any form."""
        return int(self.http.post("/", json=body, headers=dict(headers or {})).status_code)


def replaced(wiring: Any, attribute: str, make: Callable[[], Any]) -> Any:
    """Return a wiring that makes one of its services differently."""
    kind = type(wiring)
    return type(kind.__name__, (kind,), {attribute: property(lambda _: make())})(os.environ)


@contextmanager
def served(name: str, **wiring: Any) -> Iterator[ServedFunction]:
    """Serve a function, and put the module back that was called ``main`` before."""
    before = sys.modules.get("main")
    try:
        yield ServedFunction(name, wiring)
    finally:
        sys.modules.pop("main", None)
        if before is not None:
            sys.modules["main"] = before


def envelope(data: Any, **message: Any) -> dict[str, Any]:
    """Return the body of a delivery; bytes are sent as they are, all else as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    fields = {
        "data": base64.b64encode(raw).decode(),
        "messageId": "m-1",
        "publishTime": datetime.now(UTC).isoformat(),
        **message,
    }
    return {"message": fields, "subscription": "projects/demo/subscriptions/s"}
