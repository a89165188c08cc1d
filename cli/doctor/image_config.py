"""
The configuration of an image, which names its platform if the manifest does not.

https://github.com/opencontainers/image-spec/blob/main/config.md
"""

import json
from typing import Final

from shared.clients.deadline import TIMEOUT
from shared.clients.registry import RegistryClient
from shared.clients.vendor_error import from_status, request_errors
from shared.domain.image_reference import ImageReference
from shared.domain.json_access import mapping_of, text_of

_OK: Final = 200
_MAX_BYTES: Final = 4 * 1024 * 1024


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
        base, headers = f"https://{reference.registry}", {}
        if self._emulator_host is not None:
            base, headers["Host"] = f"http://{self._emulator_host}", reference.registry
        action = f"fetch the configuration of {reference}"
        with (
            request_errors(action),
            self._session.get(base + path, headers=headers, timeout=TIMEOUT, stream=True) as answer,
        ):
            content = answer.raw.read(_MAX_BYTES, decode_content=True)
        if answer.status_code != _OK:
            raise from_status(answer.status_code, f"cannot {action}: {answer.status_code}")
        try:
            config = mapping_of(json.loads(content))
        except (ValueError, RecursionError):
            return None
        system, architecture = text_of(config.get("os")), text_of(config.get("architecture"))
        return f"{system}/{architecture}" if system and architecture else None
