"""The wiring of image_reference, the function that creates mirrors and warmup Jobs."""

import functools
from collections.abc import MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.clients.endpoint import Endpoints
from shared.settings.keys import Settings, load_settings

if TYPE_CHECKING:
    from shared.clients.container_api import ClusterDirectory
    from shared.clients.publisher import ReferencePublisher
    from shared.pipeline.execute import Executor
    from shared.pipeline.prewarm_artifact import PrewarmRung
    from shared.pipeline.warm import Warmer


class WarmupWiring:
    """The services of image_reference, made once per instance when they are first read."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ

    @functools.cached_property
    def settings(self) -> Settings:
        """The configuration."""
        return load_settings(self._environ)

    @functools.cached_property
    def warmer(self) -> "Warmer":
        """The step that warms an image in a cluster; each client connects when it is first used."""
        from shared.clients.artifact_registry import ArtifactRegistry
        from shared.clients.fact_log import FactLog, leave_out_grpc
        from shared.clients.registry import RegistryClient
        from shared.pipeline.execute import Executor
        from shared.pipeline.mirror_lookup import Mirrors
        from shared.pipeline.warm import Warmer
        from shared.pipeline.warmup_lookup import WarmupLookup
        from shared.pipeline.watched_clusters import is_watched

        leave_out_grpc(self._environ)
        settings, endpoints = self.settings, self._endpoints
        repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
        execute = Executor(
            FactLog(settings.deployment_project, emulator_host=endpoints.logging),
            repositories=lambda: repositories,
            dry_run=settings.dry_run,
        )
        mirrors = Mirrors(
            settings,
            registry=RegistryClient(emulator_host=endpoints.artifact_registry),
            repositories=lambda: repositories,
            execute=execute,
        )
        return Warmer(
            WarmupLookup(
                settings,
                mirrors,
                self._make_prewarm_rung(execute),
                reads_for_creation=not settings.dry_run,
            ),
            connect=self.directory.connect,
            is_watched=functools.partial(is_watched, settings=settings, directory=self.directory),
            execute=execute,
        )

    @functools.cached_property
    def directory(self) -> "ClusterDirectory":
        """The clusters."""
        from shared.clients.container_api import ClusterDirectory

        return ClusterDirectory(self._endpoints, namespace=self.settings.namespace)

    @functools.cached_property
    def publisher(self) -> "ReferencePublisher":
        """The topic of references."""
        from shared.clients.publisher import ReferencePublisher

        return ReferencePublisher(
            self.settings.deployment_project, emulator_host=self._endpoints.pubsub
        )

    @functools.cached_property
    def _endpoints(self) -> Endpoints:
        return Endpoints.from_environ(self._environ)

    def _make_prewarm_rung(self, execute: "Executor") -> "PrewarmRung | None":
        from shared.domain.ladder import PREWARM_RUNG

        if PREWARM_RUNG not in self.settings.ladder:
            return None
        from shared.clients.prewarm_api import PrewarmingClient
        from shared.pipeline.prewarm_artifact import PrewarmRung

        api = PrewarmingClient(emulator_host=self._endpoints.artifact_registry)
        return PrewarmRung(api, replace(execute, prewarm_api=api), self.settings.prewarm_days)
