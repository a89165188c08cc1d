"""
Whether nodes may read the mirrors, and Artifact Registry the secrets of upstreams.

An IAM policy lists the grants on its own resource. A folder, an organization, a group or a custom
role may grant a right that the policy does not show, so a missing grant is certain only in a
project without a parent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cli.doctor.check import Check, Topic, Verdict, command, unknown
from cli.doctor.response import Body, GoogleRequest, NotFound, Response, Unavailable
from shared.domain.json_access import list_of, mappings_of, text_of
from shared.domain.mirror import RepositoryName

_EVERYONE: Final = frozenset({"allUsers", "allAuthenticatedUsers"})

READS_IMAGES: Final = frozenset(
    {
        "roles/artifactregistry.admin",
        "roles/artifactregistry.reader",
        "roles/artifactregistry.repoAdmin",
        "roles/artifactregistry.writer",
        "roles/editor",
        "roles/owner",
    }
)
USES_SERVICES: Final = frozenset(
    {
        "roles/editor",
        "roles/owner",
        "roles/serviceusage.serviceUsageAdmin",
        "roles/serviceusage.serviceUsageConsumer",
    }
)
READS_SECRETS: Final = frozenset(
    {"roles/owner", "roles/secretmanager.admin", "roles/secretmanager.secretAccessor"}
)
PUBLISHES: Final = frozenset(
    {"roles/editor", "roles/owner", "roles/pubsub.admin", "roles/pubsub.editor"}
    | {"roles/pubsub.publisher"}
)


@dataclass(frozen=True, slots=True)
class Right:
    """Something that an identity must be allowed to do."""

    topic: Topic
    name: str
    subject: str
    member: str
    """The identity in the form of policies: ``serviceAccount:…``."""
    roles: frozenset[str]
    """The predefined roles that contain the right."""
    consequence: str
    """The consequence of a missing right."""
    fix: str


def default_account(number: str) -> str:
    """Return the service account that Compute Engine creates in a project."""
    return f"{number}-compute@developer.gserviceaccount.com"


def artifact_registry_agent(number: str) -> str:
    """Return the identity with which Artifact Registry acts for a project."""
    return f"service-{number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"


def project_number(reading: Response) -> str | Unavailable:
    """Return a project's number, or the reason why it is unknown."""
    if isinstance(reading, Unavailable):
        return reading
    if isinstance(reading, NotFound):
        return Unavailable(reading.what, "the project does not exist")
    number = text_of(reading.get("projectNumber"))
    return number or Unavailable("the project", "its description has no number")


def has_grant(policy: Body, member: str, roles: frozenset[str]) -> bool:
    """Whether a policy grants one of the roles to a member by name, without a condition."""
    return any(
        text_of(binding.get("role")) in roles
        and not binding.get("condition")
        and not _EVERYONE.union({member}).isdisjoint(map(str, list_of(binding.get("members"))))
        for binding in mappings_of(policy.get("bindings"))
    )


def check_right(
    right: Right, policies: Iterable[tuple[GoogleRequest, Response]], *, may_inherit: bool
) -> Check:
    """
    Check that a right is granted.

    Args:
        right: The right that is needed.
        policies: The requests for the policies that may grant it, each with its response.
        may_inherit: Whether the project is in a folder or an organization.
    """
    read = list(policies)
    for look, reading in read:
        if not isinstance(reading, (NotFound, Unavailable)) and has_grant(
            reading, right.member, right.roles
        ):
            return _make(right, "ok", str(look), f"{right.member} has the right")
    unseen = [reading for _, reading in read if isinstance(reading, Unavailable)]
    if unseen:
        return unknown(right.topic, right.name, right.subject, unseen[0])
    looked_at = ", ".join(str(look) for look, _ in read)
    policies_read = [each for _, each in read if not isinstance(each, (NotFound, Unavailable))]
    doubts = [*_doubts(right, policies_read)]
    if may_inherit:
        doubts.append("a folder or an organization grants it, which this check cannot see")
    found = f"a grant to {right.member} is missing: {right.consequence}"
    if doubts:
        return _make(right, "warning", looked_at, f"{found}, unless {'; '.join(doubts)}")
    return _make(right, "failed", looked_at, found)


def _doubts(right: Right, policies: Iterable[Body]) -> Iterator[str]:
    bindings = [each for policy in policies for each in mappings_of(policy.get("bindings"))]
    members = [
        (text_of(each.get("role")) or "", list(map(str, list_of(each.get("members")))), each)
        for each in bindings
    ]
    if any(role in right.roles and "group:" in "".join(who) for role, who, _ in members):
        yield "it is in a group that has the role"
    if any(right.member in who and not role.startswith("roles/") for role, who, _ in members):
        yield "a custom role that it has allows it"
    if any(
        right.member in who and role in right.roles and each.get("condition")
        for role, who, each in members
    ):
        yield "the condition on its grant holds"


def _make(right: Right, verdict: Verdict, looked_at: str, finding: str) -> Check:
    return Check(
        topic=right.topic,
        name=right.name,
        subject=right.subject,
        verdict=verdict,
        looked_at=looked_at,
        finding=finding,
        fix=None if verdict == "ok" else right.fix,
    )


def reads_images(account: str, project: str, repository: RepositoryName | None = None) -> Right:
    """Return the right of nodes to read the images of a project, or of one repository."""
    return Right(
        topic="nodes",
        name="node-reads-images",
        subject=f"{account} in {f'mirror {repository}' if repository else f'project {project}'}",
        member=f"serviceAccount:{account}",
        roles=READS_IMAGES,
        consequence="nodes can neither pull nor stream from there",
        fix=_grant(project, account, "roles/artifactregistry.reader"),
    )


def uses_services(account: str, project: str) -> Right:
    """Return the right of nodes to let streaming count against the quota of the images' project."""
    return Right(
        topic="nodes",
        name="node-uses-services",
        subject=f"{account} in project {project}",
        member=f"serviceAccount:{account}",
        roles=USES_SERVICES,
        consequence="nodes pull from there, but do not stream",
        fix=_grant(project, account, "roles/serviceusage.serviceUsageConsumer"),
    )


def reads_secret(agent: str, project: str, secret: str, upstream: str) -> Right:
    """Return the right of Artifact Registry to log in upstream."""
    return Right(
        topic="mirrors",
        name="secret-access",
        subject=f"secret {secret} of project {project}, for {upstream}",
        member=f"serviceAccount:{agent}",
        roles=READS_SECRETS,
        consequence=f"Artifact Registry cannot log in to {upstream}",
        fix=command(
            *("gcloud", "secrets", "add-iam-policy-binding", secret, f"--project={project}"),
            *(f"--member=serviceAccount:{agent}", "--role=roles/secretmanager.secretAccessor"),
        ),
    )


def _grant(project: str, account: str, role: str) -> str:
    return command(
        *("gcloud", "projects", "add-iam-policy-binding", project),
        *(f"--member=serviceAccount:{account}", f"--role={role}"),
    )
