"""All checks of one cluster: of its description in the Container API, and of its own API server."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from cli.connect.policy_version import BINDINGS, GROUP, POLICIES, find_served_policies
from cli.doctor import google_requests
from cli.doctor.check import Check, unknown
from cli.doctor.checks import access_review as access
from cli.doctor.checks import cluster_settings as clusters
from cli.doctor.checks import iam_grants as grants
from cli.doctor.checks import node_conditions as nodes
from cli.doctor.checks import node_pool_settings as node_pools
from cli.doctor.checks import rewriting_state as rewriting
from cli.doctor.checks.project_checks import may_inherit, wanted_mirrors
from cli.doctor.cluster_reads import Cluster, GoogleReader, try_call, try_fetch, try_list
from cli.doctor.response import Body, NotFound, Response, Unavailable
from shared.domain.cluster import ClusterName, is_listed
from shared.domain.json_access import field_at, mappings_of, text_of
from shared.domain.node_pool import (
    accounts_of,
    has_accelerators,
    is_autopilot,
    is_default_account,
    pools_of,
    streams,
)
from shared.domain.proven_mirrors import PARAMETER_NAME
from shared.settings.keys import Settings

_OPT_IN: Final = ("metadata", "labels", "prestream.dev/rewrite")
_NEEDED: Final = (
    ("Namespace", "v1", "namespaces"),
    ("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses"),
)
_PRIORITY: Final = "prestream-warmup"
_ASKED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """An examined cluster, with its description in the Container API."""

    name: ClusterName
    body: Body | Unavailable


def find_clusters(
    settings: Settings, inspector: GoogleReader, named: Sequence[ClusterName]
) -> tuple[list[FoundCluster], list[Check]]:
    """Return the named clusters, or else all watched ones, and a check for each missing one."""
    if named:
        return _describe(inspector, named)
    found, problems = [], []
    for project in dict.fromkeys((settings.deployment_project, *settings.projects)):
        reading = inspector.read(google_requests.clusters(project))
        subject = f"clusters of project {project}"
        if isinstance(reading, NotFound):
            reading = Unavailable(reading.what, "the project does not exist")
        if isinstance(reading, Unavailable):
            problems.append(unknown("cluster", "clusters", subject, reading))
            continue
        for body in mappings_of(reading.get("clusters")):
            name = ClusterName(project, str(body.get("location")), str(body.get("name")))
            if is_listed(str(name), settings.clusters) and _is_wanted(settings, body):
                found.append(FoundCluster(name, body))
        if not found:
            nothing = Unavailable(
                str(google_requests.clusters(project)), "the project has no watched cluster"
            )
            problems.append(unknown("cluster", "clusters", subject, nothing))
    return found, problems


def _is_wanted(settings: Settings, body: Body) -> bool:
    """Whether a cluster is watched without being named."""
    return (
        settings.clusters != "auto"
        or is_autopilot(body)
        or any(has_accelerators(pool) for pool in pools_of(body))
    )


def _describe(
    inspector: GoogleReader, named: Iterable[ClusterName]
) -> tuple[list[FoundCluster], list[Check]]:
    found, problems = [], []
    for name in named:
        look = google_requests.cluster(name)
        body = inspector.read(look)
        if isinstance(body, NotFound):
            problems.append(
                Check(
                    topic="cluster",
                    name="clusters",
                    subject=f"cluster {name}",
                    verdict="failed",
                    looked_at=str(look),
                    finding="the cluster does not exist",
                    fix=f"gcloud container clusters list --project={name.project}",
                )
            )
        else:
            found.append(FoundCluster(name, body))
    return found, problems


def examine_description(
    settings: Settings, inspector: GoogleReader, found: FoundCluster, image_projects: Iterable[str]
) -> Iterator[Check]:
    """Examine a cluster and its pools as the Container API describes them."""
    name, body = found.name, found.body
    if isinstance(body, Unavailable):
        yield unknown("cluster", "cluster", f"cluster {name}", body)
        return
    yield clusters.check_default(name, body)
    yield clusters.check_logging(name, body)
    private = clusters.private_subnetworks(name, body)
    for look in private:
        yield clusters.check_private_access(look, inspector.read(look))
    if not private:
        yield clusters.check_public_nodes(name)
    if not is_autopilot(body):
        for pool in pools_of(body):
            yield from node_pools.check_pool(name, pool, body)
    for account in accounts_of(body):
        yield from _examine_account(settings, inspector, name, account, image_projects)


def _examine_account(
    settings: Settings,
    inspector: GoogleReader,
    name: ClusterName,
    account: str,
    image_projects: Iterable[str],
) -> Iterator[Check]:
    """Examine the rights of the nodes' service account."""
    email = account
    if "@" not in account:
        number = grants.project_number(inspector.read(google_requests.project(name.project)))
        if isinstance(number, Unavailable):
            subject = f"the nodes' service account in cluster {name.name}"
            yield unknown("nodes", "node-reads-images", subject, number)
            return
        email = grants.default_account(number)
    there = [
        each.name
        for each in wanted_mirrors(settings, [name])
        if not isinstance(
            inspector.read(google_requests.repository(each.name)), (NotFound, Unavailable)
        )
    ]
    for project in image_projects:
        policy = google_requests.project_policy(project)
        inherits = may_inherit(inspector, project)
        read = [(policy, inspector.read(policy))]
        for repository in [each for each in there if each.project == project]:
            own = google_requests.repository_policy(repository)
            yield grants.check_right(
                grants.reads_images(email, project, repository),
                [*read, (own, inspector.read(own))],
                may_inherit=inherits,
            )
        if not any(each.project == project for each in there):
            yield grants.check_right(
                grants.reads_images(email, project), read, may_inherit=inherits
            )
        if not is_default_account(email):
            yield grants.check_right(
                grants.uses_services(email, project), read, may_inherit=inherits
            )


def examine_inside(
    settings: Settings, found: FoundCluster, cluster: Cluster, manifests: Sequence[Body]
) -> Iterator[Check]:
    """
    Check a cluster through its API server.

    Args:
        settings: The configuration.
        found: The cluster, with its description in the Container API.
        cluster: A connection to it.
        manifests: The objects of infra/kubernetes/base.
    """
    own = {each: _ask(cluster, each) for each in access.OWN}
    silent = [answer for answer in own.values() if isinstance(answer, Unavailable)]
    if len(silent) == len(own):
        # Every other request would also end in a timeout.
        yield unknown("access", "cluster-api", f"cluster {found.name}", silent[0])
        return
    yield from access.check_accesses(found.name, own)
    listed = try_list(cluster, "nodes", cluster.list_nodes)
    yield from nodes.check_nodes(found.name, listed, _cold_pools(found))
    yield from access.check_manifests(found.name, _needed(cluster, settings.namespace))
    needed = access.needed_accesses(manifests, settings.deployment_project)
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        answers = dict(zip(needed, pool.map(lambda each: _ask(cluster, each), needed), strict=True))
    yield from access.check_accesses(found.name, answers)
    yield from rewriting.check_rewriting(_rewriting(cluster, settings))


def _cold_pools(found: FoundCluster) -> list[str]:
    body = found.body
    if isinstance(body, Unavailable):
        return []
    return [
        text_of(pool.get("name")) or ""
        for pool in pools_of(body)
        if not is_autopilot(body) and not streams(pool, body)
    ]


def _needed(cluster: Cluster, namespace: str) -> Mapping[tuple[str, str], Response]:
    return {
        (kind, name): try_fetch(cluster, api_version, plural, name)
        for (kind, api_version, plural), name in zip(_NEEDED, (namespace, _PRIORITY), strict=True)
    }


def _ask(cluster: Cluster, asked: access.Access) -> bool | Unavailable:
    attributes = {
        "verb": asked.verb,
        "resource": asked.resource,
        "group": asked.group,
        "namespace": asked.namespace,
        "name": asked.name,
    }
    given = {key: text for key, text in attributes.items() if text}
    what = f"the rights of {asked.user or 'the caller'} in {cluster.name}"
    return try_call(what, lambda: cluster.review_access(given, asked.user))


def _rewriting(cluster: Cluster, settings: Settings) -> rewriting.RewritingResponses:
    spaces = try_list(cluster, "namespaces", lambda: cluster.list_objects("v1", "namespaces"))
    opted_in: Sequence[str] | Unavailable = (
        spaces
        if isinstance(spaces, Unavailable)
        else [
            str(field_at(each, ("metadata", "name")))
            for each in spaces
            if field_at(each, _OPT_IN) == "enabled"
        ]
    )
    what = f"the API versions of {cluster.name}"
    served = try_call(what, lambda: find_served_policies(cluster))
    if isinstance(served, Unavailable):
        policy: Response = served
        binding: Response = served
    else:
        # The API server answers "not found" for a version that it does not serve.
        version = f"{GROUP}/{served.version or 'v1'}"
        policy = try_fetch(cluster, version, POLICIES, rewriting.POLICY)
        binding = try_fetch(cluster, version, BINDINGS, rewriting.POLICY)
    return rewriting.RewritingResponses(
        name=cluster.name,
        served=served,
        policy=policy,
        binding=binding,
        parameter=try_fetch(cluster, "v1", "configmaps", PARAMETER_NAME, settings.namespace),
        namespaces=opted_in,
        in_place=frozenset(
            host for host, each in settings.upstreams.items() if not each.is_mirrored
        ),
    )
