"""Whether a trial runs against the sandbox, whose figures are not measurements."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

_VARIABLES: Final = (
    "ARTIFACT_REGISTRY_EMULATOR_HOST",
    "CLOUD_LOGGING_EMULATOR_HOST",
    "GKE_EMULATOR_HOST",
    "PUBSUB_EMULATOR_HOST",
)

BANNER: Final = (
    "SIMULATED: local emulators replace Google's services. Every figure below is simulated."
)


def is_simulated(environ: Mapping[str, str], nodes: Iterable[Mapping[str, Any]] = ()) -> bool:
    """
    Whether emulators replace a service of Google, or a node is the sandbox's.

    A cluster of the sandbox can also be reached without the variables, so its nodes are marked.

    >>> is_simulated({"GKE_EMULATOR_HOST": "127.0.0.1:1"}), is_simulated({"KUBECONFIG": "x"})
    (True, False)
    """
    return any(environ.get(name) for name in _VARIABLES) or any(map(_is_of_sandbox, nodes))


def _is_of_sandbox(node: Mapping[str, Any]) -> bool:
    annotations = (node.get("metadata") or {}).get("annotations") or {}
    return annotations.get("prestream.dev/simulated") == "true"
