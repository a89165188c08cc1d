"""Containers of a pod."""

import re
from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, containers, items, mapping
from sandbox.kubernetes.fields import (
    FieldError,
    absent,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from sandbox.kubernetes.validation.names import label_problem
from sandbox.kubernetes.validation.requirements import validate_requirements
from sandbox.kubernetes.validation.security import validate_security_context

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_ENVIRONMENT_NAME = re.compile(r"[ -<>-~]+")
_MAX_PORT = 65535
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def validate_containers(spec: Body, path: str) -> Iterator[FieldError]:
    """Check all containers of a pod's specification."""
    if not items(spec, "containers"):
        yield required(f"{path}.containers")
    volumes = {volume.get("name") for volume in items(spec, "volumes")}
    seen: set[str] = set()
    for field, index, container in containers(spec):
        where = f"{path}.{field}[{index}]"
        name = container.get("name", "")
        if name and name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        yield from _container(container, volumes, where)
        if field == "initContainers":
            yield from _init_container(container, where)


def _container(container: Body, volumes: set[str | None], path: str) -> Iterator[FieldError]:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif problem := label_problem(name):
        yield invalid(f"{path}.name", name, problem)
    yield from _image(container, path)
    yield from _ports(container, path)
    yield from _environment(container, path)
    yield from _mounts(container, volumes, path)
    for probe in _PROBES:
        if container.get(probe) is not None:
            yield from _probe(container[probe], f"{path}.{probe}")
    yield from validate_requirements(mapping(container, "resources"), f"{path}.resources")
    context = container.get("securityContext")
    if context:
        yield from validate_security_context(context, f"{path}.securityContext")


def _image(container: Body, path: str) -> Iterator[FieldError]:
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    policy = container.get("imagePullPolicy", "Always")
    if policy not in _PULL_POLICIES:
        yield not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES)
    messages = container.get("terminationMessagePolicy", "File")
    if messages not in _MESSAGE_POLICIES:
        yield not_supported(f"{path}.terminationMessagePolicy", messages, _MESSAGE_POLICIES)


def _ports(container: Body, path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, port in enumerate(items(container, "ports")):
        where = f"{path}.ports[{index}]"
        number = port.get("containerPort", 0)
        if not number:
            yield required(f"{where}.containerPort")
        elif not 1 <= number <= _MAX_PORT:
            yield invalid(
                f"{where}.containerPort", number, "must be between 1 and 65535, inclusive"
            )
        if port.get("protocol", "TCP") not in _PROTOCOLS:
            yield not_supported(f"{where}.protocol", port["protocol"], _PROTOCOLS)
        name = port.get("name")
        if name and name in names:
            yield duplicate(f"{where}.name", name)
        names.add(name)


def _environment(container: Body, path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(items(container, "env")):
        where = f"{path}.env[{index}]"
        name = variable.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif not _ENVIRONMENT_NAME.fullmatch(name):
            yield invalid(
                f"{where}.name",
                name,
                "a valid environment variable name must consist only of printable ASCII characters "
                "other than '='",
            )
        source = variable.get("valueFrom")
        if source is None:
            continue
        if variable.get("value"):
            yield invalid(
                f"{where}.valueFrom", "", "may not be specified when `value` is not empty"
            )
        if len(source) != 1:
            why = (
                "may not have more than one field specified at a time"
                if source
                else (
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                    "`secretKeyRef`"
                )
            )
            yield invalid(f"{where}.valueFrom", "", why)


def _mounts(container: Body, volumes: set[str | None], path: str) -> Iterator[FieldError]:
    places: set[str] = set()
    for index, mount in enumerate(items(container, "volumeMounts")):
        where = f"{path}.volumeMounts[{index}]"
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield absent(f"{where}.name", name)
        if not place:
            yield required(f"{where}.mountPath")
        elif place in places:
            yield invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)
        below = mount.get("subPath", "")
        if below.startswith("/"):
            yield invalid(f"{where}.subPath", below, "must be a relative path")
        elif ".." in below.split("/"):
            yield invalid(f"{where}.subPath", below, "must not contain '..'")


def _probe(probe: Body, path: str) -> Iterator[FieldError]:
    handlers = [one for one in _HANDLERS if probe.get(one) is not None]
    if not handlers:
        yield required(path, "must specify a handler type")
    for extra in handlers[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"):
        if probe.get(field, 0) < 0:
            yield invalid(f"{path}.{field}", probe[field], "must be greater than or equal to 0")


def _init_container(container: Body, path: str) -> Iterator[FieldError]:
    policy = container.get("restartPolicy")
    if policy == "Always":
        return
    if policy is not None:
        yield not_supported(f"{path}.restartPolicy", policy, ("Always",))
    for field in ("lifecycle", *_PROBES):
        if container.get(field) is not None:
            yield forbidden(
                f"{path}.{field}",
                "may not be set for init containers without restartPolicy=Always",
            )
