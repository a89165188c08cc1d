"""Delete repositories of Artifact Registry, which no function may do."""

from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.deadline import RPC_TIMEOUT_S
from shared.clients.vendor_error import google_errors
from shared.clients.vendor_import import IMPORTING
from shared.domain.mirror import RepositoryName


class RepositoryRemoval(ArtifactRegistry):
    """Reads, creates and deletes repositories."""

    def delete_repository(self, name: RepositoryName) -> None:
        """
        Request the deletion of a repository; a missing one is not an error.

        Raises:
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        with IMPORTING:
            from google.api_core.exceptions import NotFound

        with google_errors(f"delete repository {name}"):
            try:
                self._client.delete_repository(name=str(name), timeout=RPC_TIMEOUT_S)
            except NotFound:
                return
