"""
What the Pod Security Standard ``restricted`` adds to ``baseline``.

See https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from sandbox.kubernetes.admission.security_subjects import (
    Check,
    context_of,
    counted,
    offending,
    quoted,
    setters,
)
from sandbox.kubernetes.bodies import Body, containers, dig, items

_RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SECCOMP = ("RuntimeDefault", "Localhost")


def _escalation(spec: Body) -> str | None:
    names = offending(
        spec, lambda one: context_of(one).get("allowPrivilegeEscalation") is not False
    )
    if not names:
        return None
    return (
        f"allowPrivilegeEscalation != false ({counted('container', names)} must set "
        "securityContext.allowPrivilegeEscalation=false)"
    )


def _restricted_capabilities(spec: Body) -> str | None:
    keeping = offending(
        spec, lambda one: "ALL" not in items(context_of(one), "capabilities", "drop")
    )
    adding = offending(
        spec,
        lambda one: bool(set(items(context_of(one), "capabilities", "add")) - {"NET_BIND_SERVICE"}),
    )
    texts = []
    if keeping:
        drop = 'must set securityContext.capabilities.drop=["ALL"]'
        texts.append(f"{counted('container', keeping)} {drop}")
    if adding:
        found = sorted(
            {
                capability
                for _, _, one in containers(spec)
                for capability in items(context_of(one), "capabilities", "add")
                if capability != "NET_BIND_SERVICE"
            }
        )
        texts.append(
            f"{counted('container', adding)} must not include {quoted(found)} in "
            "securityContext.capabilities.add"
        )
    return f"unrestricted capabilities ({'; '.join(texts)})" if texts else None


def _restricted_volumes(spec: Body) -> str | None:
    kinds = {
        volume["name"]: next((key for key in volume if key != "name"), "emptyDir")
        for volume in items(spec, "volumes")
    }
    names = [name for name, kind in kinds.items() if kind not in _RESTRICTED_VOLUMES]
    if not names:
        return None
    types = counted("restricted volume type", sorted({kinds[name] for name in names}))
    use = "use" if len(names) > 1 else "uses"
    return f"restricted volume types ({counted('volume', names)} {use} {types})"


def _non_root(spec: Body) -> str | None:
    of_pod = dig(spec, "securityContext", "runAsNonRoot")
    wrong = offending(spec, lambda one: context_of(one).get("runAsNonRoot") is False)
    unset = offending(spec, lambda one: context_of(one).get("runAsNonRoot") is None)
    if of_pod is False or wrong:
        why = f"{setters(of_pod is False, wrong)} must not set securityContext.runAsNonRoot=false"
    elif unset and not of_pod:
        why = f"pod or {counted('container', unset)} must set securityContext.runAsNonRoot=true"
    else:
        return None
    return f"runAsNonRoot != true ({why})"


def _user(spec: Body) -> str | None:
    names = offending(spec, lambda one: context_of(one).get("runAsUser") == 0)
    of_pod = dig(spec, "securityContext", "runAsUser") == 0
    if not names and not of_pod:
        return None
    return f"runAsUser=0 ({setters(of_pod, names)} must not set runAsUser=0)"


def _restricted_seccomp(spec: Body) -> str | None:
    def kind(part: Body) -> str | None:
        found: str | None = dig(context_of(part), "seccompProfile", "type")
        return found

    of_pod = kind(spec)
    wrong = offending(spec, lambda one: kind(one) not in (None, *_SECCOMP))
    unset = offending(spec, lambda one: kind(one) is None)
    if wrong or of_pod not in (None, *_SECCOMP):
        parts = [spec, *(one for _, _, one in containers(spec))]
        values = sorted({str(kind(part)) for part in parts} - {"None", *_SECCOMP})
        subjects = setters(of_pod not in (None, *_SECCOMP), wrong)
        why = f"{subjects} must not set securityContext.seccompProfile.type to {quoted(values)}"
    elif unset and of_pod is None:
        why = (
            f"pod or {counted('container', unset)} must set securityContext.seccompProfile.type "
            'to "RuntimeDefault" or "Localhost"'
        )
    else:
        return None
    return f"seccompProfile ({why})"


RESTRICTED: dict[str, Check] = {
    "allowPrivilegeEscalation": _escalation,
    "capabilities_restricted": _restricted_capabilities,
    "restrictedVolumes": _restricted_volumes,
    "runAsNonRoot": _non_root,
    "runAsUser": _user,
    "seccompProfile_restricted": _restricted_seccomp,
}
