"""The wiring of scheduled_sweep, the function that keeps images in use warm."""

import functools
from collections.abc import MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.domain.ladder import PREWARM_RUNG
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.sweep.sweep_cluster import Sweeper
from shared.settings.keys import Settings, load_settings

if TYPE_CHECKING:
    from shared.clients.publisher import ReferencePublisher, TickPublisher
    from shared.pipeline.prewarm_artifact import PrewarmRung


class SweepWiring:
    """The services of scheduled_sweep, made once per instance when they are first read."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ

    @functools.cached_property
    def settings(self) -> Settings:
        """The configuration."""
        return load_settings(self._environ)

    @functools.cached_property
    def directory(self) -> ClusterDirectory:
        """The clusters."""
        return ClusterDirectory(self._endpoints, namespace=self.settings.namespace)

    @functools.cached_property
    def tick_publisher(self) -> "TickPublisher":
        """The topic of ticks."""
        from shared.clients.publisher import TickPublisher

        return TickPublisher(self.settings.deployment_project, emulator_host=self._endpoints.pubsub)

    @functools.cached_property
    def sweeper(self) -> Sweeper:
        """The step that sweeps a cluster; each client connects when it is first used."""
        from shared.clients.artifact_registry import ArtifactRegistry
        from shared.clients.fact_log import FactLog, leave_out_grpc
        from shared.clients.registry import RegistryClient

        leave_out_grpc(self._environ)
        settings, endpoints = self.settings, self._endpoints
        repositories = ArtifactRegistry(emulator_host=endpoints.artifact_registry)
        mirrors = Mirrors(
            settings,
            registry=RegistryClient(emulator_host=endpoints.artifact_registry),
            repositories=lambda: repositories,
            # Only image_reference creates mirrors.
            execute=Executor(dry_run=True),
        )
        execute = Executor(
            FactLog(settings.deployment_project, emulator_host=endpoints.logging),
            publisher=self._make_publisher,
            dry_run=settings.dry_run,
        )
        return Sweeper(
            settings, mirrors=mirrors, execute=execute, prewarm=self._make_prewarm_rung(execute)
        )

    @functools.cached_property
    def _endpoints(self) -> Endpoints:
        return Endpoints.from_environ(self._environ)

    def _make_publisher(self) -> "ReferencePublisher":
        from shared.clients.publisher import ReferencePublisher

        return ReferencePublisher(
            self.settings.deployment_project, emulator_host=self._endpoints.pubsub
        )

    def _make_prewarm_rung(self, execute: Executor) -> "PrewarmRung | None":
        if PREWARM_RUNG not in self.settings.ladder:
            return None
        from shared.clients.prewarm_api import PrewarmingClient
        from shared.pipeline.prewarm_artifact import PrewarmRung

        api = PrewarmingClient(emulator_host=self._endpoints.artifact_registry)
        return PrewarmRung(api, replace(execute, prewarm_api=api), self.settings.prewarm_days)
