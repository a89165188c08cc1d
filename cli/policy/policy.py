"""prestream policy: the policy that lets the API server rewrite pods, and its parameter."""

import json
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.table import Table
from rich.text import Text

from cli.connect.clusters import (
    ClusterOption,
    ContextOption,
    find_kubeconfig,
    reach_cluster,
)
from cli.connect.configuration import ProjectOption, read_settings
from cli.connect.policy_version import (
    GROUP,
    PolicyVersion,
    ServedPolicies,
    find_served_policies,
    make_enabling_command,
)
from cli.connect.service_error import explain
from cli.exits import EXIT_CODES, ExitCode, fail, say
from cli.terminal import harmless, make_console
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.json_access import mapping_of
from shared.domain.proven_mirrors import PARAMETER_NAME, ProvenMirrors, host_of
from shared.errors import ConfigurationError, EventError, TransientError
from shared.settings.keys import Settings

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
    api_version: Annotated[
        PolicyVersion | None,
        typer.Option(help="Print this version, instead of the one that the API server serves."),
    ] = None,
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
    prestream.dev/rewrite=enabled. The version is that which the API server of the cluster
    (kubectl's, unless --context or --cluster names another) serves: v1 on Kubernetes 1.36 and
    newer, v1beta1 on 1.34 and 1.35 if the cluster enables it. Without either, use
    prestream rewrite.

    With --status, show instead which mirrors are proven in the cluster. `prestream doctor` checks
    whether the policy exists.
    """
    if status:
        settings = read_settings(context.obj, project)
        reached = reach_cluster(context.obj, settings, cluster, kube_context)
        _print_status(reached.cluster, as_json=as_json)
        return
    if project:
        fail(ExitCode.MISUSED, "--project goes with --status only")
    version = api_version or _choose_version(context.obj, cluster, kube_context)
    texts = [_read(name, version) for name in FILES]
    if not as_json:
        typer.echo("---\n".join(texts), nl=False)
        return
    items = [body for text in texts for body in yaml.safe_load_all(text)]
    typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))


policy.__doc__ = f"{cleandoc(policy.__doc__ or '')}\n\n{EXIT_CODES}"


def _choose_version(
    environ: Mapping[str, str], cluster: str | None, kube_context: str | None
) -> PolicyVersion:
    """
    Return the version that the API server serves; v1 if there is no cluster to ask.

    Raises:
        typer.Exit: It serves neither, or cannot be reached.
    """
    if not (cluster or kube_context or find_kubeconfig(environ)):
        say("note: no cluster to ask, so this is v1, for Kubernetes 1.36 and newer (--api-version)")
        return "v1"
    # Discovery depends on no setting.
    settings = Settings(project="", deployment_project="")
    reached = reach_cluster(environ, settings, cluster, kube_context).cluster
    try:
        served = find_served_policies(reached)
    except EventError as exc:
        fail(ExitCode.UNAVAILABLE, f"{explain(exc)}; --api-version names the version")
    if served.version is None:
        fail(ExitCode.UNAVAILABLE, _explain_missing(reached, served))
    return served.version


def _explain_missing(cluster: KubernetesCluster, served: ServedPolicies) -> str:
    text = (
        f"{harmless(str(cluster.name))} ({served.kubernetes_text}) serves neither v1 nor v1beta1 of"
        " MutatingAdmissionPolicy: use prestream rewrite"
    )
    if served.has_beta_to_enable:
        text += f", or enable the beta API:\n{make_enabling_command(cluster.name)}"
    return text


def _read(name: str, version: PolicyVersion) -> str:
    """Return a file for a version of the API; the versions have the same fields."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return text.replace(f"{GROUP}/v1\n", f"{GROUP}/{version}\n")


def _print_status(cluster: KubernetesCluster, *, as_json: bool) -> None:
    try:
        body = cluster.fetch_config_map(PARAMETER_NAME)
    except (TransientError, ConfigurationError) as exc:
        fail(ExitCode.UNAVAILABLE, explain(exc))
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
