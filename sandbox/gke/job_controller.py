"""The Job controller: suspension, retries, failure, deadline and completion."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.clock import Clock
from sandbox.gke.controller import (
    Controller,
    Key,
    controller_of,
    has_condition,
    is_active,
    is_deleting,
    is_finished,
    is_ready,
    key_of,
    make_condition,
    make_pod,
    merge_condition,
)
from sandbox.kubernetes.api import Api, ApiError
from sandbox.kubernetes.bodies import Body, dig, format_seconds, items


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a failed pod counts, and whether it fails the Job."""

    counts: bool = True
    failure: str | None = None
    """Why the Job fails; None if it goes on."""


def judge(job: Body, pod: Body) -> Judgement:
    """Apply the first rule that matches; a pod without a rule counts."""
    for index, rule in enumerate(items(job, "spec", "podFailurePolicy", "rules")):
        reason = _matches_exit_codes(rule, pod) or _matches_conditions(rule, pod)
        if reason is None:
            continue
        if rule["action"] == "FailJob":
            return Judgement(failure=f"{reason} matching FailJob rule at index {index}")
        return Judgement(counts=rule["action"] != "Ignore")
    return Judgement()


def _matches_exit_codes(rule: Body, pod: Body) -> str | None:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return None
    metadata = pod["metadata"]
    statuses = items(pod, "status", "initContainerStatuses") + items(
        pod, "status", "containerStatuses"
    )
    for status in statuses:
        code = dig(status, "state", "terminated", "exitCode")
        named = wanted.get("containerName") in (None, status["name"])
        if code and named and (code in wanted["values"]) is (wanted["operator"] == "In"):
            return (
                f"Container {status['name']} for pod {metadata['namespace']}/{metadata['name']} "
                f"failed with exit code {code}"
            )
    return None


def _matches_conditions(rule: Body, pod: Body) -> str | None:
    metadata = pod["metadata"]
    for wanted in rule.get("onPodConditions") or []:
        for condition in items(pod, "status", "conditions"):
            if (condition["type"], condition["status"]) == (
                wanted["type"],
                wanted.get("status", "True"),
            ):
                return (
                    f"Pod {metadata['namespace']}/{metadata['name']} has condition {wanted['type']}"
                )
    return None


FINALIZER = "batch.kubernetes.io/job-tracking"
"""It keeps a pod in the API until the Job has counted it."""
_BACKOFF_FIRST_S = 10.0
_BACKOFF_MOST_S = 600.0


@dataclass(slots=True)
class Tally:
    """The counted pods of one Job."""

    succeeded: int = 0
    failed: int = 0
    failure: str | None = None
    """Why the podFailurePolicy fails the Job."""
    last_failure: datetime | None = None
    counted: set[str] = field(default_factory=set)

    def count(self, job: Body, pods: Iterable[Body], now: datetime) -> None:
        """Count the tracked pods that ended since the last time."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid in self.counted or not is_tracked(pod):
                continue
            if dig(pod, "status", "phase") == "Succeeded":
                self.succeeded += 1
            elif is_finished(pod) or (is_deleting(pod) and not replaces_failed_only(job)):
                self.count_failure(job, pod, now)
            else:
                continue
            self.counted.add(uid)

    def count_failure(self, job: Body, pod: Body, now: datetime) -> None:
        """Count a pod that failed, according to the podFailurePolicy."""
        judgement = judge(job, pod)
        self.failure = self.failure or judgement.failure
        if judgement.counts:
            self.failed += 1
            self.last_failure = now

    def backoff_s(self, now: datetime) -> float:
        """Return how long to wait before the next pod, after pods that failed."""
        if not self.failed or self.last_failure is None:
            return 0.0
        delay = min(_BACKOFF_FIRST_S * 2.0 ** (self.failed - 1), _BACKOFF_MOST_S)
        return max(delay - (now - self.last_failure).total_seconds(), 0.0)


def is_tracked(pod: Body) -> bool:
    """Whether a pod still waits to be counted."""
    return FINALIZER in items(pod, "metadata", "finalizers")


def replaces_failed_only(job: Body) -> bool:
    """Whether a pod that is being deleted is replaced only once it has ended."""
    policy = dig(job, "spec", "podReplacementPolicy")
    has_rules = bool(items(job, "spec", "podFailurePolicy", "rules"))
    return policy == "Failed" or (policy is None and has_rules)


_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_UID_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")


class JobController(Controller):
    """Runs the pods of Jobs, one at a time: no Job of the sandbox needs parallelism."""

    component = "job-controller"
    kind = "Job"
    resource = "jobs.batch"

    def __init__(self, api: Api, clock: Clock) -> None:
        super().__init__(api, clock)
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)

    def find(self, key: Key) -> Body | None:
        """Return the Job, after freeing the pods of a Job of that name that is gone or going."""
        job = super().find(key)
        uid = job and job["metadata"]["uid"]
        namespace, name = key
        for pod in filter(is_tracked, self.api.list("pods", namespace)):
            owner = controller_of(pod)
            if owner is not None and owner["name"] == name and owner["uid"] != uid:
                self._free(pod)
        return job

    def sync(self, body: Body) -> None:
        """Count the pods that ended, and start, stop or finish."""
        now = self.clock.now()
        pods = self.pods_of(body)
        tally = self._tallies[body["metadata"]["uid"]]
        tally.count(body, pods, now)
        if not is_job_finished(body):
            failure = _failure(body, tally, now)
            if failure is not None:
                self._fail(body, pods, tally, failure)
            elif _is_complete(pods, tally):
                self._complete(body, pods, tally)
            else:
                self._manage(body, pods, tally)
        for pod in pods:
            if pod["metadata"]["uid"] in tally.counted and is_tracked(pod):
                self._free(pod)

    def _manage(self, body: Body, pods: list[Body], tally: Tally) -> None:
        if dig(body, "spec", "suspend"):
            self._suspend(body, pods, tally)
            return
        now = self.clock.now()
        status = _count(body, pods, tally)
        status.setdefault("startTime", format_seconds(now))
        was_suspended = has_condition(body, "Suspended")
        if was_suspended:
            resumed = self._condition("Suspended", "JobResumed", "Job resumed", is_true=False)
            status["conditions"] = merge_condition(status["conditions"], resumed)
            status["startTime"] = format_seconds(now)
        body = self.write_status(body, status)
        if was_suspended:
            self.events.normal(body, "Resumed", "Job resumed")
        self._plan_deadline(body, now)
        self._start_pod(body, pods, tally)

    def _suspend(self, body: Body, pods: list[Body], tally: Tally) -> None:
        for pod in filter(is_active, pods):
            self._free(pod)
            self.delete_pod(body, pod)
        status = _count(body, self.pods_of(body), tally)
        status.pop("startTime", None)
        was_suspended = has_condition(body, "Suspended")
        if not was_suspended:
            suspended = self._condition("Suspended", "JobSuspended", "Job suspended")
            status["conditions"] = merge_condition(status["conditions"], suspended)
        self.write_status(body, status)
        if not was_suspended:
            self.events.normal(body, "Suspended", "Job suspended")

    def _start_pod(self, body: Body, pods: list[Body], tally: Tally) -> None:
        waits = replaces_failed_only(body)
        if any(is_active(pod) or (waits and _is_terminating(pod)) for pod in pods):
            return
        delay_s = tally.backoff_s(self.clock.now())
        if delay_s > 0:
            self.queue.add(key_of(body), delay_s)
            return
        pod = make_pod(body, body["spec"]["template"], labels=_pod_labels(body))
        pod["metadata"]["finalizers"] = [FINALIZER]
        self.create_pod(body, pod)

    def _free(self, pod: Body) -> None:
        """Remove the finalizer of a pod, which is not counted any more."""
        namespace, name = key_of(pod)
        left = [each for each in items(pod, "metadata", "finalizers") if each != FINALIZER]
        changed = {"metadata": {"finalizers": left or None}}
        try:
            self.api.patch("pods", name, changed, namespace, user=self.user)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def _fail(self, body: Body, pods: list[Body], tally: Tally, failure: Body) -> None:
        for pod in filter(is_active, pods):
            tally.count_failure(body, pod, self.clock.now())
            self._free(pod)
            self.delete_pod(body, pod)
        left = self.pods_of(body)
        status = _count(body, left, tally)
        target = self._condition("FailureTarget", failure["reason"], failure["message"])
        status["conditions"] = merge_condition(status["conditions"], target)
        done = all(is_finished(pod) for pod in left)
        if done:
            failed = self._condition("Failed", failure["reason"], failure["message"])
            status["conditions"] = merge_condition(status["conditions"], failed)
        self.write_status(body, status)
        if done:
            self.events.warning(body, failure["reason"], failure["message"])

    def _complete(self, body: Body, pods: list[Body], tally: Tally) -> None:
        status = _count(body, pods, tally)
        for kind in ("SuccessCriteriaMet", "Complete"):
            condition = self._condition(
                kind, "CompletionsReached", "Reached expected number of succeeded pods"
            )
            status["conditions"] = merge_condition(status["conditions"], condition)
        status["completionTime"] = format_seconds(self.clock.now())
        status.setdefault("startTime", status["completionTime"])
        self.write_status(body, status)
        self.events.normal(body, "Completed", "Job completed")

    def _plan_deadline(self, body: Body, now: datetime) -> None:
        left_s = _left_s(body, now)
        if left_s is not None:
            self.queue.add(key_of(body), max(left_s, 0.0))

    def _condition(self, kind: str, reason: str, message: str, *, is_true: bool = True) -> Body:
        condition = make_condition(kind, self.clock.now(), reason, message, is_true=is_true)
        return condition | {"lastProbeTime": condition["lastTransitionTime"]}


def is_job_finished(body: Body) -> bool:
    """Whether a Job has ended, well or not."""
    return has_condition(body, "Complete") or has_condition(body, "Failed")


def _failure(body: Body, tally: Tally, now: datetime) -> Body | None:
    """Return why a Job fails, once decided for good."""
    for condition in items(body, "status", "conditions"):
        if condition["type"] == "FailureTarget" and condition["status"] == "True":
            decided: Body = condition
            return decided
    if tally.failure is not None:
        return {"reason": "PodFailurePolicy", "message": tally.failure}
    if tally.failed > body["spec"].get("backoffLimit", 6):
        return {
            "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
        }
    left_s = _left_s(body, now)
    if left_s is not None and left_s <= 0:
        return {
            "reason": "DeadlineExceeded",
            "message": "Job was active longer than specified deadline",
        }
    return None


def _left_s(body: Body, now: datetime) -> float | None:
    """Return the seconds to the deadline; None without one, and while the Job is suspended."""
    deadline_s = dig(body, "spec", "activeDeadlineSeconds")
    started = dig(body, "status", "startTime")
    if deadline_s is None or started is None or dig(body, "spec", "suspend"):
        return None
    return float(deadline_s) - (now - datetime.fromisoformat(started)).total_seconds()


def _is_complete(pods: list[Body], tally: Tally) -> bool:
    is_left = any(is_active(pod) or _is_terminating(pod) for pod in pods)
    return tally.succeeded > 0 and not is_left


def _is_terminating(pod: Body) -> bool:
    return is_deleting(pod) and not is_finished(pod)


def _count(body: Body, pods: list[Body], tally: Tally) -> Body:
    """Return the Job's status with its numbers renewed."""
    status = dict(body.get("status") or {})
    active = [pod for pod in pods if is_active(pod)]
    numbers = {
        "active": len(active),
        "ready": sum(is_ready(pod) for pod in active),
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "terminating": sum(_is_terminating(pod) for pod in pods),
    }
    for name, number in numbers.items():
        status.pop(name, None)
        if number or name in ("ready", "terminating"):
            status[name] = number
    status["uncountedTerminatedPods"] = {}
    status["conditions"] = items(status, "conditions")
    return status


def _pod_labels(body: Body) -> Body:
    metadata = body["metadata"]
    named: Body = dict.fromkeys(_LABELS, metadata["name"])
    return named | dict.fromkeys(_UID_LABELS, metadata["uid"])
