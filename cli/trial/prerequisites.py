"""Check what streaming needs, with the checks of ``prestream doctor``, and what a trial may do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from cli.doctor import google_requests
from cli.doctor.check import Check, count_verdicts
from cli.doctor.checks import enabled_apis as apis
from cli.doctor.checks.access_review import Access
from cli.doctor.checks.cluster_checks import examine_description, find_clusters
from cli.doctor.checks.node_conditions import check_nodes
from cli.doctor.cluster_reads import try_call
from cli.doctor.google_reader import GoogleReader
from cli.doctor.response import Unavailable
from cli.terminal import count
from cli.trial.trial_table import print_wrapped
from shared.clients.kubernetes_api import KubernetesCluster
from shared.settings.keys import Settings

_RIGHTS = (
    Access("create", "namespaces"),
    Access("delete", "namespaces"),
    Access("create", "serviceaccounts"),
    Access("create", "priorityclasses", "scheduling.k8s.io"),
    Access("delete", "priorityclasses", "scheduling.k8s.io"),
    Access("create", "jobs", "batch"),
    Access("patch", "jobs", "batch"),
    Access("list", "pods"),
    Access("list", "events"),
)
_MOST_SHOWN = 5


def check_prerequisites(
    settings: Settings,
    inspector: GoogleReader,
    cluster: KubernetesCluster,
    nodes: Sequence[Mapping[str, Any]],
) -> list[Check]:
    """Return the checks of the APIs, the cluster, its nodes and the rights in it."""
    projects = dict.fromkeys((cluster.name.project, settings.project))
    checks: list[Check] = []
    for project in projects:
        needed = {**apis.OF_CLUSTERS, **apis.OF_IMAGES}
        look = google_requests.apis(project, needed)
        checks += apis.check_apis(look, needed, inspector.read(look))
    found, problems = find_clusters(settings, inspector, [cluster.name])
    checks += problems
    for each in found:
        checks += examine_description(settings, inspector, each, [settings.project])
    checks += check_nodes(cluster.name, nodes)
    checks.append(_check_rights(cluster))
    return checks


def _check_rights(cluster: KubernetesCluster) -> Check:
    answers = {each: _ask(cluster, each) for each in _RIGHTS}
    denied = [each for each, answer in answers.items() if answer is False]
    unseen = [each for each in answers.values() if isinstance(each, Unavailable)]
    finding = "the trial may create and remove its objects"
    if denied:
        finding = f"you may not {', '.join(map(str, denied))}"
    elif unseen:
        finding = f"not known: {unseen[0].reason}"
    return Check(
        topic="access",
        name="trial-rights",
        subject=f"the identity that runs this command, in cluster {cluster.name.name}",
        verdict="failed" if denied else "unknown" if unseen else "ok",
        looked_at=f"SelfSubjectAccessReview of {len(answers)} rights in {cluster.name}",
        finding=finding,
    )


def _ask(cluster: KubernetesCluster, access: Access) -> bool | Unavailable:
    attributes = {"verb": access.verb, "resource": access.resource, "group": access.group}
    return try_call(
        f"your rights in {cluster.name}",
        lambda: cluster.review_access({key: text for key, text in attributes.items() if text}),
    )


def print_prerequisites(console: Console, checks: Sequence[Check]) -> None:
    """Print the failed checks and warnings, and how many others there are."""
    counted = count_verdicts(checks)
    console.print(
        f"Checks: {counted['ok']} ok, {count(counted['warning'], 'warning')},"
        f" {counted['failed']} failed, {counted['unknown']} unknown"
        " (prestream doctor shows all)",
        soft_wrap=True,
    )
    bad = list(_select(checks))
    for each in bad[:_MOST_SHOWN]:
        print_wrapped(
            console, f"{each.verdict}: {each.subject}: {each.name}: {each.finding}", style="yellow"
        )
    if len(bad) > _MOST_SHOWN:
        console.print(f"and {len(bad) - _MOST_SHOWN} more")


def _select(checks: Iterable[Check]) -> Iterator[Check]:
    for verdict in ("failed", "warning"):
        yield from (each for each in checks if each.verdict == verdict)
