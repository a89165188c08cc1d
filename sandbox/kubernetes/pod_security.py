"""
Pod Security Admission of the level ``restricted``, for the fields that Prestream sets.

See https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Callable, Iterable

from sandbox.kubernetes.bodies import Body, containers, dig, items, mapping
from sandbox.kubernetes.calls import Attributes
from sandbox.kubernetes.statuses import forbidden
from sandbox.kubernetes.store import Store

_ENFORCE = "pod-security.kubernetes.io/enforce"
_VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
_PROFILES = ("RuntimeDefault", "Localhost")


def check_pod_security(attributes: Attributes, store: Store) -> None:
    """Refuse pods that break the enforced level."""
    if attributes.resource.key != "pods":
        return
    if attributes.subresource not in ("", "ephemeralcontainers"):
        return
    namespace = store.get("namespaces", ("", attributes.namespace))
    labels = mapping(namespace.body, "metadata", "labels") if namespace is not None else {}
    spec = mapping(attributes.body, "spec")
    if labels.get(_ENFORCE, "privileged") == "privileged":
        return
    if attributes.before is not None and spec == mapping(attributes.before, "spec"):
        return
    if found := violations(spec):
        level = f"restricted:{labels.get(f'{_ENFORCE}-version', 'latest')}"
        why = f'violates PodSecurity "{level}": {", ".join(found)}'
        raise forbidden(attributes.resource, attributes.name, why)


def violations(spec: Body) -> list[str]:
    """Return how a pod breaks the level ``restricted``, in the order of the API server."""
    return [text for text in (check(spec) for check in _CHECKS) if text]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(word: str, names: list[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _context(part: Body) -> Body:
    return mapping(part, "securityContext")


def _offending(spec: Body, offends: Callable[[Body], bool]) -> list[str]:
    return [container["name"] for _, _, container in containers(spec) if offends(container)]


def _setters(of_pod: bool, names: list[str]) -> str:  # noqa: FBT001
    subjects = ["pod"] if of_pod else []
    return " and ".join(subjects + ([_named("container", names)] if names else []))


def _host_namespaces(spec: Body) -> str:
    fields = [one for one in ("hostNetwork", "hostPID", "hostIPC") if spec.get(one)]
    return f"host namespaces ({', '.join(f'{field}=true' for field in fields)})" if fields else ""


def _privileged(spec: Body) -> str:
    names = _offending(spec, lambda one: bool(_context(one).get("privileged")))
    who = _named("container", names)
    return f"privileged ({who} must not set securityContext.privileged=true)" if names else ""


def _escalation(spec: Body) -> str:
    field = "allowPrivilegeEscalation"
    names = _offending(spec, lambda one: _context(one).get(field) is not False)
    who = _named("container", names)
    return f"{field} != false ({who} must set securityContext.{field}=false)" if names else ""


def _capabilities(spec: Body) -> str:
    def added(one: Body) -> set[str]:
        return set(items(_context(one), "capabilities", "add")) - {"NET_BIND_SERVICE"}

    keeping = _offending(
        spec, lambda one: "ALL" not in items(_context(one), "capabilities", "drop")
    )
    adding = _offending(spec, lambda one: bool(added(one)))
    texts = []
    if keeping:
        drop = 'must set securityContext.capabilities.drop=["ALL"]'
        texts.append(f"{_named('container', keeping)} {drop}")
    if adding:
        found = sorted({name for _, _, one in containers(spec) for name in added(one)})
        who, what = _named("container", adding), _quoted(found)
        texts.append(f"{who} must not include {what} in securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(texts)})" if texts else ""


def _restricted_volumes(spec: Body) -> str:
    kinds = {
        volume["name"]: next((key for key in volume if key != "name"), "emptyDir")
        for volume in items(spec, "volumes")
    }
    names = [name for name, kind in kinds.items() if kind not in _VOLUMES]
    if not names:
        return ""
    types = _named("restricted volume type", sorted({kinds[name] for name in names}))
    use = "use" if len(names) > 1 else "uses"
    return f"restricted volume types ({_named('volume', names)} {use} {types})"


def _non_root(spec: Body) -> str:
    of_pod = dig(spec, "securityContext", "runAsNonRoot")
    wrong = _offending(spec, lambda one: _context(one).get("runAsNonRoot") is False)
    unset = _offending(spec, lambda one: _context(one).get("runAsNonRoot") is None)
    if of_pod is False or wrong:
        why = f"{_setters(of_pod is False, wrong)} must not set securityContext.runAsNonRoot=false"
    elif unset and not of_pod:
        why = f"pod or {_named('container', unset)} must set securityContext.runAsNonRoot=true"
    else:
        return ""
    return f"runAsNonRoot != true ({why})"


def _user(spec: Body) -> str:
    names = _offending(spec, lambda one: _context(one).get("runAsUser") == 0)
    of_pod = _context(spec).get("runAsUser") == 0
    who = _setters(of_pod, names)
    return f"runAsUser=0 ({who} must not set runAsUser=0)" if who else ""


def _seccomp(spec: Body) -> str:
    field = ("seccompProfile", "type")

    def offends(part: Body) -> bool:
        return dig(_context(part), *field) not in (None, *_PROFILES)

    names, of_pod = _offending(spec, offends), offends(spec)
    if names or of_pod:
        parts = (spec, *(one for _, _, one in containers(spec)))
        wrong = _quoted(sorted({dig(_context(one), *field) for one in parts if offends(one)}))
        who = _setters(of_pod, names)
        return f"seccompProfile ({who} must not set securityContext.seccompProfile.type to {wrong})"
    unset = _offending(spec, lambda one: dig(_context(one), *field) is None)
    if not unset or dig(_context(spec), *field) is not None:
        return ""
    who, allowed = f"pod or {_named('container', unset)}", '"RuntimeDefault" or "Localhost"'
    return f"seccompProfile ({who} must set securityContext.seccompProfile.type to {allowed})"


_CHECKS: tuple[Callable[[Body], str], ...] = (
    _host_namespaces,
    _privileged,
    _escalation,
    _capabilities,
    _restricted_volumes,
    _non_root,
    _user,
    _seccomp,
)
