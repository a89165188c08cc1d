"""
The configuration of an image, which names its platform if the manifest does not.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

import json
from typing import Final

from shared.clients.registry import RegistryClient
from shared.clients.vendor_error import from_status
from shared.domain.image_reference import ImageReference
from shared.domain.json_access import mapping_of, text_of

_OK: Final = 200


class ImageConfigs(RegistryClient):
    """Fetches configurations and manifests from registries."""

    def fetch_platform_of(self, reference: ImageReference, config_digest: str) -> str | None:
        """
        Fetch the platform of a configuration, ``os/architecture``; None if it names none.

        Raises:
            TransientError: No answer in time, or 5xx.
            ConfigurationError: The registry refuses it.
        """
        path = f"/v2/{reference.repository}/blobs/{config_digest}"
        action = f"fetch the configuration of {reference}"
        try:
            answer = self._fetch(reference, path, {}, action)
            if answer.status != _OK:
                raise from_status(answer.status, f"cannot {action}: {answer.status}")
            config = mapping_of(json.loads(answer.body))
        except (ValueError, RecursionError):
            return None
        system, architecture = text_of(config.get("os")), text_of(config.get("architecture"))
        return f"{system}/{architecture}" if system and architecture else None
