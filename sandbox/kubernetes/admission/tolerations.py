"""DefaultTolerationSeconds: pods stay five minutes on a node that became unreachable."""

from sandbox.kubernetes.admission.attributes import Attributes
from sandbox.kubernetes.store import Store

_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def admit_tolerations(attributes: Attributes, _store: Store) -> None:
    """Add the two tolerations to a new pod that does not speak of those taints."""
    if (attributes.verb, attributes.resource.key) != ("create", "pods") or attributes.subresource:
        return
    listed = attributes.body["spec"].setdefault("tolerations", [])
    for taint in _TAINTS:
        if not any(
            one.get("key", "") in ("", taint) and one.get("effect", "") in ("", "NoExecute")
            for one in listed
        ):
            listed.append(
                {
                    "key": taint,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
            )
