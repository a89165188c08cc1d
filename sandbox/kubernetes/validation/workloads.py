"""Workloads that keep pods running."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, dig, mapping
from sandbox.kubernetes.fields import FieldError, forbidden, invalid, not_supported, required
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.validation.pods import validate_template
from sandbox.kubernetes.validation.scheduling import validate_selector

_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STRATEGIES = {
    "Deployment": ("strategy", ("Recreate", "RollingUpdate")),
    "StatefulSet": ("updateStrategy", ("RollingUpdate", "OnDelete")),
    "DaemonSet": ("updateStrategy", ("RollingUpdate", "OnDelete")),
}
_COUNTS = ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")


def validate_workload(body: Body) -> Iterator[FieldError]:
    """Check a Deployment, StatefulSet, DaemonSet, ReplicaSet or ReplicationController."""
    kind, spec = body["kind"], mapping(body, "spec")
    for field in _COUNTS:
        if spec.get(field, 0) < 0:
            yield invalid(f"spec.{field}", spec[field], "must be greater than or equal to 0")
    yield from _selector(kind, spec)
    template = spec.get("template")
    if template is None:
        yield required("spec.template")
    else:
        yield from validate_template(template, "spec.template")
        yield from _always_running(mapping(template, "spec"))
    yield from _strategy(kind, spec)


def _selector(kind: str, spec: Body) -> Iterator[FieldError]:
    selector = spec.get("selector")
    labels = mapping(spec, "template", "metadata", "labels")
    if kind == "ReplicationController":
        if not selector:
            yield required("spec.selector")
        elif any(labels.get(key) != value for key, value in selector.items()):
            yield _mismatch(labels)
        return
    if selector is None:
        yield required("spec.selector")
        return
    yield from validate_selector(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, f"empty selector is invalid for {kind.lower()}")
        return
    try:
        matches = from_object(selector)(labels)
    except KeyError:  # An operator that is none was named above.
        return
    if not matches:
        yield _mismatch(labels)


def _mismatch(labels: Body) -> FieldError:
    return invalid(
        "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
    )


def _always_running(spec: Body) -> Iterator[FieldError]:
    policy = spec.get("restartPolicy", "Always")
    if policy != "Always":
        yield not_supported("spec.template.spec.restartPolicy", policy, ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        yield forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        )


def _strategy(kind: str, spec: Body) -> Iterator[FieldError]:
    field, allowed = _STRATEGIES.get(kind, ("", ()))
    if not field:
        return
    strategy = mapping(spec, field)
    if strategy.get("type") not in allowed:
        yield not_supported(f"spec.{field}.type", strategy.get("type"), allowed)
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        yield forbidden(
            f"spec.{field}.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )
    if kind == "Deployment" and rolling:
        zero = (0, "0", "0%")
        if rolling.get("maxUnavailable") in zero and rolling.get("maxSurge") in zero:
            yield invalid(
                f"spec.{field}.rollingUpdate.maxUnavailable",
                rolling["maxUnavailable"],
                "may not be 0 when `maxSurge` is 0",
            )


def validate_workload_update(body: Body, before: Body) -> Iterator[FieldError]:
    """Check what may not change in a workload."""
    yield from validate_workload(body)
    if body["kind"] == "ReplicationController":
        return
    if body["kind"] == "StatefulSet":
        changed = {
            key
            for key in {*mapping(body, "spec"), *mapping(before, "spec")}
            if dig(body, "spec", key) != dig(before, "spec", key)
        }
        if changed - set(_STATEFUL_MUTABLE):
            *most, last = (f"'{field}'" for field in _STATEFUL_MUTABLE)
            yield forbidden(
                "spec",
                "updates to statefulset spec for fields other than "
                f"{', '.join(most)} and {last} are forbidden",
            )
        return
    selector = dig(body, "spec", "selector")
    if selector != dig(before, "spec", "selector"):
        yield invalid("spec.selector", selector, "field is immutable")
