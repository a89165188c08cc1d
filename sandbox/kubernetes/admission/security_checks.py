"""How a pod falls short of a level of the Pod Security Standards."""

from sandbox.kubernetes.admission.security_baseline import BASELINE
from sandbox.kubernetes.admission.security_restricted import RESTRICTED
from sandbox.kubernetes.admission.security_subjects import Check
from sandbox.kubernetes.bodies import Body

_OVERRIDDEN = ("capabilities_baseline", "hostPathVolumes", "seccompProfile_baseline")
"""Baseline checks that the restricted level replaces by stricter ones."""


def violations(level: str, spec: Body) -> list[str]:
    """Say what is wrong, the baseline's checks first, each set in the order of their names."""
    checks: list[Check] = []
    if level == "baseline":
        checks = [check for _, check in sorted(BASELINE.items())]
    elif level == "restricted":
        checks = [check for key, check in sorted(BASELINE.items()) if key not in _OVERRIDDEN]
        checks += [check for _, check in sorted(RESTRICTED.items())]
    return [text for text in (check(spec) for check in checks) if text]
