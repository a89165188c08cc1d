"""Priority: a pod's priority comes from its class, and from nothing else."""

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.statuses import forbidden
from sandbox.kubernetes.store import Store

_CLASSES = "priorityclasses.scheduling.k8s.io"


def admit_priority(attributes: Attributes, store: Store) -> None:
    """Resolve the class of a new pod; a class that does not exist is refused."""
    if attributes.resource.key == _CLASSES:
        _check_default(attributes, store)
    if (attributes.verb, attributes.resource.key) != ("create", "pods") or attributes.subresource:
        return
    spec = attributes.body["spec"]
    chosen = _class_of(attributes, store)
    priority = chosen.get("value", 0)
    if spec.get("priority", priority) != priority:
        raise forbidden(
            attributes.resource,
            attributes.name,
            "the integer value of priority "
            f"({spec['priority']}) must not be provided in pod spec; priority admission controller "
            f"computed {priority} from the given PriorityClass name",
        )
    policy = chosen.get("preemptionPolicy", "PreemptLowerPriority")
    if spec.get("preemptionPolicy", policy) != policy:
        raise forbidden(
            attributes.resource,
            attributes.name,
            "the string value of PreemptionPolicy "
            f"({spec['preemptionPolicy']}) must not be provided in pod spec; priority admission "
            f"controller computed {policy} from the given PriorityClass name",
        )
    spec["priority"] = priority
    spec["preemptionPolicy"] = policy


def _class_of(attributes: Attributes, store: Store) -> Body:
    spec = attributes.body["spec"]
    name = spec.get("priorityClassName")
    if name:
        stored = store.get(_CLASSES, ("", name))
        if stored is None:
            why = f"no PriorityClass with name {name} was found"
            raise forbidden(attributes.resource, attributes.name, why)
        return stored.body
    for (_, default), stored in store.scan(_CLASSES):
        if stored.body.get("globalDefault"):
            spec["priorityClassName"] = default
            return stored.body
    return {}


def _check_default(attributes: Attributes, store: Store) -> None:
    if not attributes.body.get("globalDefault"):
        return
    for (_, name), stored in store.scan(_CLASSES):
        if stored.body.get("globalDefault") and name != attributes.name:
            raise forbidden(
                attributes.resource,
                attributes.name,
                f"PriorityClass {name} is already marked as default. Only one default can exist",
            )
