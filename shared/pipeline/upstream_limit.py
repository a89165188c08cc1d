"""Remember the images that their registries postpone, so that no instance asks again too early."""

from datetime import datetime
from typing import TYPE_CHECKING

from shared.domain.action import Postpone
from shared.domain.mirror import Source
from shared.domain.postponement import Postponement, postponement_name
from shared.errors import ImageError
from shared.pipeline.ttl_cache import TtlCache

if TYPE_CHECKING:
    from shared.pipeline.execute import Executor
    from shared.pipeline.ports import ClusterApi

_REMEMBERED_S = 300.0
"""How long an instance reuses a record of a cluster."""


class UpstreamLimits:
    """
    The postponed images.

    Args:
        execute: Keeps the records in the cluster.
        namespace: The namespace of the records.
    """

    def __init__(self, execute: "Executor", namespace: str) -> None:
        self._execute = execute
        self._namespace = namespace
        self._known = TtlCache[Postponement](_REMEMBERED_S)

    def check(self, cluster: "ClusterApi", source: Source, now: datetime) -> None:
        """
        Check that the upstream of an image may be asked.

        Raises:
            ImageError: It named a later time for a retry (``postponed``).
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if not source.has_upstream:
            return
        known = self._known.get(source.mirror)
        if known is None or known.not_before <= now:
            body = cluster.fetch_job(postponement_name(source))
            known = None if body is None else Postponement.from_body(body)
        if known is not None and known.not_before > now:
            self._known.put(source.mirror, known)
            raise known.as_error()

    def remember(self, cluster: "ClusterApi", source: Source, error: ImageError) -> None:
        """
        Record an upstream's refusal that names a time for a retry; ignore any other.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        postponement = Postponement.of(source, error)
        if postponement is not None and source.has_upstream:
            self._known.put(source.mirror, postponement)
            self._execute.perform((Postpone(postponement, self._namespace),), cluster)
