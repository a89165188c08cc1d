"""Read a cluster or a registry, and distinguish a refusal from a missing object."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from cli.connect.service_error import explain
from cli.doctor.response import GoogleRequest, NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName, UnknownClusterError
from shared.errors import EventError

T = TypeVar("T")


class GoogleReader(Protocol):
    """The reads of Google's services."""

    def read(self, look: GoogleRequest) -> Response: ...  # noqa: D102


class Cluster(Protocol):
    """The reads of a cluster's API."""

    @property
    def name(self) -> ClusterName: ...  # noqa: D102
    def list_nodes(self) -> Iterable[Mapping[str, Any]]: ...  # noqa: D102
    def list_objects(self, api_version: str, plural: str) -> Iterable[dict[str, Any]]: ...  # noqa: D102
    def fetch_object(  # noqa: D102
        self, api_version: str, plural: str, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None: ...
    def fetch_discovery(self, path: str) -> Mapping[str, Any] | None: ...  # noqa: D102
    def review_access(self, attributes: Mapping[str, str], user: str | None = None) -> bool: ...  # noqa: D102


def try_call(what: str, ask: Callable[[], T]) -> T | Unavailable:
    """Return the answer of an API, or the reason why it is missing."""
    try:
        return ask()
    except (EventError, UnknownClusterError) as exc:
        return Unavailable(what, explain(exc))


def try_fetch(
    cluster: Cluster, api_version: str, plural: str, name: str, namespace: str | None = None
) -> Response:
    """Return an object of a cluster."""
    what = f"{plural} {name} of {cluster.name}"
    found = try_call(what, lambda: cluster.fetch_object(api_version, plural, name, namespace))
    return NotFound(what) if found is None else found


def try_list(
    cluster: Cluster, plural: str, ask: Callable[[], Iterable[Mapping[str, Any]]]
) -> list[Mapping[str, Any]] | Unavailable:
    """Return objects of a cluster; an incomplete list counts as a failure."""
    return try_call(f"{plural} of {cluster.name}", lambda: list(ask()))
