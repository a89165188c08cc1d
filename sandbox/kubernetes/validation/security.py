"""Security contexts of containers and pods."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, items
from sandbox.kubernetes.fields import FieldError, forbidden, invalid, not_supported, required

_MAX_ID = 2_147_483_647
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")


def validate_security_context(context: Body, path: str) -> Iterator[FieldError]:
    """Check the security context of a container."""
    yield from _identity(context, path)
    if context.get("allowPrivilegeEscalation") is not False:
        return
    if context.get("privileged"):
        yield invalid(
            path,
            context,
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        )
    added = items(context, "capabilities", "add")
    if "SYS_ADMIN" in added or "CAP_SYS_ADMIN" in added:
        yield invalid(
            path,
            context,
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        )


def validate_pod_security_context(context: Body, path: str) -> Iterator[FieldError]:
    """Check the security context of a pod."""
    yield from _identity(context, path)
    for index, group in enumerate(items(context, "supplementalGroups")):
        if not 0 <= group <= _MAX_ID:
            yield invalid(f"{path}.supplementalGroups[{index}]", group, _between())


def _between() -> str:
    return f"must be between 0 and {_MAX_ID}, inclusive"


def _identity(context: Body, path: str) -> Iterator[FieldError]:
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        value = context.get(field, 0)
        if not 0 <= value <= _MAX_ID:
            yield invalid(f"{path}.{field}", value, _between())
    profile = context.get("seccompProfile")
    if profile is not None:
        yield from _seccomp(profile, f"{path}.seccompProfile")


def _seccomp(profile: Body, path: str) -> Iterator[FieldError]:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in _SECCOMP:
        yield not_supported(f"{path}.type", kind, _SECCOMP)
    elif kind == "Localhost" and not local:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif kind != "Localhost" and local is not None:
        yield forbidden(
            f"{path}.localhostProfile", "can only be set when seccomp type is Localhost"
        )
