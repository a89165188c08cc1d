"""The ConfigMap of the proven mirrors, and pulls that failed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.cluster_event import ImagePullFailed, Origin
from shared.domain.image_reference import parse_reference
from shared.domain.pull_failure import classify_pull_failure
from shared.pipeline.track_proven import FAILURES_ANNOTATION, CountedFailure, MirrorPull
from tests.fakes.clusters import GPU_CLUSTER

HUB = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
DENIED = (
    f'Failed to pull image "{HUB}/anyscale/ray-ml:2.7.0": rpc error: code = Unknown desc = failed'
    f' to resolve reference "{HUB}/anyscale/ray-ml:2.7.0": unexpected status from HEAD request to'
    " https://us-central1-docker.pkg.dev/v2/demo/dockerhub-mirror/anyscale/ray-ml/manifests/2.7.0:"
    " 403 Forbidden"
)
UNAVAILABLE = f'Failed to pull image "{HUB}/anyscale/ray-ml:2.7.0": 502 Bad Gateway'
ABSENT = (
    f'Failed to pull image "{HUB}/anyscale/ray-ml:9": rpc error: code = NotFound desc = failed to'
    f' pull and unpack image "{HUB}/anyscale/ray-ml:9": {HUB}/anyscale/ray-ml:9: not found'
)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
RAY, VLLM = "anyscale/ray-ml", "vllm/vllm-openai"
BEFORE = NOON - timedelta(minutes=1)
OTHER_IMAGE = {"pod-1": CountedFailure(BEFORE, VLLM)}
SAME_IMAGE = {"pod-1": CountedFailure(BEFORE, RAY)}
NOW_COUNTED = {"pod-3": CountedFailure(NOON, RAY)}
PULL = MirrorPull(parse_reference("docker.io/anyscale/ray-ml:2.7.0"), HUB, ())


def make_config_map(
    entry: str | None = None, failures: Mapping[str, CountedFailure] | str | None = None
) -> dict[str, Any]:
    """Return the ConfigMap with an entry for docker.io and the pods that count against it."""
    data = {"quay.io": "off"} | ({} if entry is None else {"docker.io": entry})
    metadata: dict[str, Any] = {"resourceVersion": "7"}
    if failures is not None:
        text = failures
        if not isinstance(text, str):
            text = json.dumps({"docker.io": write_counted(text)})
        metadata["annotations"] = {FAILURES_ANNOTATION: text}
    return {"metadata": metadata, "data": data}


def write_counted(failures: Mapping[str, CountedFailure]) -> dict[str, str]:
    return {pod: str(each) for pod, each in failures.items()}


def make_failure(pod: str = "pod-3", message: str = DENIED, at: datetime = NOON) -> ImagePullFailed:
    origin = Origin(
        cluster=str(GPU_CLUSTER),
        kind="Pod",
        name=pod,
        namespace="ml",
        uid=pod,
        timestamp=at,
        message=message,
    )
    return ImagePullFailed(origin, f"{HUB}/anyscale/ray-ml:2.7.0", classify_pull_failure(message))
