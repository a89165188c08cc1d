"""The version of MutatingAdmissionPolicy that an API server serves, and how GKE enables it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from shared.domain.cluster import ClusterName
from shared.domain.json_access import mapping_of, mappings_of

PolicyVersion = Literal["v1", "v1beta1"]

GROUP: Final = "admissionregistration.k8s.io"
POLICIES: Final = "mutatingadmissionpolicies"
BINDINGS: Final = "mutatingadmissionpolicybindings"

FOLDERS: Final[Mapping[PolicyVersion, str]] = {
    "v1": "infra/kubernetes/rewriting",
    "v1beta1": "infra/kubernetes/rewriting-v1beta1",
}
"""The manifests of each version, preferred first."""

_BETA_SINCE: Final = (1, 34)
_STABLE_SINCE: Final = (1, 36)


class Discovery(Protocol):
    """The reads of an API server that describe its API."""

    def fetch_discovery(self, path: str) -> Mapping[str, Any] | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ServedPolicies:
    """The API server's answer."""

    version: PolicyVersion | None
    """The preferred version that it serves; ``None`` if it serves neither."""
    kubernetes: tuple[int, int] | None = None
    """Its own version, such as (1, 35); ``None`` if it is unknown."""

    @property
    def has_beta_to_enable(self) -> bool:
        """Whether a beta API exists that the cluster can enable."""
        is_between = self.kubernetes is not None and (
            _BETA_SINCE <= self.kubernetes < _STABLE_SINCE
        )
        return self.version is None and is_between

    @property
    def kubernetes_text(self) -> str:
        """Kubernetes' name and version, as a sentence has it."""
        return "Kubernetes " + ".".join(map(str, self.kubernetes or ("of an unknown version",)))


def find_served_policies(cluster: Discovery) -> ServedPolicies:
    """
    Ask an API server which version it serves.

    The group alone does not answer this: older API servers serve other kinds of the same group
    and version.

    Raises:
        EventError: The API server does not answer, or refuses.
    """
    for version in FOLDERS:
        listed = cluster.fetch_discovery(f"/apis/{GROUP}/{version}") or {}
        if any(each.get("name") == POLICIES for each in mappings_of(listed.get("resources"))):
            return ServedPolicies(version)
    about = mapping_of(cluster.fetch_discovery("/version"))
    return ServedPolicies(None, _parse_version(about.get("major"), about.get("minor")))


def _parse_version(major: Any, minor: Any) -> tuple[int, int] | None:
    """
    Return the version of Kubernetes; GKE has a plus after the minor version.

    >>> _parse_version("1", "35+")
    (1, 35)
    >>> _parse_version(None, None)
    """
    try:
        return int(str(major)), int(str(minor).rstrip("+"))
    except ValueError:
        return None


def make_enabling_command(name: ClusterName) -> str:
    """
    Return the command that lets a GKE cluster serve the beta API.

    https://docs.cloud.google.com/kubernetes-engine/docs/how-to/use-beta-apis
    """
    apis = ",".join(f"{GROUP}/v1beta1/{plural}" for plural in (POLICIES, BINDINGS))
    return shlex.join(
        (
            *("gcloud", "container", "clusters", "update", name.name),
            *(f"--project={name.project}", f"--location={name.location}"),
            f"--enable-kubernetes-unstable-apis={apis}",
        )
    )
