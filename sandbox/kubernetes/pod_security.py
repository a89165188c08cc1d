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


def _setters(spec: Body, offends: Callable[[Body], object], *, with_pod: bool = False) -> str:
    """Name the containers, and the pod if asked, whose security context offends."""
    names = [one["name"] for _, _, one in containers(spec) if offends(_context(one))]
    subjects = ["pod"] if with_pod and offends(_context(spec)) else []
    return " and ".join(subjects + ([_named("container", names)] if names else []))


def _context(part: Body) -> Body:
    return mapping(part, "securityContext")


def _host_namespaces(spec: Body) -> str:
    fields = [one for one in ("hostNetwork", "hostPID", "hostIPC") if spec.get(one)]
    return f"host namespaces ({', '.join(f'{field}=true' for field in fields)})" if fields else ""


def _privileged(spec: Body) -> str:
    who = _setters(spec, lambda context: context.get("privileged"))
    return f"privileged ({who} must not set securityContext.privileged=true)" if who else ""


def _escalation(spec: Body) -> str:
    field = "allowPrivilegeEscalation"
    who = _setters(spec, lambda context: context.get(field) is not False)
    return f"{field} != false ({who} must set securityContext.{field}=false)" if who else ""


def _capabilities(spec: Body) -> str:
    def added(context: Body) -> set[str]:
        return set(items(context, "capabilities", "add")) - {"NET_BIND_SERVICE"}

    texts = []
    if who := _setters(spec, lambda context: "ALL" not in items(context, "capabilities", "drop")):
        texts.append(f'{who} must set securityContext.capabilities.drop=["ALL"]')
    if who := _setters(spec, added):
        found = sorted({name for _, _, one in containers(spec) for name in added(_context(one))})
        texts.append(f"{who} must not include {_quoted(found)} in securityContext.capabilities.add")
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
    field = "runAsNonRoot"
    wrong = _setters(spec, lambda context: context.get(field) is False, with_pod=True)
    unset = _setters(spec, lambda context: context.get(field) is None)
    if wrong:
        return f"{field} != true ({wrong} must not set securityContext.{field}=false)"
    if unset and not _context(spec).get(field):
        return f"{field} != true (pod or {unset} must set securityContext.{field}=true)"
    return ""


def _user(spec: Body) -> str:
    who = _setters(spec, lambda context: context.get("runAsUser") == 0, with_pod=True)
    return f"runAsUser=0 ({who} must not set runAsUser=0)" if who else ""


def _seccomp(spec: Body) -> str:
    def profile(context: Body) -> str | None:
        kind: str | None = dig(context, "seccompProfile", "type")
        return kind

    def offends(context: Body) -> bool:
        return profile(context) not in (None, *_PROFILES)

    field = "securityContext.seccompProfile.type"
    if who := _setters(spec, offends, with_pod=True):
        contexts = [_context(part) for part in (spec, *(one for _, _, one in containers(spec)))]
        wrong = _quoted(sorted({profile(each) or "" for each in contexts if offends(each)}))
        return f"seccompProfile ({who} must not set {field} to {wrong})"
    unset = _setters(spec, lambda context: profile(context) is None)
    if not unset or profile(_context(spec)) is not None:
        return ""
    return f'seccompProfile (pod or {unset} must set {field} to "RuntimeDefault" or "Localhost")'


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
