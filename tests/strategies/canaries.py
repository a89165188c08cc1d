"""
Put a canary into every text that must not be passed on, and check that none gets out.

The list names the fields that may be passed on; a new field must be added to it before it is
logged. All other fields, known or unknown, may hold texts of users: names, addresses, secrets.
"""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import strategies as st

from tests.strategies.breaking import Path, at, break_value, breaks, walk

CANARY = "cnry"
"""In every canary, and in nothing else."""

_CLUSTER = ["resource/type", "resource/labels/*"]
_IMAGES = ["*/image", "*/reference"]
TOLD: Mapping[str, Sequence[str]] = {
    "audit_log": [
        "insertId",
        *_CLUSTER,
        "protoPayload/serviceName",
        "protoPayload/methodName",
        "protoPayload/resourceName",
        *_IMAGES,
        # The listed keys of the placement.
        "*/nodeSelector/cloud.google.com/*",
        "*/tolerations/*",
        "*/resources/*/nvidia.com/gpu",
    ],
    "build_notification": ["id", "name", "status", "results/images/*"],
    "image_reference": [
        "image",
        "cluster",
        "platform",
        "cause/*",
        "placement/tolerations/*",
        "placement/nodeSelector/cloud.google.com/*",
    ],
    "pull_event": [
        "insertId",
        "logName",
        "timestamp",
        *_CLUSTER,
        "jsonPayload/reason",
        "jsonPayload/involvedObject/*",
        "jsonPayload/source/*",
        "jsonPayload/reporting*",
        "jsonPayload/metadata/name",
        "jsonPayload/metadata/uid",
        "jsonPayload/*Time*",
        "jsonPayload/series/*",
        # Texts of the kubelet and the snapshotter about a pull; other texts are canaries.
        "jsonPayload/message:pull",
        "jsonPayload/MESSAGE:pull",
        "textPayload:pull",
    ],
    "registry_push": ["action", "digest", "tag"],
    "scheduled_sweep": ["cluster"],
}
_PULLS = ("pull", "Back-off", "Image ", "image ", "Layer download")


def secret_fields() -> dict[str, Any]:
    """Return what people write beside the image of a container."""
    return {
        "env": [{"name": f"{CANARY}-NAME", "value": f"{CANARY}-password"}],
        "envFrom": [{"secretRef": {"name": f"{CANARY}-secret"}}],
        "command": ["sh", "-c", f"login --token={CANARY}"],
        "args": [f"--password={CANARY}"],
        "lifecycle": {"preStop": {"exec": {"command": [CANARY]}}},
    }


def canaried(name: str, shapes: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Return messages of a function full of canaries, most of them broken as well."""
    return st.builds(
        lambda shape, mask, broken, hidden: _hide(
            break_value(plant(shape, TOLD[name], mask), broken), hidden
        ),
        st.sampled_from(shapes),
        st.one_of(st.just(-1), st.integers(0, 2**64 - 1)),
        st.lists(breaks(), max_size=3),
        st.one_of(st.none(), st.none(), st.tuples(st.integers(0, 10**9), st.integers(0, 3))),
    )


def plant(shape: Any, told: Sequence[str], mask: int = -1) -> Any:
    """
    Return a message with canaries in all fields that must not be passed on.

    Args:
        shape: The message.
        told: Patterns over the paths of fields that may be passed on.
        mask: Which of the texts are replaced; all, by default. New fields always come in.
    """
    value = copy.deepcopy(shape)
    number = itertools.count()
    for path in list(walk(value)):
        part = at(value, path)
        if isinstance(part, dict):
            if "image" in part:
                part |= secret_fields()
            part[f"{CANARY}-{next(number)}"] = f"{CANARY}@people.example"
        elif isinstance(part, str) and path and not _may_be_told(path, part, told):
            bit = next(number)
            if mask >> (bit % 64) & 1:
                at(value, path[:-1])[path[-1]] = f"{CANARY}-{bit}@people.example 192.0.2.1"
    return value


def _may_be_told(path: Path, text: str, told: Sequence[str]) -> bool:
    where = "/".join(str(name) for name in path)
    wheres = [where]
    if any(word in text for word in _PULLS):
        wheres.append(f"{where}:pull")
    return any(fnmatchcase(each, pattern) for each in wheres for pattern in told)


def _hide(value: Any, hidden: tuple[int, int] | None) -> Any:
    """Let a part be of another type, with a canary within: an error may not repeat it."""
    paths = [path for path in walk(value) if path]
    if hidden is None or not paths:
        return value
    path = paths[hidden[0] % len(paths)]
    forms: list[Any] = [[CANARY], {"a": CANARY}, {CANARY: 1}, [[{CANARY: CANARY}]]]
    at(value, path[:-1])[path[-1]] = forms[hidden[1]]
    return value


def list_canaries(texts: Sequence[str]) -> Iterator[str]:
    """Yield the text around each canary in some texts."""
    for text in texts:
        if (place := text.find(CANARY)) >= 0:
            yield text[max(0, place - 200) : place + 100]
