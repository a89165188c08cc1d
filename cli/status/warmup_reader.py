"""Read the states of images from Jobs, facts and prewarmed artifacts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

from cli.connect.hub_pulls import HUB_FACTS, HubPulls, count_hub_pulls, read_hub_pulls
from cli.status.resolved_image import ResolvedImage
from cli.status.warmup_state import Observation, job_key, read_artifact, read_fact, read_job
from shared.domain.cluster import ClusterName, mirror_location
from shared.domain.fact import Fact
from shared.domain.image_reference import (
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.job_state import JobState
from shared.domain.ladder import PREWARM_RUNG
from shared.domain.mirror import ArtifactPath, RepositoryName, make_repository_id
from shared.domain.mirror_reference import trace_upstream
from shared.domain.node import Node
from shared.domain.placement import ACCELERATOR_KEY, DEFAULT_PLATFORM
from shared.domain.prewarm import (
    ArtifactVersion,
    PrewarmedArtifact,
    PrewarmRefusedError,
)
from shared.domain.warmup_job import SELECTOR
from shared.errors import EventError
from shared.pipeline.ports import ClusterApi, PrewarmReader
from shared.pipeline.read_warmup import is_warmup, read_ended_warmup
from shared.pipeline.report_warmup import make_fact
from shared.settings.keys import Settings

_EVENTS_LAST = timedelta(hours=1)
"""How long Kubernetes keeps events; for an older failure, only its fact has the reason."""

_PERIODS_BACK = 2
"""Number of periods for which facts are read; older facts are not relevant."""

Payload = Mapping[str, Any]

_T = TypeVar("_T")


class PrewarmDirectory(PrewarmReader, Protocol):
    """The prewarm API, and the repositories that may hold prewarmed images."""

    def list_repositories(self, project: str) -> Iterable[RepositoryName]: ...  # noqa: D102


class FactSource(Protocol):
    """The log of facts, to read."""

    def read(self, since: datetime, more: str = "") -> Iterable[Payload]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read."""

    what: str
    error: Exception
    cluster: str | None = None
    """The cluster whose Jobs could not be read."""

    def __str__(self) -> str:
        return f"{self.what}: {self.error}"


@dataclass(frozen=True, slots=True)
class Observations:
    """The observed warmups, and the reads that failed."""

    observations: tuple[Observation, ...]
    problems: tuple[Problem, ...] = ()


class WarmupReader:
    """Reads warmups; each read covers everything once."""

    def __init__(
        self,
        settings: Settings,
        *,
        facts: FactSource | None,
        prewarming: PrewarmDirectory | None = None,
    ) -> None:
        """
        Wire the parts.

        Args:
            settings: The configuration.
            facts: The log of facts; None to skip it.
            prewarming: The prewarm API, read if the ladder has its rung; None to skip it.
        """
        self._settings = settings
        self._facts = facts
        self._prewarming = prewarming if PREWARM_RUNG in settings.ladder else None
        self.period = timedelta(hours=settings.period_hours)
        self._retention = timedelta(days=settings.prewarm_days)

    def look(
        self,
        clusters: Sequence[ClusterApi],
        now: datetime,
        resolved: Sequence[ResolvedImage] | None = None,
    ) -> Observations:
        """
        Return the warmups of some clusters.

        Args:
            clusters: Connections to them.
            now: The time.
            resolved: The images to match; ``None`` for all.
        """
        problems: list[Problem] = []
        facts = self._read_facts(now, resolved, problems)
        names = {str(each.name) for each in clusters}
        written = {key: each for key, each in facts.items() if each.cluster in names}
        seen: dict[str, Observation] = {}
        for cluster in clusters:
            for each in self._read_jobs(cluster, written, now, problems):
                seen[each.key] = each
        artifacts = (
            self._check(clusters, resolved, problems)
            if resolved
            else self._list(clusters, [*written.values(), *seen.values()], problems)
        )
        for each in artifacts:
            seen[f"{each.cluster} {each.key}"] = each
        return Observations(tuple({**written, **seen}.values()), tuple(problems))

    def count_hub_pulls(self, now: datetime) -> tuple[HubPulls, ...]:
        """
        Count the recent pulls of docker.io images by their own names.

        Raises:
            EventError: The log of facts cannot be read.
        """
        if self._facts is None:
            return ()
        entries = self._facts.read(now - self.period * _PERIODS_BACK, HUB_FACTS)
        return count_hub_pulls(read_hub_pulls(entries))

    def _read_facts(
        self, now: datetime, resolved: Sequence[ResolvedImage] | None, problems: list[Problem]
    ) -> dict[str, Observation]:
        if self._facts is None:
            return {}
        more = ['jsonPayload.event="warmup.finished"']
        if resolved is not None:
            names = {each.written.reference.repository.rpartition("/")[2] for each in resolved}
            wanted = " OR ".join(f'jsonPayload.image:"{name}"' for name in sorted(names))
            more.append(f"({wanted})")
        since = now - self.period * _PERIODS_BACK
        try:
            read = [read_fact(each) for each in self._facts.read(since, " AND ".join(more))]
        except EventError as exc:
            problems.append(Problem("the facts cannot be read", exc))
            return {}
        return {each.key: each for each in read if each is not None}

    def _read_jobs(
        self,
        cluster: ClusterApi,
        facts: Mapping[str, Observation],
        now: datetime,
        problems: list[Problem],
    ) -> Iterator[Observation]:
        name = str(cluster.name)
        try:
            bodies = [each for each in cluster.list_jobs(SELECTOR) if is_warmup(each)]
        except EventError as exc:
            problems.append(Problem(f"the Jobs of {name} cannot be read", exc, name))
            return
        for body in bodies:
            key = job_key(name, JobState.from_body(body).uid)
            fact = facts[key].fact if key in facts else None
            seen = read_job(body, fact, cluster=name, period=self.period)
            is_unclear = seen.is_finished and fact is None and seen.progress != "good"
            if is_unclear and now - seen.at < _EVENTS_LAST:
                said = self._describe(cluster, body, problems)
                if said is not None:
                    seen = read_job(body, said.payload, cluster=name, period=self.period)
            yield seen

    def _describe(self, cluster: ClusterApi, body: Payload, problems: list[Problem]) -> Fact | None:
        """Return the fact of a Job whose own fact is not written yet, or cannot be read."""
        try:
            ended = read_ended_warmup(cluster, body)
            return None if ended is None else make_fact(ended)
        except EventError as exc:
            problems.append(Problem("the end of a warmup cannot be read", exc))
            return None

    def _list(
        self,
        clusters: Sequence[ClusterApi],
        known: Sequence[Observation],
        problems: list[Problem],
    ) -> Iterator[Observation]:
        """
        List the prewarmed images in the regions of clusters.

        Their repositories are all of the project, our mirrors, and those of the known warmups.
        """
        api = self._prewarming
        if api is None:
            return
        found = {each for each in map(_repository_of, known) if each is not None}
        found.update(*(self._mirrors_of(each.name) for each in clusters))
        found.update(_ask(partial(_list_repositories, api, self._settings.project), problems))
        for repository in sorted(found, key=str):
            for each in _ask(partial(_list_artifacts, api, repository), problems):
                for cluster in clusters:
                    if each.location == cluster.name.region:
                        yield self._read_artifact(each, cluster.name)

    def _check(
        self,
        clusters: Sequence[ClusterApi],
        resolved: Sequence[ResolvedImage],
        problems: list[Problem],
    ) -> Iterator[Observation]:
        """
        Yield the prewarmed artifacts of some images.

        An image is prewarmed in a cluster once each platform of its accelerator nodes is.
        """
        api = self._prewarming
        if api is None:
            return
        platforms = {each.name: _read_platforms(each, problems) for each in clusters}
        for each in resolved:
            versions = _versions_of(each, platforms.get(each.cluster, frozenset()))
            found = [
                _ask(_checking(api, version, each.cluster.region), problems) for version in versions
            ]
            artifacts = [artifact for answer in found for artifact in answer]
            unfinished = [artifact for artifact in artifacts if artifact.state != "ACTIVE"]
            if all(found) and not unfinished:
                artifacts = sorted(artifacts, key=lambda artifact: artifact.expires)[:1]
            else:
                artifacts = unfinished
            for artifact in artifacts:
                yield read_artifact(
                    artifact,
                    image=each.written.text,
                    mirror=each.mirror,
                    digest=each.digest or artifact.digest,
                    cluster=str(each.cluster),
                    retention=self._retention,
                )

    def _read_artifact(self, artifact: PrewarmedArtifact, cluster: ClusterName) -> Observation:
        try:
            reference = parse_reference(artifact.uri)
            settings = self._settings
            image = trace_upstream(reference, settings.project, settings.mirror_hosts) or reference
            name, mirror = image.name, reference.name
        except InvalidReferenceError:
            name = mirror = artifact.uri
        return read_artifact(
            artifact,
            image=name,
            mirror=mirror,
            digest=artifact.digest,
            cluster=str(cluster),
            retention=self._retention,
        )

    def _mirrors_of(self, cluster: ClusterName) -> list[RepositoryName]:
        location = mirror_location(self._settings.location, cluster.location)
        return [
            RepositoryName(
                self._settings.project, location, upstream.repository or make_repository_id(host)
            )
            for host, upstream in self._settings.upstreams.items()
            if upstream.is_mirrored
        ]


def _read_platforms(cluster: ClusterApi, problems: list[Problem]) -> frozenset[str]:
    """Return the platforms of the accelerator nodes of a cluster; without any, the default."""
    try:
        nodes = [Node.from_body(body) for body in cluster.list_nodes(ACCELERATOR_KEY)]
    except EventError as exc:
        problems.append(Problem(f"the nodes of {cluster.name} cannot be read", exc))
        nodes = []
    found = frozenset(node.platform for node in nodes if node.platform)
    return found or frozenset({DEFAULT_PLATFORM})


def _versions_of(resolved: ResolvedImage, platforms: Iterable[str]) -> list[ArtifactVersion]:
    """Return the versions of an image that Artifact Registry would have prewarmed."""
    mirror, manifest = resolved.mirror, resolved.manifest
    if mirror is None or manifest is None or resolved.digest is None:
        return []
    digests = ((name, manifest.platform_digest(name)) for name in sorted(platforms))
    versions = (
        ArtifactVersion.of(parse_reference(mirror), digest, name)
        for name, digest in digests
        if digest is not None
    )
    return [version for version in versions if version is not None]


def _checking(
    api: PrewarmReader, version: ArtifactVersion, region: str
) -> Callable[[], list[PrewarmedArtifact]]:
    def check() -> list[PrewarmedArtifact]:
        found = api.check(version, location=region)
        return [] if found is None else [found]

    return check


def _repository_of(observation: Observation) -> RepositoryName | None:
    """Return the repository of Artifact Registry that a warmup pulled from."""
    try:
        reference = parse_reference(observation.mirror or "")
    except InvalidReferenceError:
        return None
    path = ArtifactPath.split(reference.registry, reference.repository)
    return None if path is None else path.repository


def _list_artifacts(api: PrewarmReader, repository: RepositoryName) -> list[PrewarmedArtifact]:
    return list(api.list_artifacts(repository))


def _list_repositories(api: PrewarmDirectory, project: str) -> list[RepositoryName]:
    return list(api.list_repositories(project))


def _ask(question: Callable[[], list[_T]], problems: list[Problem]) -> list[_T]:
    try:
        return question()
    except (EventError, PrewarmRefusedError) as exc:
        problems.append(Problem("the prewarmed images cannot be read", exc))
        return []
