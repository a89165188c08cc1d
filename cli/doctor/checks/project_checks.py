"""The examination of projects: APIs, messages, mirrors and their secrets."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from cli.doctor import google_requests
from cli.doctor.check import Check, unknown
from cli.doctor.checks import enabled_apis as apis
from cli.doctor.checks import iam_grants as grants
from cli.doctor.checks import message_flow as messaging
from cli.doctor.checks import mirror_settings as mirrors
from cli.doctor.cluster_reads import GoogleReader
from cli.doctor.response import NotFound, Unavailable
from shared.domain.cluster import ClusterName, mirror_location
from shared.domain.image_reference import DOCKER_HUB
from shared.domain.mirror import (
    RemoteRepository,
    RepositoryName,
    UpstreamCredentials,
    make_repository_id,
)
from shared.settings.keys import Settings

_BACKLOG: Final = timedelta(hours=1)


def examine_projects(
    settings: Settings, inspector: GoogleReader, clusters: Iterable[ClusterName], now: datetime
) -> Iterator[Check]:
    """Examine the project of the functions, that of the mirrors, and those of clusters."""
    names = list(clusters)
    projects = sorted({name.project for name in names} or {settings.deployment_project})
    yield from _examine_apis(settings, inspector, projects)
    for project in projects:
        yield from _examine_sinks(settings, inspector, project)
    yield from _examine_subscriptions(settings, inspector, now)
    for name in names:
        yield mirrors.check_region(name, settings.location)
    for wanted in wanted_mirrors(settings, names):
        yield from _examine_mirror(inspector, wanted)


def wanted_mirrors(settings: Settings, clusters: Iterable[ClusterName]) -> list[RemoteRepository]:
    """Return the configured mirrors in the locations of the clusters."""
    locations = {mirror_location(settings.location, name.location) for name in clusters}
    found = []
    for location in sorted(locations):
        for host, upstream in settings.upstreams.items():
            if not upstream.is_mirrored:
                continue
            credentials = None
            if upstream.username and upstream.password_secret_version:
                credentials = UpstreamCredentials(
                    upstream.username, upstream.password_secret_version
                )
            repository_id = upstream.repository or make_repository_id(host)
            uri = upstream.uri or (None if host == DOCKER_HUB else f"https://{host}")
            name = RepositoryName(settings.project, location, repository_id)
            found.append(RemoteRepository(name, host, uri, credentials, settings.cleanup_days))
    return found


def _examine_apis(
    settings: Settings, inspector: GoogleReader, projects: Iterable[str]
) -> Iterator[Check]:
    needed: dict[str, dict[str, str]] = {}
    for project in projects:
        needed.setdefault(project, {}).update(apis.OF_CLUSTERS)
    of_mirrors = needed.setdefault(settings.project, {})
    of_mirrors.update(apis.OF_IMAGES)
    if any(upstream.has_credentials for upstream in settings.upstreams.values()):
        of_mirrors.update(apis.WITH_CREDENTIALS)
    needed.setdefault(settings.deployment_project, {}).update(apis.OF_PIPELINE)
    for project, names in needed.items():
        look = google_requests.apis(project, names)
        yield from apis.check_apis(look, names, inspector.read(look))


def _examine_sinks(settings: Settings, inspector: GoogleReader, project: str) -> Iterator[Check]:
    home = settings.deployment_project
    for name, topic in messaging.SINKS.items():
        look = google_requests.sink(project, name)
        readings = messaging.SinkResponses(
            project=project,
            name=name,
            topic=f"projects/{home}/topics/{topic}",
            look=look,
            sink=inspector.read(look),
            policy=inspector.read(google_requests.topic_policy(home, topic)),
        )
        yield from messaging.check_sink(readings)


def _examine_subscriptions(
    settings: Settings, inspector: GoogleReader, now: datetime
) -> Iterator[Check]:
    home = settings.deployment_project
    for name, topic in messaging.SUBSCRIPTIONS.items():
        look = google_requests.subscription(home, name)
        yield from messaging.check_subscription(topic, look, inspector.read(look))
    look = google_requests.subscription(home, messaging.DEAD_LETTERS)
    backlog = google_requests.backlog(home, messaging.DEAD_LETTERS, now - _BACKLOG, now)
    yield from messaging.check_dead_letters(look, inspector.read(look), inspector.read(backlog))


def _examine_mirror(inspector: GoogleReader, wanted: RemoteRepository) -> Iterator[Check]:
    look = google_requests.repository(wanted.name)
    yield from mirrors.check_mirror(wanted, look, inspector.read(look))
    if wanted.credentials is None:
        return
    _, project, _, secret, _, version = wanted.credentials.password_secret_version.split("/")
    subject = f"secret {secret} of project {project}, for {wanted.upstream}"
    versions = google_requests.secret_version(project, secret, version)
    yield mirrors.check_secret_version(subject, versions, inspector.read(versions))
    number = grants.project_number(inspector.read(google_requests.project(wanted.name.project)))
    if isinstance(number, Unavailable):
        yield unknown("mirrors", "secret-access", subject, number)
        return
    agent = grants.artifact_registry_agent(number)
    policies = [
        google_requests.secret_policy(project, secret),
        google_requests.project_policy(project),
    ]
    yield grants.check_right(
        grants.reads_secret(agent, project, secret, wanted.upstream),
        [(each, inspector.read(each)) for each in policies],
        may_inherit=may_inherit(inspector, project),
    )


def may_inherit(inspector: GoogleReader, project: str) -> bool:
    """Whether a project may inherit grants of a folder or an organization."""
    body = inspector.read(google_requests.project(project))
    return isinstance(body, (NotFound, Unavailable)) or bool(body.get("parent"))
