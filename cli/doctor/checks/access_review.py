"""Whether the functions have their rights and objects in a cluster."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cli.doctor.check import Check, command, unknown
from cli.doctor.response import Body, NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.json_access import field_at, list_of, mapping_of, mappings_of, text_of
from shared.domain.manifests_version import MANIFESTS_VERSION, read_version

_MAX_NAMED: Final = 4


@dataclass(frozen=True, slots=True)
class Access:
    """A request to an API server, which a user may be allowed to make."""

    verb: str
    resource: str
    """Plural."""
    group: str = ""
    namespace: str = ""
    """The namespace; empty for the whole cluster."""
    name: str = ""
    user: str | None = None
    """``None`` for the identity that runs the command."""

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{group}{where}"


OWN: Final = (
    Access("list", "nodes"),
    Access("list", "pods"),
    Access("list", "namespaces"),
)
"""The resources that the checks read in a cluster."""


def needed_accesses(manifests: Iterable[Body], project: str) -> list[Access]:
    """
    Return the rights that the functions need, from the manifests of their roles.

    Args:
        manifests: The objects of infra/kubernetes/base.
        project: The project of the functions, which their users' names hold.
    """
    bodies = list(manifests)
    rules = {
        (body.get("kind"), _namespace(body), _name(body)): mappings_of(body.get("rules"))
        for body in bodies
        if body.get("kind") in {"Role", "ClusterRole"}
    }
    found: dict[Access, None] = {}
    for body in bodies:
        role = mapping_of(body.get("roleRef"))
        space = _namespace(body)
        at = space if role.get("kind") == "Role" else ""
        for subject in mappings_of(body.get("subjects")):
            user = (text_of(subject.get("name")) or "").replace("PROJECT_ID", project)
            for rule in rules.get((role.get("kind"), at, text_of(role.get("name")) or ""), []):
                found.update(dict.fromkeys(_accesses(rule, space, user)))
    return list(found)


def _accesses(rule: Body, namespace: str, user: str) -> Iterator[Access]:
    for group in list_of(rule.get("apiGroups")):
        for resource in list_of(rule.get("resources")):
            for verb in list_of(rule.get("verbs")):
                for name in list_of(rule.get("resourceNames")) or [""]:
                    yield Access(verb, resource, group, namespace, name, user)


def check_accesses(
    name: ClusterName, answers: Mapping[Access, bool | Unavailable]
) -> Iterator[Check]:
    """Check the rights of each function, as the API server reports them."""
    users: dict[str, dict[Access, bool | Unavailable]] = defaultdict(dict)
    for access, answer in answers.items():
        users[access.user or ""][access] = answer
    for user, asked in sorted(users.items()):
        if user:
            yield _check_user(name, user, asked)
        else:
            yield _check_own(name, asked)


def _check_user(name: ClusterName, user: str, asked: Mapping[Access, bool | Unavailable]) -> Check:
    subject = f"{user} in cluster {name.name}"
    denied = [access for access, answer in asked.items() if answer is False]
    unseen = [answer for answer in asked.values() if isinstance(answer, Unavailable)]
    if not denied and unseen:
        return unknown("access", "function-rights", subject, unseen[0])
    fix = command("kubectl", f"--context={name.context}", "apply", "-k", "infra/kubernetes")
    return Check(
        topic="access",
        name="function-rights",
        subject=subject,
        verdict="failed" if denied else "ok",
        looked_at=f"SubjectAccessReview of {len(asked)} rights in {name}",
        finding=f"it may not {_list(denied)}" if denied else "it has all rights that it needs",
        fix=f"{fix}  # with your project's overlay: docs/deploy.md" if denied else None,
    )


def _check_own(name: ClusterName, asked: Mapping[Access, bool | Unavailable]) -> Check:
    """Check the rights of the command itself; missing ones make checks unknown, not failed."""
    missing = [access for access, answer in asked.items() if answer is not True]
    reasons = [answer.reason for answer in asked.values() if isinstance(answer, Unavailable)]
    fix = command(
        *("gcloud", "projects", "add-iam-policy-binding", name.project),
        "--role=roles/container.viewer",
    )
    return Check(
        topic="access",
        name="own-rights",
        subject=f"the identity that runs this command, in cluster {name.name}",
        verdict="unknown" if missing else "ok",
        looked_at=f"SelfSubjectAccessReview of {len(asked)} rights in {name}",
        finding=f"you may not {_list(missing)}: {reasons[0] if reasons else 'it is not granted'}"
        if missing
        else "every check can read its objects",
        fix=f'{fix} --member="user:$(gcloud config get account)"' if missing else None,
    )


def check_manifests(
    name: ClusterName, found: Mapping[tuple[str, str], Response]
) -> Iterator[Check]:
    """Check that the objects that warmups need exist in a cluster, by kind and name."""
    fix = command("kubectl", f"--context={name.context}", "apply", "-k", "infra/kubernetes")
    for (kind, object_name), reading in found.items():
        subject = f"{kind} {object_name} in cluster {name.name}"
        if isinstance(reading, Unavailable):
            yield unknown("access", "manifests", subject, reading)
            continue
        problem = _find_problem(kind, reading)
        yield Check(
            topic="access",
            name="manifests",
            subject=subject,
            verdict="failed" if problem else "ok",
            looked_at=f"{kind} {object_name} in {name}",
            finding=problem or "it is there",
            fix=fix if problem else None,
        )


def _find_problem(kind: str, found: Body | NotFound) -> str | None:
    if isinstance(found, NotFound):
        return "it is missing: no warmup can run"
    version = read_version(found)
    if kind != "Namespace" or version >= MANIFESTS_VERSION:
        return None
    return f"the manifests have version {version}, and this release needs {MANIFESTS_VERSION}"


def _list(accesses: list[Access]) -> str:
    named = ", ".join(str(each) for each in accesses[:_MAX_NAMED])
    more = len(accesses) - _MAX_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _name(body: Body) -> str:
    return text_of(field_at(body, ("metadata", "name"))) or ""


def _namespace(body: Body) -> str:
    return text_of(field_at(body, ("metadata", "namespace"))) or ""
