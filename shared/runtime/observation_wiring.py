"""The wiring of pull_event, the function that writes facts."""

import functools
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.pipeline.observe import Observer
    from shared.settings.keys import Settings


class ObservationWiring:
    """The services of pull_event, made once per instance; an irrelevant entry needs none."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ

    @functools.cached_property
    def settings(self) -> "Settings":
        """The configuration."""
        from shared.settings.keys import load_settings

        return load_settings(self._environ)

    @functools.cached_property
    def observer(self) -> "Observer":
        """The step that observes reports; each client connects when it is first used."""
        from shared.clients.container_api import ClusterDirectory
        from shared.clients.endpoint import Endpoints
        from shared.clients.fact_log import FactLog, leave_out_grpc
        from shared.pipeline.execute import Executor
        from shared.pipeline.observe import Observer
        from shared.pipeline.watched_clusters import is_watched

        leave_out_grpc(self._environ)
        settings, endpoints = self.settings, Endpoints.from_environ(self._environ)
        facts = FactLog(settings.deployment_project, emulator_host=endpoints.logging)
        directory = ClusterDirectory(endpoints, namespace=settings.namespace)
        return Observer(
            settings,
            connect=directory.connect,
            is_watched=functools.partial(is_watched, settings=settings, directory=directory),
            execute=Executor(facts, dry_run=settings.dry_run),
        )
