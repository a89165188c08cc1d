"""Commands for the causes of a report, with cluster, namespace and workload filled in."""

import shlex
from collections.abc import Iterable
from typing import Final, NamedTuple

from cli.report.entries import FactFields
from shared.domain.cluster import ClusterName

_STREAMING_OFF: Final = "Image streaming is off on this node"
"""The beginning of the hint of a pull on a node without image streaming."""

_MOST_COMMANDS: Final = 5
"""The number of namespaces or workloads for which a cause shows a command."""

_WORKLOAD_PARTS: Final = 6
"""``GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME``, as audit logs name objects."""
_RESTARTED: Final = frozenset({"deployments", "statefulsets", "daemonsets"})
"""The kinds that ``kubectl rollout restart`` knows."""


class Workload(NamedTuple):
    """A workload that a fact names."""

    namespace: str
    kind: str
    name: str

    def quoted(self) -> "Workload":
        """Return the parts in a form for a shell: any user may choose what a fact names."""
        return Workload(*map(shlex.quote, self))


def command_for_pool(fields: FactFields) -> str | None:
    """Return the fix for a pull on a node pool without image streaming; None for other pulls."""
    cluster = _parse(fields.cluster)
    if cluster is None or fields.node_pool is None:
        return None
    if not (fields.hint or "").startswith(_STREAMING_OFF):
        return None
    return (
        f"gcloud container node-pools update {shlex.quote(fields.node_pool)}"
        f" --cluster={cluster.name} --location={cluster.location} --project={cluster.project}"
        " --enable-image-streaming"
    )


def command_for_image(command: str, image: str | None, cluster: str | None) -> tuple[str, ...]:
    """Return a command of ours that shows more about an image."""
    found = _parse(cluster)
    if not image:
        return ()
    option = "--image " if command == "doctor" else ""
    project = "" if found is None else f" --project {found.project}"
    return (f"prestream {command} {option}{shlex.quote(image)}{project}",)


def command_for_bypass(
    reason: str | None, workloads: Iterable[str], cluster: str | None
) -> tuple[str, ...]:
    """Return the commands after which workloads pull from the mirror, by the observed reason."""
    found = _parse(cluster)
    kubectl = "kubectl" if found is None else f"kubectl --context={found.context}"
    parsed = [each.quoted() for each in map(parse_workload, workloads) if each is not None]
    restarts = [
        f"{kubectl} --namespace={each.namespace} rollout restart {each.kind}/{each.name}"
        for each in parsed
        if each.kind in _RESTARTED
    ]
    namespaces = dict.fromkeys(each.namespace for each in parsed)
    if reason == "not_labelled":
        labels = [
            f"{kubectl} label namespace {name} prestream.dev/rewrite=enabled" for name in namespaces
        ]
        return (*labels[:_MOST_COMMANDS], *restarts[:_MOST_COMMANDS])
    if reason in {None, "old_pods"}:
        return tuple(restarts[:_MOST_COMMANDS])
    if reason == "pinned_off":
        return (f"{kubectl} --namespace=prestream edit configmap proven-mirrors",)
    return ()


def parse_workload(name: str) -> Workload | None:
    """
    Return the parts of a workload's name in a fact; None for another form.

    >>> parse_workload("apps/v1/namespaces/ml/deployments/trainer")
    Workload(namespace='ml', kind='deployments', name='trainer')
    >>> parse_workload("trainer") is None
    True
    """
    parts = name.split("/")
    if len(parts) != _WORKLOAD_PARTS or parts[2] != "namespaces":
        return None
    return Workload(*parts[3:])


def _parse(cluster: str | None) -> ClusterName | None:
    try:
        return ClusterName.parse(cluster or "")
    except ValueError:
        return None
