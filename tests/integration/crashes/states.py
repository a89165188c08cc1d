"""The state that functions may change, in a form that two runs can be compared by."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.local_cloud import FACT_LOG, PROJECT, LocalCloud
from sandbox.messaging import REFERENCES, SCHEDULE

_VOLATILE = ("creationTimestamp", "managedFields", "resourceVersion", "uid", "generation")
"""Fields of an object that depend on when and how often it was written."""

_QUEUED = "prestream.dev/queued"
_SPENT = "prestream.dev/spent-bytes"

State = dict[str, Any]
"""By kind, then by name."""


def read_state(cloud: LocalCloud, known_uids: Iterable[str]) -> State:
    """
    Return the state of a cloud.

    Args:
        cloud: A frozen cloud.
        known_uids: The uids of the Jobs that existed before; all other uids are masked.
    """
    known = set(known_uids)
    api, registry = cloud.kubernetes.api, cloud.artifact_registry
    jobs = [_job(each, known) for each in api.list("jobs.batch", "prestream")]
    return {
        "jobs": {each["metadata"]["name"]: each for each in jobs},
        "config maps": {
            each["metadata"]["name"]: _object(each) for each in api.list("configmaps", "prestream")
        },
        "repositories": {
            name: {key: value for key, value in each.items() if key != "updateTime"}
            for name, each in registry.repositories.items()
        },
        "prewarmed": {
            f"{each['uri']} in {each['location']}": each
            for name in registry.repositories
            for each in registry.prewarmed(name)
        },
        "facts": _facts(cloud),
        "references": _messages(cloud, REFERENCES),
        "ticks": _messages(cloud, SCHEDULE),
    }


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return where two states differ, one line for each place."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in differences(before.get(key), after.get(key), f"{path}/{key}")
        ]
    return [] if before == after else [f"{path}: {str(before)[:300]} -> {str(after)[:300]}"]


def _object(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in body["metadata"].items() if name not in _VOLATILE}
    return {**body, "metadata": metadata}


def _job(body: dict[str, Any], known_uids: set[str]) -> dict[str, Any]:
    uid = body["metadata"]["uid"]
    job = _object(body)
    job["metadata"]["is_new"] = uid not in known_uids
    # The time of the request comes from the clock of the machine.
    annotations = job["metadata"].get("annotations", {})
    annotations.pop(_QUEUED, None)
    # A delivery that is killed between the deletion of a Job and the creation of the next forgets
    # the bytes that the first one moved.
    annotations.pop(_SPENT, None)
    text = json.dumps(job)
    renamed: dict[str, Any] = json.loads(text if uid in known_uids else text.replace(uid, "UID"))
    return renamed


def _facts(cloud: LocalCloud) -> dict[str, Any]:
    """Return the facts by insert ID, as a query returns them."""
    found: dict[str, Any] = {}
    for entry in cloud.logging.query(f'logName="{FACT_LOG}"'):
        payload = dict(entry["jsonPayload"])
        if payload.get("not_before") is not None:
            # Counted from the refusal, by the clock of the machine.
            payload["not_before"] = "a time"
        assert entry["insertId"] not in found, f"a fact of two times: {entry}"
        found[entry["insertId"]] = {"at": entry["timestamp"], **payload}
    return found


def _messages(cloud: LocalCloud, topic: str) -> dict[str, bool]:
    """Return the messages that were published at least once."""
    assert cloud.pubsub is not None
    messages = cloud.pubsub.messages(f"projects/{PROJECT}/topics/{topic}")
    return {
        json.dumps([json.loads(each.data or b"{}"), sorted(each.attributes.items())]): True
        for each in messages
    }
