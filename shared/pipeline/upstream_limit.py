"""Remember the images that their registries postpone, so that no instance asks again too early."""

from collections.abc import Callable
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


class KnownLimitError(ImageError):
    """An upstream named a later time for a retry before, and a fact has it."""


def read_limit(cluster: "ClusterApi", source: Source, now: datetime) -> Postponement | None:
    """
    Return the record of an image that its registry still postpones; None without one.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    body = cluster.fetch_job(postponement_name(source))
    known = None if body is None else Postponement.from_body(body)
    return known if known is not None and known.not_before > now else None


class UpstreamLimits:
    """
    The postponed images.

    Args:
        execute: Keeps the records in the cluster.
        namespace: The namespace of the records.
        may_be_limited: Whether another than us may limit pulls of an image.
    """

    def __init__(
        self, execute: "Executor", namespace: str, may_be_limited: Callable[[Source], bool]
    ) -> None:
        self._execute = execute
        self._namespace = namespace
        self._may_be_limited = may_be_limited
        self._known = TtlCache[Postponement](_REMEMBERED_S)

    def check(self, cluster: "ClusterApi", source: Source, now: datetime) -> None:
        """
        Check that the upstream of an image may be asked.

        Raises:
            KnownLimitError: It named a later time for a retry (``postponed``).
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        known = self._known.get(source.mirror)
        if known is None or known.not_before <= now:
            known = None
            if self._may_be_limited(source):
                known = read_limit(cluster, source, now)
        if known is not None:
            self._known.put(source.mirror, known)
            raise KnownLimitError(
                "postponed", known.reason, hint=known.hint, not_before=known.not_before
            )

    def remember(self, cluster: "ClusterApi", source: Source, error: ImageError) -> None:
        """
        Record a refusal that names a time for a retry; ignore any other.

        Raises:
            TransientError: The cluster is unavailable.
            ConfigurationError: It refuses our identity.
        """
        postponement = Postponement.of(source, error)
        if postponement is not None and not isinstance(error, KnownLimitError):
            self._known.put(source.mirror, postponement)
            self._execute.perform((Postpone(postponement, self._namespace),), cluster)
