"""The outcome of each case of the demo, read from facts and from the cluster."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.demo.case import Case

Payload = Mapping[str, Any]

_AROUND = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Result:
    """A case and its facts; None for a fact that is not written yet."""

    case: Case
    warmup: Payload | None = None
    second_pull: Payload | None = None
    verdict: str | None = None
    """Verdict of the second pull, from its fact or from the snapshotter of its node."""
    job: str | None = None
    """Name of the running warmup Job."""
    rewritten: str | None = None
    """The image that a pod pulls instead of the image of its Deployment."""

    @property
    def is_warm(self) -> bool:
        """Whether the warmup ended, well or not."""
        return self.warmup is not None

    @property
    def is_complete(self) -> bool:
        """Whether everything has been written that is to come."""
        return self.is_warm and (self.verdict == "streamed" or not self.case.streams)

    @property
    def faults(self) -> list[str]:
        """Differences from the expected outcome; usually empty."""
        if self.warmup is None:
            return ["no fact was written"]
        expected = {"outcome": self.case.outcome, "strategy": self.case.strategy}
        wrong = [
            f"{name} is {self.warmup[name]}, not {value}"
            for name, value in expected.items()
            if self.warmup[name] != value
        ]
        if not self.case.streams:
            return wrong
        if self.case.is_rewritten and self.rewritten != self.case.mirror:
            wrong.append(f"the second pod pulls {self.rewritten or self.case.image}")
        if self.second_pull is None:
            return [*wrong, "no second pull was observed"]
        if self.verdict != "streamed":
            wrong.append(f"the second pull was {self.verdict}")
        return wrong


def read_results(
    cases: Iterable[Case],
    facts: Iterable[Mapping[str, Any]],
    jobs: Mapping[str, str],
    rewritten: Mapping[str, str] | None = None,
) -> list[Result]:
    """
    Return a result for each case.

    Args:
        cases: The deployed cases.
        facts: Entries of the log of facts.
        jobs: Names of warmup Jobs by the name of the workload or build that caused them.
        rewritten: Rewritten images of pods, by the name of their Deployment.
    """
    entries, images = list(facts), rewritten or {}
    return [_read_result(case, entries, jobs, images.get(case.name)) for case in cases]


def caused_by(cause: Payload | None) -> str | None:
    """Return the name of the workload or build of a cause."""
    if not cause:
        return None
    if cause.get("kind") == "build":
        return str(cause["id"]).removeprefix("build-of-")
    return str(cause.get("resource") or "").rpartition("/")[2]


def jobs_by_cause(bodies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of warmup Jobs by the name of the workload or build that caused them."""
    jobs = {}
    for body in bodies:
        name = caused_by(json.loads(body["metadata"]["annotations"]["prestream.dev/cause"]))
        if name is not None:
            jobs[name] = body["metadata"]["name"]
    return jobs


def _read_result(
    case: Case,
    entries: list[Mapping[str, Any]],
    jobs: Mapping[str, str],
    rewritten: str | None,
) -> Result:
    warmup = second = verdict = None
    for entry in entries:
        payload = entry["jsonPayload"]
        if payload["event"] == "warmup.finished" and caused_by(payload["cause"]) == case.name:
            warmup = payload
        if payload["event"] == "pull.observed" and payload["mirror"] == case.mirror:
            second, verdict = payload, _join(entry, entries)
    return Result(case, warmup, second, verdict, jobs.get(case.name), rewritten)


def _join(pull: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> str:
    """
    Return the verdict on a pull, joined with reports of its node around that time.

    The report of the snapshotter may come in another message, after the fact of the pull.
    """
    payload = pull["jsonPayload"]
    for entry in entries:
        report = entry["jsonPayload"]
        if (
            report["event"] == "stream.observed"
            and (report["node"], report["mirror"]) == (payload["node"], payload["mirror"])
            and report["streamed_layers"] != 0
            and abs(_time(entry) - _time(pull)) <= _AROUND
        ):
            return "streamed"
    return str(payload["streamed"])


def _time(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["timestamp"])


def write_facts(facts: Iterable[Mapping[str, Any]], folder: Path) -> Path:
    """Write ``results.jsonl``: a line for each fact, its payload with insert id and timestamp."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for entry in facts:
            line = {
                **entry["jsonPayload"],
                "insertId": entry["insertId"],
                "timestamp": entry["timestamp"],
            }
            file.write(json.dumps(line) + "\n")
    return path
