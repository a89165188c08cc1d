"""
The checks of the Pod Security Standard ``baseline``.

See https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Callable, Iterator

from sandbox.kubernetes.admission.security_subjects import (
    Check,
    context_of,
    counted,
    offending,
    quoted,
    setters,
)
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


def _privileged(spec: Body) -> str | None:
    names = offending(spec, lambda one: bool(context_of(one).get("privileged")))
    if not names:
        return None
    return (
        f"privileged ({counted('container', names)} must not set securityContext.privileged=true)"
    )


def _host_namespaces(spec: Body) -> str | None:
    fields = [one for one in ("hostNetwork", "hostPID", "hostIPC") if spec.get(one)]
    if not fields:
        return None
    return f"host namespaces ({', '.join(f'{field}=true' for field in fields)})"


def _host_path(spec: Body) -> str | None:
    names = [one["name"] for one in items(spec, "volumes") if one.get("hostPath") is not None]
    return f"hostPath volumes ({counted('volume', names)})" if names else None


def _host_ports(spec: Body) -> str | None:
    def ports(container: Body) -> list[int]:
        return [one["hostPort"] for one in items(container, "ports") if one.get("hostPort")]

    names = offending(spec, lambda one: bool(ports(one)))
    if not names:
        return None
    found = sorted({port for _, _, one in containers(spec) for port in ports(one)}, key=str)
    use = "uses" if len(names) == 1 else "use"
    word = "hostPort" if len(found) == 1 else "hostPorts"
    return f"hostPort ({counted('container', names)} {use} {word} {', '.join(map(str, found))})"


def _baseline_capabilities(spec: Body) -> str | None:
    def extra(container: Body) -> set[str]:
        return set(items(context_of(container), "capabilities", "add")) - _BASELINE_CAPABILITIES

    names = offending(spec, lambda one: bool(extra(one)))
    if not names:
        return None
    found = sorted({capability for _, _, one in containers(spec) for capability in extra(one)})
    return (
        f"non-default capabilities ({counted('container', names)} must not include "
        f"{quoted(found)} in securityContext.capabilities.add)"
    )


def _sysctls(spec: Body) -> str | None:
    listed = items(spec, "securityContext", "sysctls")
    names = [one["name"] for one in listed if one["name"] not in _SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(names)})" if names else None


def _proc_mount(spec: Body) -> str | None:
    names = offending(spec, lambda one: context_of(one).get("procMount", "Default") != "Default")
    if not names:
        return None
    return (
        f"procMount ({counted('container', names)} must not set securityContext.procMount to "
        '"Unmasked")'
    )


def _selinux(spec: Body) -> str | None:
    def offends(one: Body) -> bool:
        options = mapping(context_of(one), "seLinuxOptions")
        wrong = options.get("type") not in _SELINUX_TYPES
        return wrong or bool(options.get("user") or options.get("role"))

    names, of_pod = offending(spec, offends), offends(spec)
    if not names and not of_pod:
        return None
    parts = [spec, *(one for _, _, one in containers(spec))]
    options = [mapping(context_of(part), "seLinuxOptions") for part in parts]
    types = sorted({one["type"] for one in options if one.get("type") not in _SELINUX_TYPES})
    wrong = [counted("type", types)] if types else []
    wrong += [f"{key} may not be set" for key in ("user", "role") if any(map(_has(key), options))]
    return (
        f"seLinuxOptions ({setters(of_pod, names)} set forbidden "
        f"securityContext.seLinuxOptions: {'; '.join(wrong)})"
    )


def _has(key: str) -> Callable[[Body], bool]:
    return lambda options: bool(options.get(key))


def _baseline_seccomp(spec: Body) -> str | None:
    def offends(one: Body) -> bool:
        return bool(dig(context_of(one), "seccompProfile", "type") == "Unconfined")

    names, of_pod = offending(spec, offends), offends(spec)
    if not names and not of_pod:
        return None
    return (
        f"seccompProfile ({setters(of_pod, names)} must not set "
        'securityContext.seccompProfile.type to "Unconfined")'
    )


def _probe_hosts(spec: Body) -> str | None:
    names = offending(spec, lambda one: bool(list(_hosts(one))))
    if not names:
        return None
    hosts = sorted({host for _, _, one in containers(spec) for host in _hosts(one)})
    use = "uses" if len(names) == 1 else "use"
    return (
        f"probe or lifecycle host ({counted('container', sorted(names))} {use} "
        f"{counted('probe or lifecycle host', hosts)})"
    )


def _hosts(container: Body) -> Iterator[str]:
    handlers = [
        *(container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")),
        *(dig(container, "lifecycle", moment) for moment in ("postStart", "preStop")),
    ]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            host = dig(handler, kind, "host")
            if host:
                yield host


BASELINE: dict[str, Check] = {
    "capabilities_baseline": _baseline_capabilities,
    "hostNamespaces": _host_namespaces,
    "hostPathVolumes": _host_path,
    "hostPorts": _host_ports,
    "hostProbesAndHostLifecycle": _probe_hosts,
    "privileged": _privileged,
    "procMount": _proc_mount,
    "seLinuxOptions": _selinux,
    "seccompProfile_baseline": _baseline_seccomp,
    "sysctls": _sysctls,
}
