"""The result of each function for each recorded message: status, disposition line, calls."""

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from google.pubsub_v1 import PublishRequest

from sandbox.function_process import FunctionProcess
from tests.frozen.masking import mask
from tests.frozen.messages import MESSAGES
from tests.frozen.recording_proxy import Call
from tests.frozen.stage import NOW, Delivered, Stage, open_stage

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tools" / "fuzz" / "corpus"
EVENTS = ROOT / "tests" / "events"
FILE = Path(__file__).parent / "deliveries.json"

SOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "audit_log": ("audit_logs", ("audit-", "filter-audit-")),
    "build_notification": ("builds", ("build-",)),
    "image_reference": ("reference_messages", ()),
    "pull_event": ("node_events", ("events-", "filter-event-", "filter-line-")),
    "registry_push": ("pushes", ("push-",)),
    "scheduled_sweep": ("ticks", ()),
}
"""By function: a folder of the corpus, and how the names of its payloads begin."""

_DRY_RUN = "dry_run: true\n"
_PREWARM = "ladder: [prewarm-api, any-node]\nclusters: [gpu]\n"
_FULL = "max_running: 1\nnamespace_budget: 1\nplacement_keys: []\n"
VARIANTS: Mapping[str, tuple[str, str]] = {
    "image_reference, dry_run": ("image_reference", _DRY_RUN),
    "pull_event, dry_run": ("pull_event", _DRY_RUN),
    "scheduled_sweep, dry_run": ("scheduled_sweep", _DRY_RUN),
    "image_reference, prewarm-api": ("image_reference", _PREWARM),
    "scheduled_sweep, prewarm-api": ("scheduled_sweep", _PREWARM),
    "image_reference, full queue": ("image_reference", _FULL),
}
"""A function that receives our own messages again, under other settings."""

GROUPS = (*SOURCES, *VARIANTS)

_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARYING_LINE = ("time", "message", "logging.googleapis.com/")


def record(archives: Path, python: Path) -> dict[str, Any]:
    """Deliver every message to its function, and return the results by function and message."""
    with open_stage(archives, python) as stage, ExitStack() as stack:
        processes = {}
        for group in GROUPS:
            # They start while the ones before them are at work.
            processes[group] = stage.start(*VARIANTS.get(group, (group, "")))
            stack.callback(processes[group].stop)
        return {group: _deliver_all(stage, group, each) for group, each in processes.items()}


def _deliver_all(stage: Stage, group: str, process: FunctionProcess) -> dict[str, Any]:
    process.wait_until_ready()
    function, _ = VARIANTS.get(group, (group, ""))
    bodies = _list_bodies(group, stage) if group in SOURCES else _list_messages(function, stage)
    return {name: _describe(stage, stage.deliver(process, body)) for name, body in bodies}


def _list_bodies(function: str, stage: Stage) -> Iterator[tuple[str, bytes]]:
    folder, prefixes = SOURCES[function]
    for path in sorted((CORPUS / folder).iterdir()):
        yield f"corpus/{path.name}", _wrap(path.read_bytes())
    for path in sorted(EVENTS.glob("*.json")):
        if path.name.startswith(prefixes or ("none",)):
            entry = _place(json.loads(path.read_text("utf-8")), stage.uids)
            yield f"payloads/{path.stem}", _wrap(json.dumps(entry).encode())
    yield from _list_messages(function, stage)
    for path in sorted((CORPUS / "envelopes").iterdir()):
        yield f"envelopes/{path.name}", path.read_bytes()
    if function == "scheduled_sweep":
        yield "payloads/schedule-envelope", (EVENTS / "schedule-envelope.json").read_bytes()


def _list_messages(function: str, stage: Stage) -> Iterator[tuple[str, bytes]]:
    for name, message in MESSAGES[function].items():
        placed = _place(copy.deepcopy(message), stage.uids)
        yield f"messages/{name}", _wrap(json.dumps(placed).encode())


def _wrap(data: bytes) -> bytes:
    message = {
        "data": base64.b64encode(data).decode(),
        "messageId": "m-1",
        "publishTime": NOW.isoformat(),
    }
    return json.dumps(
        {"message": message, "subscription": "projects/demo/subscriptions/s"}
    ).encode()


def _place(entry: Any, uids: Mapping[str, str]) -> Any:
    """Let an event be about the object of that name in the cluster, unless its uid is ``other``."""
    about = entry.get("jsonPayload", {}).get("involvedObject") if isinstance(entry, dict) else None
    if about:
        resource = {"Job": "jobs.batch", "Pod": "pods", "Node": "nodes"}[about["kind"]]
        subject = f"{resource}/{about.get('namespace', '')}/{about['name']}"
        if about.get("uid") != "other" and subject in uids:
            about["uid"] = uids[subject]
    return entry


def _describe(stage: Stage, delivered: Delivered) -> dict[str, Any]:
    named = {fixed: subject for subject, fixed in stage.uids.items()}

    def rename(text: str) -> str:
        return _RANDOM.sub(lambda match: named.get(match[0], "UUID"), text)

    line = _describe_line(delivered.line, rename) if delivered.line else None
    calls = [_describe_call(call, rename) for call in delivered.calls]
    return {"status": delivered.status, "line": line, "calls": calls}


def _describe_line(line: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """Return a disposition line; reasons of errors are prose, those of outcomes are not."""
    described = {
        key: mask(value, rename, key)
        for key, value in sorted(line.items())
        if not key.startswith(_VARYING_LINE)
    }
    if described["disposition"] not in {"handled", "ignored"} and "reason" in described:
        described["reason"] = "*"
    return described


def _describe_call(call: Call, rename: Callable[[str], str]) -> dict[str, Any]:
    if call.method == "GRPC":
        return {"call": f"{call.service} {call.path}", "body": _read_publish(call.body, rename)}
    parts = urlsplit(rename(call.path))
    query = "&".join(f"{key}={value}" for key, value in sorted(parse_qsl(parts.query)))
    text = f"{call.service} {call.method} {parts.path}{'?' if query else ''}{query}"
    described: dict[str, Any] = {"call": f"{text} {call.status}"}
    if call.body:
        described["body"] = mask(json.loads(call.body), rename)
    return described


def _read_publish(body: bytes, rename: Callable[[str], str]) -> Any:
    request = PublishRequest.deserialize(body)
    messages = [
        {"data": json.loads(each.data), "attributes": dict(each.attributes)}
        for each in request.messages
    ]
    return mask({"topic": request.topic, "messages": messages}, rename)
