"""prestream policy: the policy that lets the API server rewrite pods, and its parameter."""

import json
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.table import Table
from rich.text import Text

from cli.connect.clusters import ClusterOption, ContextOption, reach_cluster
from cli.connect.configuration import ProjectOption, read_settings
from cli.exits import EXIT_CODES, ExitCode, fail, say
from cli.terminal import harmless, make_console
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.json_access import mapping_of
from shared.domain.proven_mirrors import PARAMETER_NAME, ProvenMirrors, host_of
from shared.errors import ConfigurationError, TransientError

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "kubernetes" / "rewriting"
FILES = ("policy.yaml", "proven-mirrors.yaml")

State = Literal["proven", "pinned on", "pinned off", "broken"]

_STYLES: dict[State, str] = {
    "proven": "green",
    "pinned on": "green",
    "pinned off": "yellow",
    "broken": "red",
}


def policy(  # noqa: PLR0913  # each is an option of the command
    context: typer.Context,
    *,
    status: Annotated[
        bool, typer.Option("--status", help="Show the proven mirrors of a cluster instead.")
    ] = False,
    cluster: ClusterOption = None,
    kube_context: ContextOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one List, or the status, as JSON.")
    ] = False,
    project: ProjectOption = None,
) -> None:
    """
    Print the policy, its binding and its parameter, for kubectl apply.

    They rewrite the images of new pods to mirrors that are proven, in namespaces with the label
    prestream.dev/rewrite=enabled, and need Kubernetes 1.36 or newer. With an older one, use
    prestream rewrite.

    With --status, show instead which mirrors are proven in a cluster (kubectl's, unless --context
    or --cluster names another). `prestream doctor` checks whether the policy exists.
    """
    if status:
        settings = read_settings(context.obj, project)
        reached = reach_cluster(context.obj, settings, cluster, kube_context)
        _print_status(reached.cluster, as_json=as_json)
        return
    if cluster or kube_context or project:
        fail(ExitCode.MISUSED, "--cluster, --context and --project go with --status only")
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in FILES]
    if not as_json:
        typer.echo("---\n".join(texts), nl=False)
        return
    items = [body for text in texts for body in yaml.safe_load_all(text)]
    typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))


policy.__doc__ = f"{cleandoc(policy.__doc__ or '')}\n\n{EXIT_CODES}"


def _print_status(cluster: KubernetesCluster, *, as_json: bool) -> None:
    try:
        body = cluster.fetch_config_map(PARAMETER_NAME)
    except (TransientError, ConfigurationError) as exc:
        fail(ExitCode.UNAVAILABLE, harmless(str(exc)))
    data = {str(key): str(text) for key, text in mapping_of((body or {}).get("data")).items()}
    proven = ProvenMirrors.from_data(data)
    entries = list(_tell(proven))
    if as_json:
        told = {
            "cluster": str(cluster.name),
            "parameter": None if body is None else PARAMETER_NAME,
            "pull_secrets": proven.pull_secrets,
            "upstreams": entries,
        }
        typer.echo(json.dumps(told, indent=2))
        return
    console = make_console()
    console.print(Text(harmless(str(cluster.name)), "bold"), soft_wrap=True)
    if body is None:
        say(f"note: the ConfigMap {PARAMETER_NAME} is missing; prestream policy prints it")
        console.print("  nothing is rewritten")
        return
    if not entries:
        console.print("  no mirror is proven yet: the first warmup through one proves it")
        return
    console.print(_make_table(entries))
    left = "left alone" if proven.pull_secrets == "skip" else "rewritten as well"
    console.print(Text(f"pods with imagePullSecrets are {left}", "dim"))


def _tell(proven: ProvenMirrors) -> Iterator[dict[str, Any]]:
    """Return each entry: its state, its mirror, and the repositories that it covers."""
    for host, proof in sorted(proven.proofs.items()):
        state: State = "proven"
        if proof.pin is not None:
            state = "pinned on" if proof.pin == "on" else "pinned off"
        yield {
            "upstream": host,
            "state": state,
            "mirror": proof.mirror or None,
            "repositories": [*proof.paths],
            "excluded": [*proof.excluded],
            "fault": None,
        }
    for key, fault in sorted(proven.broken.items()):
        yield {
            "upstream": host_of(key),
            "state": "broken",
            "mirror": None,
            "repositories": [],
            "excluded": [],
            "fault": fault,
        }


def _make_table(entries: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("UPSTREAM", "STATE", "MIRROR", "REPOSITORIES"):
        table.add_column(name, overflow="fold")
    for each in entries:
        covered = ", ".join(each["repositories"]) or "all"
        if each["excluded"]:
            covered += f", but not {', '.join(each['excluded'])}"
        if each["state"] in {"pinned off", "broken"}:
            covered = each["fault"] or "none"
        table.add_row(
            harmless(each["upstream"]),
            Text(each["state"], _STYLES[each["state"]]),
            harmless(each["mirror"] or "-"),
            harmless(covered),
        )
    return table
