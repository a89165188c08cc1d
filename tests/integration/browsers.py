"""A browser without a window, driven over its debugging protocol, to see what a page does in it."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import websocket

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ANSWER_S: Final = 60.0


def find_browser() -> str | None:
    """Return the path of a browser that is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(slots=True)
class Browser:
    """One page of a browser, with its messages and requests."""

    socket: websocket.WebSocket
    messages: list[str] = field(default_factory=list)
    """Messages of the console, and uncaught errors."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **parameters: object) -> Mapping[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._receive())
            if message.get("id") == number:
                assert "error" not in message, message
                result: Mapping[str, Any] = message["result"]
                return result

    def open(self, page: Path, *, width: int, scheme: str = "light") -> None:
        """Open a page, and wait until its pictures are drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=page.as_uri())
        while json.loads(self._receive()).get("method") != "Page.loadEventFired":
            pass
        self.run(
            "new Promise(done => { const look = () => document.documentElement.dataset.ready"
            " === 'yes' ? done() : requestAnimationFrame(look); look(); })"
        )

    def run(self, script: str) -> Any:
        """Run a script in the page, and return what it comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, as on a keyboard."""
        code = {"Enter": 13, "Tab": 9}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **text,
            )

    def _receive(self) -> str:
        text = str(self.socket.recv())
        self._note(json.loads(text))
        return text

    def _note(self, message: Mapping[str, Any]) -> None:
        details = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(str([each.get("value") for each in details["args"]]))
            case "Runtime.exceptionThrown":
                self.messages.append(str(details["exceptionDetails"]))
            case "Log.entryAdded":
                self.messages.append(details["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(details["request"]["url"])


@contextmanager
def open_browser(program: str, folder: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own, and end it."""
    process = subprocess.Popen(  # noqa: S603  # a browser that was found on this machine
        [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-port=0",
            "--remote-allow-origins=*",
            f"--user-data-dir={folder}",
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        socket = websocket.create_connection(_address_of_page(process, folder), timeout=_ANSWER_S)
        try:
            yield Browser(socket)
        finally:
            socket.close()
    finally:
        process.terminate()
        process.wait(_ANSWER_S)


def _address_of_page(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    """Return the address of the first page, once the browser has written down its port."""
    import requests

    port_file = folder / "DevToolsActivePort"
    due = time.monotonic() + _ANSWER_S
    while time.monotonic() < due and process.poll() is None:
        if port_file.exists() and (text := port_file.read_text()).count("\n"):
            pages = requests.get(f"http://127.0.0.1:{text.split()[0]}/json", timeout=10).json()
            for page in pages:
                if page["type"] == "page":
                    address: str = page["webSocketDebuggerUrl"]
                    return address
        time.sleep(0.02)
    raise AssertionError("the browser did not start")
