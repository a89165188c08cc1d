"""Pod Security Admission: the namespace's labels say what its pods may be."""

from dataclasses import dataclass

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.admission.security_checks import violations
from sandbox.kubernetes.bodies import Body, dig, mapping
from sandbox.kubernetes.fields import not_supported
from sandbox.kubernetes.statuses import forbidden, invalid
from sandbox.kubernetes.store import Store

_LABEL = "pod-security.kubernetes.io/"
_LEVELS = ("privileged", "baseline", "restricted")
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "replicationcontrollers": ("spec", "template", "spec"),
    "podtemplates": ("template", "spec"),
    "deployments.apps": ("spec", "template", "spec"),
    "statefulsets.apps": ("spec", "template", "spec"),
    "daemonsets.apps": ("spec", "template", "spec"),
    "replicasets.apps": ("spec", "template", "spec"),
    "jobs.batch": ("spec", "template", "spec"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template", "spec"),
}


@dataclass(frozen=True, slots=True)
class _Policy:
    level: str
    version: str

    @property
    def label(self) -> str:
        return f'"{self.level}:{self.version}"'


def check_pod_security(attributes: Attributes, store: Store) -> None:
    """Refuse pods below the enforced level, and warn of pods and templates below the other."""
    if attributes.resource.key == "namespaces":
        _check_labels(attributes)
    if attributes.subresource not in ("", "ephemeralcontainers"):
        return
    namespace = store.get("namespaces", ("", attributes.namespace))
    if namespace is None:
        return
    labels = mapping(namespace.body, "metadata", "labels")
    if attributes.resource.key == "pods":
        _check_pod(attributes, labels)
    elif attributes.resource.key in _TEMPLATES:
        spec = dig(attributes.body, *_TEMPLATES[attributes.resource.key])
        if spec is not None:
            _warn(attributes, spec, labels)


def _check_pod(attributes: Attributes, labels: Body) -> None:
    spec = mapping(attributes.body, "spec")
    if attributes.before is not None and spec == mapping(attributes.before, "spec"):
        return
    policy = _policy(labels, "enforce")
    found = violations(policy.level, spec)
    if found:
        why = f"violates PodSecurity {policy.label}: {', '.join(found)}"
        raise forbidden(attributes.resource, attributes.name, why)
    _warn(attributes, spec, labels)


def _warn(attributes: Attributes, spec: Body, labels: Body) -> None:
    policy = _policy(labels, "warn")
    found = violations(policy.level, spec)
    if found:
        attributes.warnings.append(f"would violate PodSecurity {policy.label}: {', '.join(found)}")


def _policy(labels: Body, mode: str) -> _Policy:
    level = labels.get(f"{_LABEL}{mode}", "privileged")
    version = labels.get(f"{_LABEL}{mode}-version", "latest")
    # An unknown level is taken for the strictest, so that a slip does not open a namespace.
    return _Policy(level if level in _LEVELS else "restricted", version)


def _check_labels(attributes: Attributes) -> None:
    labels = mapping(attributes.body, "metadata", "labels")
    errors = [
        not_supported(f"metadata.labels[{_LABEL}{mode}]", labels[f"{_LABEL}{mode}"], _LEVELS)
        for mode in ("enforce", "audit", "warn")
        if labels.get(f"{_LABEL}{mode}", "privileged") not in _LEVELS
    ]
    if errors:
        raise invalid("Namespace", attributes.name, errors)
