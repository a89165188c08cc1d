"""
The report of a failed pull, an eviction or the scheduler, kept on the Job that it ends.

Kubernetes deletes events, and the pod is deleted with the end of the Job. The reason must still be
known when the fact is written.
"""

import json
from collections.abc import Mapping
from typing import Any

from shared.domain.cluster_event import ImagePullFailed, Origin, PodEvicted, PodUnschedulable
from shared.domain.json_access import field_at, mapping_of
from shared.domain.pull_failure import classify_pull_failure
from shared.domain.timestamp import format_time, parse_time

REFUSAL_ANNOTATION = "prestream.dev/refusal"

Refusal = ImagePullFailed | PodEvicted | PodUnschedulable

_MAX_MESSAGE = 2_000


def write_refusal(report: Refusal) -> str:
    """Return the annotation with a report."""
    origin = report.origin
    return json.dumps(
        {
            "pod": origin.name,
            "podUid": origin.uid,
            "fieldPath": origin.field_path,
            "node": origin.node,
            "time": format_time(origin.timestamp),
            "image": report.image if isinstance(report, ImagePullFailed) else None,
            "message": origin.message[:_MAX_MESSAGE],
            "log": origin.log,
            "insertId": origin.insert_id,
            **({"unscheduled": True} if isinstance(report, PodUnschedulable) else {}),
        }
    )


def read_refusal(job: Mapping[str, Any], *, cluster: str) -> list[Refusal]:
    """Return the report on a Job; empty if it is missing or unreadable."""
    text = field_at(job, ["metadata", "annotations", REFUSAL_ANNOTATION])
    try:
        kept = mapping_of(json.loads(text or "null"))
        image = kept["image"]
        origin = Origin(
            cluster=cluster,
            kind="Pod",
            name=kept["pod"],
            uid=kept["podUid"],
            field_path=kept["fieldPath"],
            node=kept["node"],
            timestamp=parse_time(kept["time"]),
            message=kept["message"],
            log=kept["log"],
            insert_id=kept["insertId"],
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    if not all(isinstance(each, str) for each in (origin.name, origin.message, image or "")):
        return []
    if kept.get("unscheduled"):
        return [PodUnschedulable(origin)]
    failure = classify_pull_failure(origin.message)
    return [ImagePullFailed(origin, image, failure) if image else PodEvicted(origin, failure)]
