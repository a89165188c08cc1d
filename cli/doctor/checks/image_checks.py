"""The examination of one image: whether nodes stream it, and why."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from cli.doctor.check import Check
from cli.doctor.checks import fact_history as histories
from cli.doctor.checks import image_manifest as images
from cli.doctor.checks import image_uses as uses
from cli.doctor.checks import node_conditions as nodes
from cli.doctor.checks.cluster_checks import FoundCluster
from cli.doctor.checks.image_manifest import ImageResponses, Refused
from cli.doctor.cluster_reads import Cluster, try_call, try_list
from cli.doctor.response import Body, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import ImageReference, parse_reference
from shared.domain.manifest import InvalidManifestError, Manifest, RegistryRefusalError
from shared.domain.mirror import ArtifactPath, Source, is_google_registry
from shared.domain.node_pool import has_accelerators, platform_of, pools_of
from shared.errors import EventError, ImageError
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.settings.keys import Settings

_DEFAULT_PLATFORM: Final = "linux/amd64"

Connect = Callable[[ClusterName], Cluster | Unavailable]


class Registry(Protocol):
    """The part of the registry API that examines an image."""

    def fetch_manifest(self, reference: ImageReference) -> Manifest: ...  # noqa: D102
    def fetch_platform_of(  # noqa: D102
        self, reference: ImageReference, config_digest: str
    ) -> str | None: ...


class Facts(Protocol):
    """The log of facts."""

    def read(self, since: datetime, more: str = "") -> Iterable[Mapping[str, Any]]: ...  # noqa: D102


class ImageChecks:
    """
    Examines an image, cluster by cluster.

    Args:
        settings: The configuration.
        registry: Returns manifests.
        facts: The log of facts.
        connect: Connects to clusters.
        now: The current time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry,
        facts: Facts,
        connect: Connect,
        now: datetime,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._facts = facts
        self._connect = connect
        self._now = now
        self._mirrors = Mirrors(
            settings,
            registry=registry,
            repositories=_no_repositories,
            execute=Executor(dry_run=True),
        )

    def examine(self, text: str, clusters: Sequence[FoundCluster]) -> Iterator[Check]:
        """
        Examine an image for clusters, which may pull it from different locations.

        Raises:
            InvalidReferenceError: The text is not a reference.
        """
        reference = parse_reference(text)
        seen: dict[Source, str | None] = {}
        for found in clusters:
            try:
                source = self._mirrors.locate(reference, found.name.location)
            except ImageError as exc:
                yield images.check_refused_name(text, exc)
                return
            yield images.check_place(text, source, found.name)
            if source not in seen:
                readings = self._read(text, source, self._platforms(clusters))
                yield from images.check_manifest(readings)
                yield images.check_size(readings, self._settings.min_image_bytes)
                answer = readings.answer
                seen[source] = answer.digest if isinstance(answer, Manifest) else None
            yield from self._examine_uses(text, found.name, source, seen[source])
        for source, digest in seen.items():
            yield from self._examine_history(text, source, digest)

    def project_of(self, text: str) -> str | None:
        """Return the project in which an image lies, if it is Artifact Registry's."""
        reference = parse_reference(text)
        artifact = ArtifactPath.split(reference.registry, reference.repository)
        return artifact.repository.project if artifact else None

    def _platforms(self, clusters: Iterable[FoundCluster]) -> list[str]:
        """Return the platforms of the clusters' nodes and pools, those with accelerators first."""
        found: dict[str, None] = {}
        for each in clusters:
            if not isinstance(each.body, Unavailable):
                pools = pools_of(each.body)
                wanted = [pool for pool in pools if has_accelerators(pool)] or pools
                found.update(dict.fromkeys(platform_of(pool) for pool in wanted))
            else:
                cluster = self._connect(each.name)
                if not isinstance(cluster, Unavailable):
                    listed = try_list(cluster, "nodes", cluster.list_nodes)
                    running = [] if isinstance(listed, Unavailable) else listed
                    found.update(dict.fromkeys(sorted(nodes.platforms_of(running))))
        return list(found) or [_DEFAULT_PLATFORM]

    def _read(self, text: str, source: Source, platforms: Iterable[str]) -> ImageResponses:
        answer = self._fetch(source.mirror, is_mirror=source.repository is not None)
        found: dict[str, Manifest | Refused | Unavailable] = {}
        if isinstance(answer, Manifest):
            found = {each: self._read_platform(source, answer, each) for each in platforms}
        return ImageResponses(text, source, answer, found)

    def _read_platform(
        self, source: Source, answer: Manifest, platform: str
    ) -> Manifest | Refused | Unavailable:
        if answer.is_index:
            digest = answer.digest_for(platform)
            if digest is None:
                named = ", ".join(each.platform for each in answer.platforms) or "none"
                return Refused(f"it has no manifest for {platform}; it has {named}")
            return self._fetch(source.mirror.at(digest))
        mirror, config = source.mirror, answer.config_digest
        made_for = try_call(
            f"the configuration of {mirror}",
            lambda: self._registry.fetch_platform_of(mirror, config) if config else None,
        )
        if isinstance(made_for, Unavailable):
            return made_for
        if made_for is not None and made_for != platform:
            return Refused(f"it is made for {made_for} only")
        return answer

    def _fetch(
        self, reference: ImageReference, *, is_mirror: bool = False
    ) -> Manifest | Refused | Unavailable:
        what = f"the manifest of {reference}"
        try:
            return self._registry.fetch_manifest(reference)
        except InvalidManifestError as exc:
            return Refused(str(exc), is_unusable=True)
        except RegistryRefusalError as exc:
            if exc.status in {401, 403} and is_google_registry(reference.registry):
                right = "artifactregistry.repositories.downloadArtifacts"
                return Unavailable(what, f"{exc}; or it does not exist", right)
            return Refused(str(exc), lacks_mirror=is_mirror and exc.code == "NAME_UNKNOWN")
        except EventError as exc:
            return Unavailable(what, str(exc))

    def _examine_uses(
        self, text: str, name: ClusterName, source: Source, digest: str | None
    ) -> Iterator[Check]:
        cluster = self._connect(name)
        if isinstance(cluster, Unavailable):
            yield from uses.check_uses(text, name, source, cluster)
            return
        pods = try_list(cluster, "pods", lambda: _others(cluster, self._settings.namespace))
        found = pods if isinstance(pods, Unavailable) else uses.find_uses(pods, source, digest)
        yield from uses.check_uses(text, name, source, found)

    def _examine_history(self, text: str, source: Source, digest: str | None) -> Iterator[Check]:
        project = self._settings.deployment_project
        entries = try_call(
            f"log prestream of project {project}",
            lambda: list(
                self._facts.read(
                    self._now - histories.SINCE, histories.filter_of(text, source, digest)
                )
            ),
        )
        period = timedelta(hours=self._settings.period_hours)
        yield from histories.check_history(text, entries, self._now, period)


def _others(cluster: Cluster, namespace: str) -> Iterator[Body]:
    """Yield the pods of workloads."""
    for pod in cluster.list_objects("v1", "pods"):
        if pod["metadata"].get("namespace") != namespace:
            yield pod


def _no_repositories() -> Any:
    """Raise an error: the location of an image follows from its name."""
    raise AssertionError("an examination does not create mirrors")
