"""Warmup Jobs, as the API server describes them."""

from collections.abc import Mapping
from typing import Any

Job = dict[str, Any]


def annotation(job: Job, name: str) -> str | None:
    """Return an annotation of Prestream's."""
    found: dict[str, str] = job["metadata"].get("annotations") or {}
    return found.get(f"prestream.dev/{name}")


def is_finished(job: Job) -> bool:
    """Whether a Job has ended, well or not."""
    conditions = job.get("status", {}).get("conditions") or []
    return any(
        each["type"] in {"Complete", "Failed"} and each["status"] == "True" for each in conditions
    )


def is_end_of(entry: Mapping[str, Any], uid: str) -> bool:
    """Whether a log entry reports that the Job of a uid has ended."""
    event = entry.get("jsonPayload", {})
    ends = {"Completed", "DeadlineExceeded", "BackoffLimitExceeded"}
    return event.get("reason") in ends and event["involvedObject"].get("uid") == uid


def is_reported(job: Job) -> bool:
    """Whether a Job says that its fact is written."""
    return annotation(job, "reported") is not None


def is_running(job: Job) -> bool:
    """Whether a Job has its turn."""
    return not job["spec"].get("suspend") and not is_finished(job)
