"""Find workloads that pull from an upstream although its mirror is proven, and the reason."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from shared.domain.action import WriteFact
from shared.domain.fact import Fact, Subject, make_fact
from shared.domain.json_access import field_at, text_of
from shared.domain.mirror_reference import OPT_IN
from shared.errors import ConfigurationError
from shared.pipeline.sweep.due import Sweep

if TYPE_CHECKING:
    from shared.pipeline.ports import WorkloadApi

_RESTARTED = frozenset({"deployments", "statefulsets", "daemonsets"})
"""The kinds that ``kubectl rollout restart`` knows."""


BypassReason = Literal["not_labelled", "old_pods"]
"""The namespace lacks the label, or it has the label and the pods are older."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorBypassed:
    """A workload runs an upstream image although its mirror is proven in the cluster."""

    subject: Subject
    at: datetime
    period: str
    """The period; the fact is written once in each."""
    workloads: tuple[str, ...] = ()
    reason: BypassReason | None = None
    """Why the pods were not rewritten; None if it is unknown."""
    hint: str | None = None

    def as_fact(self) -> Fact:
        """Return the fact."""
        key = [self.subject.cluster, self.subject.image, self.period]
        fields = {
            **self.subject.as_json(),
            "workloads": list(self.workloads),
            "reason": self.reason,
            "hint": self.hint,
        }
        return make_fact("mirror.bypassed", key, fields, self.at, "WARNING")


def read_opted_in(cluster: "WorkloadApi") -> frozenset[str] | None:
    """
    Return the namespaces whose new pods are rewritten; None if we may not list namespaces.

    Earlier versions of the manifests do not grant this right.

    Raises:
        TransientError: The cluster is unavailable.
    """
    key, value = OPT_IN
    try:
        return frozenset(
            text_of(field_at(each, ("metadata", "name"))) or ""
            for each in cluster.list_objects("v1", "namespaces")
            if field_at(each, ("metadata", "labels", key)) == value
        )
    except ConfigurationError:
        return None


def plan_bypasses(sweep: Sweep, opted_in: Collection[str] | None) -> tuple[WriteFact, ...]:
    """Return a fact for each image that runs from its upstream although its mirror is proven."""
    facts = (
        _make_fact(sweep, name, mirror, workloads, opted_in)
        for (name, mirror), workloads in sweep.inventory.bypassing.items()
    )
    return tuple(WriteFact(each.as_fact()) for each in facts)


def _make_fact(
    sweep: Sweep,
    name: str,
    mirror: str,
    workloads: Sequence[str],
    opted_in: Collection[str] | None,
) -> MirrorBypassed:
    reason: BypassReason | None = None
    if opted_in is not None:
        outside = [each for each in workloads if _namespace_of(each) not in opted_in]
        reason, workloads = ("not_labelled", outside) if outside else ("old_pods", workloads)
    return MirrorBypassed(
        subject=Subject(image=name, mirror=mirror, cluster=str(sweep.cluster), cause=sweep.cause),
        at=sweep.day,
        period=sweep.day.date().isoformat(),
        workloads=tuple(workloads),
        reason=reason,
        hint=_make_hint(reason, workloads),
    )


def _make_hint(reason: BypassReason | None, workloads: Sequence[str]) -> str:
    """Return the fix, with the command for the first workload."""
    namespace = _namespace_of(workloads[0])
    label = f"`kubectl label namespace {namespace} {'='.join(OPT_IN)}`"
    restart = _restart(workloads)
    if reason == "not_labelled":
        return f"Label the namespace: {label}. Then {restart}"
    if reason == "old_pods":
        return f"The pods are older than the label of the namespace or the proof: {restart}"
    return f"Check that namespace {namespace} has the label: {label}. Then {restart}"


def _restart(workloads: Iterable[str]) -> str:
    for each in workloads:
        *_, namespace, kind, name = each.split("/")
        if kind in _RESTARTED:
            command = f"kubectl --namespace={namespace} rollout restart {kind}/{name}"
            return f"restart the pods: `{command}`."
    return "create the pods again."


def _namespace_of(workload: str) -> str:
    """
    Return the namespace in the name of a workload, as audit logs write it.

    >>> _namespace_of("apps/v1/namespaces/ml/deployments/trainer")
    'ml'
    """
    return workload.split("/")[-3]
