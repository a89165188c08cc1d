"""
Rules for pods and for the templates of pods.

They cover the fields that warmup Jobs have and the fields of a pod's identity. The schemas check
the types of all fields.
"""

from kubernetes.utils.quantity import parse_quantity

from sandbox.kubernetes.bodies import Body, containers, dig, items, mapping
from sandbox.kubernetes.field_errors import (
    Errors,
    absent,
    disallowed,
    duplicate,
    invalid,
    not_supported,
    required,
)
from sandbox.kubernetes.name_rules import (
    label_problem,
    qualified_problem,
    subdomain_problem,
    validate_annotations,
    validate_labels,
    validate_requirement,
    validate_selector,
    value_problem,
)

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_SUBDOMAINS = ("serviceAccountName", "priorityClassName", "nodeName")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_STANDARD = ("cpu", "memory", "ephemeral-storage")
_MAX_INT32 = 2_147_483_647
_NOT_NEGATIVE = "must be greater than or equal to 0"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_POD_UPDATES = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow "
    "it to be set to 1 if it was previously negative)"
)


def validate_pod(body: Body) -> Errors:
    """Check a pod; two rules do not hold for templates."""
    spec = mapping(body, "spec")
    yield from validate_pod_spec(spec, "spec")
    for field, index, container in containers(spec):
        image = container.get("image", "")
        if image != image.strip():
            why = "must not have leading or trailing whitespace"
            yield invalid(f"spec.{field}[{index}].image", image, why)
    for index, volume in enumerate(items(spec, "volumes")):
        if "image" in volume and not dig(volume, "image", "reference"):
            yield required(f"spec.volumes[{index}].image.reference")
    if items(spec, "ephemeralContainers"):
        yield disallowed("spec.ephemeralContainers", "cannot be set on create")


def validate_template(template: Body, path: str) -> Errors:
    """Check the template of a workload's pods."""
    metadata, spec = mapping(template, "metadata"), mapping(template, "spec")
    yield from validate_labels(mapping(metadata, "labels"), f"{path}.labels")
    yield from validate_annotations(mapping(metadata, "annotations"), f"{path}.annotations")
    yield from validate_pod_spec(spec, f"{path}.spec")
    if items(spec, "ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        yield disallowed(f"{path}.spec.ephemeralContainers", why)


def validate_pod_spec(spec: Body, path: str) -> Errors:
    """Check a pod's specification."""
    volumes: set[str] = set()
    for index, volume in enumerate(items(spec, "volumes")):
        errors = list(_volume(volume, volumes, f"{path}.volumes[{index}]"))
        yield from errors
        if not errors:  # A mount of an invalid volume is an error too.
            volumes.add(volume["name"])
    yield from _containers(spec, volumes, path)
    policy = spec.get("restartPolicy", "Always")
    if policy not in _RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    deadline = spec.get("activeDeadlineSeconds", 1)
    if not 1 <= deadline <= _MAX_INT32:
        why = f"must be between 1 and {_MAX_INT32}, inclusive"
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, why)
    for field in _SUBDOMAINS:
        if spec.get(field) and (problem := subdomain_problem(spec[field])):
            yield invalid(f"{path}.{field}", spec[field], problem)
    yield from _scheduling(spec, path)


def _volume(volume: Body, seen: set[str], path: str) -> Errors:
    name = volume.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif problem := label_problem(name):
        yield invalid(f"{path}.name", name, problem)
    elif name in seen:
        yield duplicate(f"{path}.name", name)


def _containers(spec: Body, volumes: set[str], path: str) -> Errors:
    if not items(spec, "containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(items(spec, field)):
            where, name = f"{path}.{field}[{index}]", container.get("name", "")
            if name and name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
            yield from _container(container, volumes, where)


def _container(container: Body, volumes: set[str], path: str) -> Errors:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif problem := label_problem(name):
        yield invalid(f"{path}.name", name, problem)
    if not container.get("image"):
        yield required(f"{path}.image")
    policy = container.get("imagePullPolicy", "Always")
    if policy not in _PULL_POLICIES:
        yield not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES)
    yield from _mounts(container, volumes, path)
    yield from _resources(mapping(container, "resources"), f"{path}.resources")


def _mounts(container: Body, volumes: set[str], path: str) -> Errors:
    places: set[str] = set()
    for index, mount in enumerate(items(container, "volumeMounts")):
        where, name = f"{path}.volumeMounts[{index}]", mount.get("name", "")
        place = mount.get("mountPath", "")
        if name not in volumes:
            yield absent(f"{where}.name", name)
        if not place:
            yield required(f"{where}.mountPath")
        elif place in places:
            yield invalid(f"{where}.mountPath", place, "must be unique")
        places.add(place)


def _resources(resources: Body, path: str) -> Errors:
    requests, limits = mapping(resources, "requests"), mapping(resources, "limits")
    for field, listed in (("limits", limits), ("requests", requests)):
        for name, text in listed.items():
            if field == "limits" or text != limits.get(name):
                yield from _amount(name, text, f"{path}.{field}[{name}]")
    for name, text in requests.items():
        most = limits.get(name)
        if most is not None and parse_quantity(text) > parse_quantity(most):
            why = f"must be less than or equal to {name} limit of {most}"
            yield invalid(f"{path}.requests", text, why)


def _amount(name: str, text: str, path: str) -> Errors:
    if problem := qualified_problem(name):
        yield invalid(path, name, problem)
    elif "/" not in name and name not in _STANDARD:
        yield invalid(path, name, "must be a standard resource for containers")
    if parse_quantity(text) < 0:
        yield invalid(path, text, _NOT_NEGATIVE)


def _scheduling(spec: Body, path: str) -> Errors:
    yield from validate_labels(mapping(spec, "nodeSelector"), f"{path}.nodeSelector")
    for index, toleration in enumerate(items(spec, "tolerations")):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")
    affinity = mapping(spec, "affinity")
    yield from _node_affinity(mapping(affinity, "nodeAffinity"), f"{path}.affinity.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        yield from _pod_affinity(mapping(affinity, kind), f"{path}.affinity.{kind}")


def _toleration(toleration: Body, path: str) -> Errors:
    key, value, operator, effect = (
        toleration.get(field, "") for field in ("key", "value", "operator", "effect")
    )
    if key and (problem := qualified_problem(key)):
        yield invalid(f"{path}.key", key, problem)
    if not key and operator != "Exists":
        yield invalid(f"{path}.operator", operator, "operator must be Exists when `key` is empty")
    if "tolerationSeconds" in toleration and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid(f"{path}.effect", effect, why)
    if operator not in ("", "Equal", "Exists"):
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))
    elif operator == "Exists" and value:
        yield invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif problem := value_problem(value):
        yield invalid(f"{path}.operator", value, problem)
    if effect and effect not in _EFFECTS:
        yield not_supported(f"{path}.effect", effect, _EFFECTS)


def _node_affinity(affinity: Body, path: str) -> Errors:
    terms = items(affinity, _REQUIRED, "nodeSelectorTerms")
    if _REQUIRED in affinity and not terms:
        yield required(f"{path}.{_REQUIRED}.nodeSelectorTerms", "must have at least one term")
    for index, term in enumerate(terms):
        yield from _node_term(term, f"{path}.{_REQUIRED}.nodeSelectorTerms[{index}]")
    for index, preferred in enumerate(items(affinity, _PREFERRED)):
        where = f"{path}.{_PREFERRED}[{index}]"
        if not 1 <= (weight := preferred.get("weight", 0)) <= 100:  # noqa: PLR2004
            yield invalid(f"{where}.weight", weight, "must be in the range 1-100")
        yield from _node_term(mapping(preferred, "preference"), f"{where}.preference")


def _node_term(term: Body, path: str) -> Errors:
    for index, one in enumerate(items(term, "matchExpressions")):
        if one.get("operator") not in ("Gt", "Lt"):
            yield from validate_requirement(one, f"{path}.matchExpressions[{index}]")


def _pod_affinity(affinity: Body, path: str) -> Errors:
    preferred = (mapping(one, "podAffinityTerm") for one in items(affinity, _PREFERRED))
    for field, terms in ((_REQUIRED, items(affinity, _REQUIRED)), (_PREFERRED, preferred)):
        for index, term in enumerate(terms):
            where, topology = f"{path}.{field}[{index}]", term.get("topologyKey", "")
            yield from validate_selector(term.get("labelSelector"), f"{where}.labelSelector")
            if not topology:
                yield required(f"{where}.topologyKey", "can not be empty")
            if problem := qualified_problem(topology):
                yield invalid(f"{where}.topologyKey", topology, problem)


def validate_pod_update(body: Body, before: Body) -> Errors:
    """Check that a pod changes only its images, its deadline and its tolerations."""
    spec, old = mapping(body, "spec"), mapping(before, "spec")
    new = [_without(one, "tolerationSeconds") for one in items(spec, "tolerations")]
    if any(_without(one, "tolerationSeconds") not in new for one in items(old, "tolerations")):
        why = "existing toleration can not be modified except its tolerationSeconds"
        yield disallowed("spec.tolerations", why)
    if _frozen(spec) != _frozen(old):
        yield disallowed("spec", _POD_UPDATES)


def _frozen(spec: Body) -> Body:
    kept = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "tolerations")
    }
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [_without(one, "image") for one in kept[field]]
    return kept


def _without(body: Body, key: str) -> Body:
    return {name: value for name, value in body.items() if name != key}


def validate_ephemeral_update(body: Body, before: Body) -> Errors:
    """Check that ephemeral containers are only added."""
    path = "spec.ephemeralContainers"
    new = {one.get("name"): one for one in items(body, "spec", "ephemeralContainers")}
    for old in items(before, "spec", "ephemeralContainers"):
        if old["name"] not in new:
            yield disallowed(path, "existing ephemeral containers may not be removed")
        elif new[old["name"]] != old:
            yield disallowed(path, "existing ephemeral containers may not be changed")
    yield from validate_pod_spec(mapping(body, "spec"), "spec")
