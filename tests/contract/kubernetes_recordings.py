"""Recorded requests to a kube-apiserver: how they are repeated, and how two answers compare."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jsonpatch

Body = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "golden" / "kubernetes-1.36"
TOPICS = tuple(sorted(file.stem for file in FOLDER.glob("*.json") if file.stem != "admission"))

_PLACEHOLDER = re.compile(r"\{(uid|version|continue|suffix):(\d+)\}|\{(time)\}")
_REPEATED = re.compile(r"\(?(.)(?:, | \()(\d+) times\)")
_FORMS = {
    "uid": r"[0-9a-f]{8}-[0-9a-f-]{27}",
    "version": r"\d+",
    "continue": r"[-_=A-Za-z0-9]+",
    "suffix": "[a-z0-9]{5}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
}
OMITTED = "{…}"
_TEXT_IGNORED = (400, 406, 415, 422, 500)
_HEADERS = ("warning", "retry-after", "www-authenticate")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; a body that is not JSON is text, and that of a watch a list of events."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Server(Protocol):
    """An API server to send recorded requests to."""

    def send(
        self, method: str, path: str, user: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Send a request as ``admin``, ``nobody`` (without credentials) or another user."""

    def compact(self) -> None:
        """Forget the history, so that older continue tokens expire."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its recorded answer; without an answer, it only prepares later ones."""

    name: str
    request: Mapping[str, Any]
    answer: Answer | None
    kept: Mapping[str, str]
    """Placeholders that a preparing request gives a value: path in the answer to placeholder."""


@dataclass(slots=True)
class Values:
    """The values that placeholders have in one run."""

    known: dict[str, str] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """Replace placeholders; one without a value yet gets one that no object has."""
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        return self.known.get(match[0]) or example(match[0])

    def matches(self, recorded: str, actual: str) -> bool:
        """Whether a text is as recorded; placeholders get their values here."""
        pattern, names = "", []
        position = 0
        for match in _PLACEHOLDER.finditer(recorded):
            pattern += re.escape(recorded[position : match.start()])
            position = match.end()
            kind = match[1] or match[3]
            known = self.known.get(match[0])
            if known is not None:
                pattern += re.escape(known)
            else:
                pattern += f"({_FORMS[kind]})"
                names.append(match[0])
        found = re.fullmatch(pattern + re.escape(recorded[position:]), actual, re.DOTALL)
        if found is None:
            return False
        self.known |= {
            name: value
            for name, value in zip(names, found.groups(), strict=True)
            if name != "{time}"
        }
        return True


def example(text: str) -> str:
    """Return a recorded text with a value for each placeholder, the same for the same name."""
    forms = {
        "uid": "{:08d}-0000-4000-8000-000000000000",
        "version": "{}",
        "continue": "token-{}",
        "suffix": "{:05d}",
    }
    return _PLACEHOLDER.sub(
        lambda match: forms[match[1]].format(int(match[2])) if match[1] else "2026-01-01T00:00:00Z",
        text,
    )


def read_topic(topic: str) -> list[Exchange]:
    """Return the exchanges of a topic, in order: later requests build on earlier ones."""
    data = json.loads((FOLDER / f"{topic}.json").read_text())
    return list(_exchanges(data["exchanges"], data["bodies"]))


def _exchanges(listed: list[dict[str, Any]], bodies: dict[str, Any]) -> Iterator[Exchange]:
    for each in listed:
        if "request" not in each:
            yield Exchange(each["name"], {}, None, {})
            continue
        request = each["request"] | _body(each["request"], bodies)
        answer = None
        if response := each.get("response"):
            body = _body(response, bodies).get("body", "")
            answer = Answer(response["status"], response["headers"], body)
        yield Exchange(each["name"], request, answer, each.get("keep", {}))


def _body(part: Mapping[str, Any], bodies: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body, or make it from one that it differs from in few places."""
    if "change" in part:
        change = part["change"]
        made = jsonpatch.apply_patch(copy.deepcopy(bodies[change["of"]]), change["by"])
        return {"body": lengthen(made)}
    return {"body": lengthen(part["body"])} if "body" in part else {}


def lengthen(value: Any) -> Any:
    """Write out long texts, which are recorded as ``(a, 300000 times)``."""
    if isinstance(value, str):
        return _REPEATED.sub(lambda match: match[1] * int(match[2]), value)
    if isinstance(value, list):
        return [lengthen(each) for each in value]
    if isinstance(value, dict):
        return {lengthen(key): lengthen(each) for key, each in value.items()}
    return value


def run_topic(topic: str, server: Server) -> dict[str, list[str]]:
    """Repeat a topic's requests; returns what differs from the recording, by exchange."""
    values = Values()
    differences: dict[str, list[str]] = {}
    for exchange in read_topic(topic):
        if exchange.name == "compaction":
            server.compact()
            continue
        if not exchange.request:
            continue
        actual = _send(server, exchange.request, values)
        if exchange.answer is not None:
            found = list(compare(exchange.answer, actual, values))
            if found:
                differences[exchange.name] = found
            continue
        for path, placeholder in exchange.kept.items():
            values.known[placeholder] = _at(actual.body, path)
        if actual.status >= 400:
            differences[f"{exchange.name} {exchange.request['path']}"] = [str(actual.body)]
    return differences


def _send(server: Server, request: Mapping[str, Any], values: Values) -> Answer:
    body = request.get("body")
    sent = None
    if body is not None:
        text = body if isinstance(body, str) else json.dumps(body)
        sent = values.fill(text).encode()
    path = values.fill(request["path"])
    return server.send(request["method"], path, request["user"], request["headers"], sent)


def _at(body: Any, path: str) -> str:
    for key in path.split("."):
        body = body[key]
    return str(body)


def compare(recorded: Answer, actual: Answer, values: Values) -> Iterator[str]:
    """
    Yield the differences between an answer and the recorded one.

    An absent field equals an empty value. Three things are not compared: ``managedFields``, the
    status of a Job, because controllers write it, and the text of refusals whose code or causes
    distinguish them.
    """
    if actual.status != recorded.status:
        yield f"status: {recorded.status} -> {actual.status}"
        return
    for name in _HEADERS:
        old, new = recorded.headers.get(name, ""), actual.headers.get(name, "")
        if not values.matches(old, new):
            yield f"{name}: {old!r} -> {new!r}"
    if recorded.body != OMITTED:
        yield from _differences("", recorded.body, actual.body, values)


def _differences(path: str, recorded: Any, actual: Any, values: Values) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(actual, dict):
        yield from _of_objects(path, recorded, actual, values)
    elif isinstance(recorded, list) and isinstance(actual, list):
        yield from _of_lists(path, recorded, actual, values)
    elif isinstance(recorded, str) and isinstance(actual, str):
        if not values.matches(recorded, actual):
            yield f"{path}: {recorded!r} -> {actual!r}"
    elif recorded != actual:
        yield f"{path}: {recorded!r} -> {actual!r}"


def _of_lists(path: str, recorded: list[Any], actual: list[Any], values: Values) -> Iterator[str]:
    if not path:
        recorded, actual = _without_repeats(recorded), _without_repeats(actual)
    if len(recorded) != len(actual):
        yield f"{path}: {len(recorded)} items -> {len(actual)} items"
    for index, (old, new) in enumerate(zip(recorded, actual, strict=False)):
        yield from _differences(f"{path}[{index}]", old, new, values)


def _of_objects(path: str, recorded: Body, actual: Body, values: Values) -> Iterator[str]:
    if "metadata" in recorded and "uid" not in recorded["metadata"]:
        actual = _shortened(recorded, actual)
    skipped = set(_uncompared(path, recorded))
    for key in recorded | actual:
        where = f"{path}.{key}".removeprefix(".")
        old, new = recorded.get(key) or None, actual.get(key) or None
        if key in skipped or old == new:
            continue
        if key == "metadata" and old == {"managedFields": "{managedFields}"}:
            continue
        if key == "causes" and old and new:
            old, new = _fields_of(old), _fields_of(new)
        if old is None or new is None:
            yield f"{where}: {old!r} -> {new!r}"
        else:
            yield from _differences(where, old, new, values)


def _shortened(recorded: Body, actual: Body) -> Body:
    """Keep the recorded fields: items of lists and events of watches are recorded in short."""
    if "uid" not in actual.get("metadata", {}):
        return actual
    metadata = actual["metadata"]
    kept = {key: metadata[key] for key in recorded["metadata"] if key in metadata}
    return {key: actual[key] for key in recorded if key in actual} | {"metadata": kept}


def _without_repeats(events: list[Body]) -> list[Body]:
    """Keep the last of adjacent MODIFIED events: controllers write a Job several times."""
    return [
        event
        for event, later in zip(events, [*events[1:], {}], strict=False)
        if not event.get("type") == later.get("type") == "MODIFIED"
    ]


def _fields_of(causes: list[Body]) -> list[Body]:
    """Return the distinct fields of causes, sorted: the API server repeats some of them."""
    pairs = {(cause.get("field", ""), cause.get("reason", "")) for cause in causes}
    return [{"field": field, "reason": reason} for field, reason in sorted(pairs)]


def _uncompared(path: str, recorded: Body) -> Iterator[str]:
    yield from ("managedFields", "storageVersionHash", "serverAddressByClientCIDRs")
    if "backoffLimit" in recorded.get("spec", {}):
        yield "status"
    if recorded.get("code") in _TEXT_IGNORED or "field" in recorded:
        yield "message"
    if recorded.get("details") == {}:
        yield "details"
    if not path and "columnDefinitions" in recorded:
        yield "columnDefinitions"
