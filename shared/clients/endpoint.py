"""The addresses of the services: Google's, or local replacements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Endpoints:
    """
    Addresses of local services, each ``host:port`` over plain HTTP; ``None`` for Google's own.

    ``kubeconfig`` is a path; if it is set, clusters are reached through its contexts.
    """

    pubsub: str | None = None
    artifact_registry: str | None = None
    gke: str | None = None
    logging: str | None = None
    kubeconfig: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the addresses from the variables of Google's emulators, and similar ones."""
        return cls(
            pubsub=environ.get("PUBSUB_EMULATOR_HOST") or None,
            artifact_registry=environ.get("ARTIFACT_REGISTRY_EMULATOR_HOST") or None,
            gke=environ.get("GKE_EMULATOR_HOST") or None,
            logging=environ.get("CLOUD_LOGGING_EMULATOR_HOST") or None,
            kubeconfig=environ.get("KUBECONFIG") or None,
        )
