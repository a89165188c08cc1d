"""Pods that show what events report about them."""

import json
import re
from typing import Any

from tests.fakes.clusters import Body, FakeCluster
from tests.fakes.warmups import MIRRORS

_PART = re.compile(r"spec\.(?P<list>\w+)\{(?P<name>[^}]+)\}")
_IMAGE = re.compile(r'image "(?P<name>[^"]+)"')
ORIGINALS = "prestream.dev/original-images"


def reflect(cluster: FakeCluster, event: Body, *, rewritten: bool = True) -> Body | None:
    """
    Let the pod of an event show what it reports; None if the event is not about a pod.

    A pod that does not exist is placed. By default, our policy rewrote its image at a mirror.
    """
    about = event["involvedObject"]
    if about["kind"] != "Pod":
        return None
    pod = _find(cluster, about) or cluster.place(_make_pod(event))
    image = _IMAGE.search(event["message"])
    part = _PART.fullmatch(about.get("fieldPath") or "")
    status = pod.setdefault("status", {})
    if event["reason"] == "Evicted":
        status |= {"phase": "Failed", "reason": "Evicted", "message": event["message"]}
    elif image is not None and part is not None:
        _use_image(pod, part, image["name"])
        if rewritten and image["name"].startswith(MIRRORS):
            original = image["name"].removeprefix(f"{MIRRORS}/")
            notes = pod["metadata"].setdefault("annotations", {})
            notes[ORIGINALS] = json.dumps({image["name"]: original})
        if event["message"].startswith("Failed to pull"):
            _wait(pod, part, image["name"], event["message"].partition('": ')[2])
    return pod


def _find(cluster: FakeCluster, about: Body) -> Body | None:
    names = (about["namespace"], about["name"])
    found = (
        pod
        for pod in cluster.pods
        if (pod["metadata"]["namespace"], pod["metadata"]["name"]) == names
    )
    return next(found, None)


def _make_pod(event: Body) -> Body:
    about = event["involvedObject"]
    metadata = {key: about[key] for key in ("name", "namespace", "uid")}
    node = event["source"].get("host")
    spec = {"nodeName": node} if node else {}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def _use_image(pod: Body, part: re.Match[str], image: str) -> None:
    containers = pod["spec"].setdefault(part["list"], [])
    if not any(each["image"] == image for each in containers):
        containers.append({"name": part["name"], "image": image})


def _wait(pod: Body, part: re.Match[str], image: str, error: str) -> None:
    waiting = {"reason": "ErrImagePull", "message": error}
    status: dict[str, Any] = {"name": part["name"], "image": image, "imageID": ""}
    kind = f"{part['list'].removesuffix('s')}Statuses"
    pod["status"] |= {"phase": "Pending", kind: [{**status, "state": {"waiting": waiting}}]}
