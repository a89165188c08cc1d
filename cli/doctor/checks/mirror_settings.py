"""Whether nodes can stream from the mirrors' locations, and the mirrors are as configured."""

from collections.abc import Iterator

from cli.doctor.check import Check, Verdict, command, unknown
from cli.doctor.response import Body, GoogleRequest, NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName, is_near, mirror_location
from shared.domain.json_access import field_at, mapping_of, text_of
from shared.domain.mirror import (
    RemoteRepository,
    RepositoryState,
    UpstreamCredentials,
    compare_repository,
)


def check_region(name: ClusterName, setting: str) -> Check:
    """Check that a cluster's nodes can stream from the configured location of mirrors."""
    location = mirror_location(setting, name.location)
    near = is_near(location, name.location)
    return Check(
        topic="mirrors",
        name="mirror-region",
        subject=f"mirrors for cluster {name}",
        verdict="ok" if near else "failed",
        looked_at="location in prestream.yaml",
        finding=f"they are in {location}"
        if near
        else f"they are in {location}, but the cluster's nodes stream only from {name.region} or"
        " the multi-region around it. Set location: region in prestream.yaml, and deploy again",
        fix=None if near else "make archives && terraform -chdir=infra apply",
    )


def check_mirror(
    wanted: RemoteRepository, look: GoogleRequest, reading: Response
) -> Iterator[Check]:
    """Check that the repository with a mirror's name is that mirror."""
    subject = f"mirror {wanted.name} of {wanted.upstream}"
    if isinstance(reading, Unavailable):
        yield unknown("mirrors", "mirror", subject, reading)
        return
    if isinstance(reading, NotFound):
        yield _make(
            subject, look, "ok", "it does not exist yet: the first warmup of its images creates it"
        )
        return
    comparison = compare_repository(wanted, _state(reading))
    if comparison == "another repository":
        found = "a repository of that name exists, but it is not a mirror of that upstream"
        hint = f"Name another one in upstreams.{wanted.upstream}.repository in prestream.yaml"
        yield _make(subject, look, "failed", f"{found}. {hint}", _describe(wanted))
    elif comparison == "credentials differ":
        found = "its upstream credentials differ from prestream.yaml"
        yield _make(subject, look, "warning", found, _describe(wanted))
    else:
        yield _make(subject, look, "ok", "it pulls through from its upstream")
    if key := text_of(reading.get("kmsKeyName")):
        found = (
            f"it is encrypted with {key}: images under a customer-managed key may not be streamed"
        )
        yield _make(subject, look, "warning", found, _describe(wanted))


def check_secret_version(subject: str, look: GoogleRequest, reading: Response) -> Check:
    """Check that a version of a secret exists and is enabled."""
    if isinstance(reading, Unavailable):
        return unknown("mirrors", "secret-version", subject, reading)
    state = "absent" if isinstance(reading, NotFound) else str(reading.get("state"))
    is_on = state == "ENABLED"
    _, project, _, secret, _, version = look.path.removeprefix("v1/").split("/")
    enable = ("gcloud", "secrets", "versions", "enable", version)
    add = ("gcloud", "secrets", "versions", "add")
    fix = (
        command(*enable, f"--secret={secret}", f"--project={project}")
        if state == "DISABLED"
        else f"{command(*add, secret, f'--project={project}')} --data-file=-"
    )
    return Check(
        topic="mirrors",
        name="secret-version",
        subject=subject,
        verdict="ok" if is_on else "failed",
        looked_at=str(look),
        finding="it is enabled"
        if is_on
        else f"it is {state.lower()}: Artifact Registry cannot log in upstream",
        fix=None if is_on else fix,
    )


def _state(body: Body) -> RepositoryState:
    """Return the state of a repository from its description in the API."""
    config = mapping_of(body.get("remoteRepositoryConfig"))
    docker = mapping_of(config.get("dockerRepository"))
    uri = text_of(field_at(config, ("commonRepository", "uri"))) or text_of(
        field_at(docker, ("customRepository", "uri"))
    )
    is_remote = (
        body.get("format") == "DOCKER"
        and body.get("mode") == "REMOTE_REPOSITORY"
        and (uri is not None or docker.get("publicRepository") == "DOCKER_HUB")
    )
    login = mapping_of(field_at(config, ("upstreamCredentials", "usernamePasswordCredentials")))
    version = text_of(login.get("passwordSecretVersion"))
    username = text_of(login.get("username")) or ""
    credentials = UpstreamCredentials(username, version) if version else None
    return RepositoryState(is_remote, uri, credentials)


def _describe(wanted: RemoteRepository) -> str:
    return command(
        *("gcloud", "artifacts", "repositories", "describe", wanted.name.repository_id),
        *(f"--location={wanted.name.location}", f"--project={wanted.name.project}"),
    )


def _make(
    subject: str,
    look: GoogleRequest,
    verdict: Verdict,
    finding: str,
    fix: str | None = None,
) -> Check:
    return Check(
        topic="mirrors",
        name="mirror",
        subject=subject,
        verdict=verdict,
        looked_at=str(look),
        finding=finding,
        fix=fix,
    )
