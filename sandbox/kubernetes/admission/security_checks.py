"""
The Pod Security Standards, as the checks of each level.

See https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Callable, Iterable

from sandbox.kubernetes.bodies import Body, containers, dig, items, mapping

_BASELINE_CAPABILITIES = {
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
}
_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SELINUX_TYPES = (
    None,
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
)
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

Check = Callable[[Body], str | None]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _plural(word: str, names: list[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {_quoted(names)}"


def _context(container: Body) -> Body:
    return mapping(container, "securityContext")


def _offending(spec: Body, offends: Callable[[Body], bool]) -> list[str]:
    return [container["name"] for _, _, container in containers(spec) if offends(container)]


def _privileged(spec: Body) -> str | None:
    names = _offending(spec, lambda one: bool(_context(one).get("privileged")))
    if not names:
        return None
    return (
        f"privileged ({_plural('container', names)} must not set securityContext.privileged=true)"
    )


def _host_namespaces(spec: Body) -> str | None:
    fields = [one for one in ("hostNetwork", "hostPID", "hostIPC") if spec.get(one)]
    if not fields:
        return None
    return f"host namespaces ({', '.join(f'{field}=true' for field in fields)})"


def _host_path(spec: Body) -> str | None:
    names = [one["name"] for one in items(spec, "volumes") if one.get("hostPath") is not None]
    return f"hostPath volumes ({_plural('volume', names)})" if names else None


def _host_ports(spec: Body) -> str | None:
    def ports(container: Body) -> list[int]:
        return [one["hostPort"] for one in items(container, "ports") if one.get("hostPort")]

    names = _offending(spec, lambda one: bool(ports(one)))
    if not names:
        return None
    found = sorted({port for _, _, one in containers(spec) for port in ports(one)}, key=str)
    use = "uses" if len(names) == 1 else "use"
    word = "hostPort" if len(found) == 1 else "hostPorts"
    return f"hostPort ({_plural('container', names)} {use} {word} {', '.join(map(str, found))})"


def _baseline_capabilities(spec: Body) -> str | None:
    def extra(container: Body) -> set[str]:
        return set(items(_context(container), "capabilities", "add")) - _BASELINE_CAPABILITIES

    names = _offending(spec, lambda one: bool(extra(one)))
    if not names:
        return None
    found = sorted({capability for _, _, one in containers(spec) for capability in extra(one)})
    return (
        f"non-default capabilities ({_plural('container', names)} must not include "
        f"{_quoted(found)} in securityContext.capabilities.add)"
    )


def _sysctls(spec: Body) -> str | None:
    listed = items(spec, "securityContext", "sysctls")
    names = [one["name"] for one in listed if one["name"] not in _SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(names)})" if names else None


def _proc_mount(spec: Body) -> str | None:
    names = _offending(spec, lambda one: _context(one).get("procMount", "Default") != "Default")
    if not names:
        return None
    return (
        f"procMount ({_plural('container', names)} must not set securityContext.procMount to "
        '"Unmasked")'
    )


def _selinux(spec: Body) -> str | None:
    def offends(one: Body) -> bool:
        options = mapping(_context(one), "seLinuxOptions")
        wrong = options.get("type") not in _SELINUX_TYPES
        return wrong or bool(options.get("user") or options.get("role"))

    names = _offending(spec, offends)
    if offends(spec):
        names = ["pod", *names]
    return (
        f"seLinuxOptions ({_plural('container', names)} set forbidden options)" if names else None
    )


def _baseline_seccomp(spec: Body) -> str | None:
    def offends(one: Body) -> bool:
        return dig(_context(one), "seccompProfile", "type") == "Unconfined"

    names = _offending(spec, offends)
    subjects = (["pod"] if offends(spec) else []) + ([_plural("container", names)] if names else [])
    if not subjects:
        return None
    return (
        f"seccompProfile ({' and '.join(subjects)} must not set "
        'securityContext.seccompProfile.type to "Unconfined")'
    )


def _escalation(spec: Body) -> str | None:
    names = _offending(spec, lambda one: _context(one).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    return (
        f"allowPrivilegeEscalation != false ({_plural('container', names)} must set "
        "securityContext.allowPrivilegeEscalation=false)"
    )


def _restricted_capabilities(spec: Body) -> str | None:
    keeping = _offending(
        spec, lambda one: "ALL" not in items(_context(one), "capabilities", "drop")
    )
    adding = _offending(
        spec,
        lambda one: bool(set(items(_context(one), "capabilities", "add")) - {"NET_BIND_SERVICE"}),
    )
    texts = []
    if keeping:
        drop = 'must set securityContext.capabilities.drop=["ALL"]'
        texts.append(f"{_plural('container', keeping)} {drop}")
    if adding:
        found = sorted(
            {
                capability
                for _, _, one in containers(spec)
                for capability in items(_context(one), "capabilities", "add")
                if capability != "NET_BIND_SERVICE"
            }
        )
        texts.append(
            f"{_plural('container', adding)} must not include {_quoted(found)} in "
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
    found = sorted({kinds[name] for name in names})
    types = f"restricted volume type{'s' if len(found) > 1 else ''} {_quoted(found)}"
    return f"restricted volume types ({_plural('volume', names)} {'use' if len(names) > 1 else 'uses'} {types})"


def _non_root(spec: Body) -> str | None:
    of_pod = dig(spec, "securityContext", "runAsNonRoot")
    wrong = _offending(spec, lambda one: _context(one).get("runAsNonRoot") is False)
    if of_pod is False:
        subjects = ["pod", *([_plural("container", wrong)] if wrong else [])]
        return f"runAsNonRoot != true ({' and '.join(subjects)} must not set securityContext.runAsNonRoot=false)"
    if wrong:
        return (
            f"runAsNonRoot != true ({_plural('container', wrong)} must not set "
            "securityContext.runAsNonRoot=false)"
        )
    unset = _offending(spec, lambda one: _context(one).get("runAsNonRoot") is None)
    if of_pod or not unset:
        return None
    return (
        f"runAsNonRoot != true (pod or {_plural('container', unset)} must set "
        "securityContext.runAsNonRoot=true)"
    )


def _user(spec: Body) -> str | None:
    names = _offending(spec, lambda one: _context(one).get("runAsUser") == 0)
    subjects = ["pod"] if dig(spec, "securityContext", "runAsUser") == 0 else []
    subjects += [_plural("container", names)] if names else []
    if not subjects:
        return None
    return f"runAsUser=0 ({' and '.join(subjects)} must not set runAsUser=0)"


def _restricted_seccomp(spec: Body) -> str | None:
    of_pod = dig(spec, "securityContext", "seccompProfile", "type")
    unset, wrong = [], []
    for _, _, container in containers(spec):
        kind = dig(_context(container), "seccompProfile", "type")
        if kind is None and of_pod not in _SECCOMP:
            unset.append(container["name"])
        elif kind is not None and kind not in _SECCOMP:
            wrong.append(container["name"])
    must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    if wrong or (of_pod is not None and of_pod not in _SECCOMP):
        subjects = ["pod"] if of_pod is not None and of_pod not in _SECCOMP else []
        subjects += [_plural("container", wrong)] if wrong else []
        return (
            f"seccompProfile ({' and '.join(subjects)} must not set "
            'securityContext.seccompProfile.type to "Unconfined")'
        )
    return f"seccompProfile (pod or {_plural('container', unset)} {must})" if unset else None


_BASELINE: dict[str, Check] = {
    "capabilities_baseline": _baseline_capabilities,
    "hostNamespaces": _host_namespaces,
    "hostPathVolumes": _host_path,
    "hostPorts": _host_ports,
    "privileged": _privileged,
    "procMount": _proc_mount,
    "seLinuxOptions": _selinux,
    "seccompProfile_baseline": _baseline_seccomp,
    "sysctls": _sysctls,
}
_RESTRICTED: dict[str, Check] = {
    "allowPrivilegeEscalation": _escalation,
    "capabilities_restricted": _restricted_capabilities,
    "restrictedVolumes": _restricted_volumes,
    "runAsNonRoot": _non_root,
    "runAsUser": _user,
    "seccompProfile_restricted": _restricted_seccomp,
}
_OVERRIDDEN = ("capabilities_baseline", "seccompProfile_baseline")
"""Baseline checks that the restricted level replaces by stricter ones."""


def violations(level: str, spec: Body) -> list[str]:
    """Say how a pod's specification falls short of a level, in the order of the checks' names."""
    checks: dict[str, Check] = {} if level == "privileged" else dict(_BASELINE)
    if level == "restricted":
        checks = {key: check for key, check in checks.items() if key not in _OVERRIDDEN}
        checks |= _RESTRICTED
    # Every text begins with its reason, so that joined they read like the server's.
    found = (checks[key](spec) for key in _order(checks))
    return [text for text in found if text]


def _order(checks: Iterable[str]) -> list[str]:
    """Order by name, the baseline's before those that only the restricted level has."""
    return sorted(checks, key=lambda key: (key in _RESTRICTED, key))
