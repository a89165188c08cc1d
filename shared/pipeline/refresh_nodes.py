"""
Read again which nodes lack an image, when a warmup that waited in the queue is resumed.

The scheduling fields of a suspended Job may change until it starts:
https://kubernetes.io/docs/concepts/workloads/controllers/job/#mutable-scheduling-directives
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.domain.image_reference import (
    Digest,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.job_state import JobState
from shared.domain.json_access import field_at, mapping_of, number_of
from shared.domain.ladder import AllNodesHoldError, Rung, Strategy, WantedImage, serve_rung
from shared.domain.node import Node
from shared.domain.placement import SCALING_PRIORITY_CLASS, Toleration
from shared.domain.warmup_job import (
    DIGEST_ANNOTATION,
    HOLDING_ANNOTATION,
    IMAGE_ANNOTATION,
    LACKING_ANNOTATION,
    MIRROR_ANNOTATION,
    SIZE_ANNOTATION,
    STRATEGY_ANNOTATION,
    make_node_affinity,
)

if TYPE_CHECKING:
    from shared.pipeline.ports import ClusterApi


def read_node_patch(cluster: "ClusterApi", state: JobState) -> Mapping[str, Any]:
    """
    Return the patch that updates the nodes of a waiting warmup; empty if nothing changes.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    pod = mapping_of(field_at(state.body, ("spec", "template", "spec")))
    # On Autopilot a warmup names no nodes.
    if not field_at(pod, ("affinity", "nodeAffinity")):
        return {}
    selector = mapping_of(pod.get("nodeSelector"))
    listed = cluster.list_nodes(",".join(f"{key}={value}" for key, value in selector.items()))
    return plan_node_patch(state.body, [Node.from_body(each) for each in listed])


def plan_node_patch(body: Mapping[str, Any], nodes: list[Node]) -> Mapping[str, Any]:
    """
    Return the patch of a Job for the nodes that match its selector now.

    If every node holds the image, the warmup runs on any of them and ends as ``already_present``.
    """
    annotations = mapping_of(field_at(body, ("metadata", "annotations")))
    strategy = _choose_nodes(body, annotations, nodes)
    if strategy is None:
        affinity: dict[str, Any] = {}
        holding = tuple(node.name for node in nodes)[:20]
        lacking: tuple[str, ...] = ()
    else:
        affinity = make_node_affinity(strategy)
        holding, lacking = strategy.avoided_nodes, strategy.lacking_nodes
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    changed = {required: affinity.get(required)}
    return {
        "metadata": {
            # Only in the version read: a Job that has been resumed keeps its template.
            "resourceVersion": field_at(body, ("metadata", "resourceVersion")),
            "annotations": {
                HOLDING_ANNOTATION: ",".join(holding),
                LACKING_ANNOTATION: ",".join(lacking),
            },
        },
        "spec": {"template": {"spec": {"affinity": {"nodeAffinity": affinity | changed}}}},
    }


def _choose_nodes(
    body: Mapping[str, Any], annotations: Mapping[str, str], nodes: list[Node]
) -> Strategy | None:
    """Return the nodes as a new warmup would choose them; None if every node holds the image."""
    pod = field_at(body, ("spec", "template", "spec"))
    rung = Rung(
        name=annotations.get(STRATEGY_ANNOTATION, ""),
        node_selector=pod.get("nodeSelector") or {},
        tolerations=tuple(map(Toleration.from_json, pod.get("tolerations") or ())),
        needs_node=False,
        may_add_node=pod.get("priorityClassName") == SCALING_PRIORITY_CLASS,
    )
    names = (annotations.get(key, "") for key in (IMAGE_ANNOTATION, MIRROR_ANNOTATION))
    image = WantedImage(
        Digest(annotations.get(DIGEST_ANNOTATION, "")),
        number_of(annotations.get(SIZE_ANNOTATION)),
        frozenset(filter(None, map(_repository_of, names))),
    )
    try:
        return serve_rung(rung, nodes, image, platform=None)
    except AllNodesHoldError:
        return None


def _repository_of(image: str) -> str | None:
    try:
        return parse_reference(image).name
    except InvalidReferenceError:
        return None
