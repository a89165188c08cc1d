"""The wiring of the detectors: audit_log, build_notification and registry_push."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.pipeline.ports import Publisher
    from shared.settings.keys import Settings


class DetectorWiring:
    """The services of a detector, made once per instance when they are first read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @functools.cached_property
    def settings(self) -> "Settings":
        """The configuration; most events are ignored without it."""
        from shared.settings.keys import load_settings

        return load_settings(self._environ)

    @functools.cached_property
    def publisher(self) -> "Publisher":
        """The client of Pub/Sub; importing it takes longer than the rest of a delivery."""
        from shared.clients.endpoint import Endpoints
        from shared.clients.publisher import ReferencePublisher

        return ReferencePublisher(
            self.settings.deployment_project,
            emulator_host=Endpoints.from_environ(self._environ).pubsub,
        )
