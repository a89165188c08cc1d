"""What a Job's podFailurePolicy says of a failed pod."""

from dataclasses import dataclass

from sandbox.kubernetes.bodies import Body, dig, items


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
