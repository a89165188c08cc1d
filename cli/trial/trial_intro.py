"""The introduction of a trial: what it will do, what it needs, and what it costs."""

from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.text import Text

from cli.doctor.check import Check
from cli.input.duration import show_span
from cli.terminal import count, harmless, show_bytes
from cli.trial.cost_estimate import estimate_cost
from cli.trial.prerequisites import print_prerequisites
from cli.trial.simulation import BANNER
from cli.trial.trial_plan import TrialPlan
from cli.trial.trial_run import TrialState
from cli.trial.trial_table import print_plan, print_wrapped
from shared.domain.cluster import ClusterName

_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """Everything that a person needs to know before the question."""

    state: TrialState
    checks: tuple[Check, ...]
    cluster: ClusterName
    trial_id: str
    timeout: timedelta
    simulated: bool
    keep: bool


def print_introduction(console: Console, shown: Introduction) -> None:
    """Print the checks, the plan, its needs and its cost."""
    state = shown.state
    image = state.image
    if shown.simulated:
        print_wrapped(console, BANNER, style="bold yellow")
    size = f", {show_bytes(image.image_bytes)}" if image.image_bytes else ""
    title = f"Trial of {image.written.text}{size}, in {shown.cluster}"
    print_wrapped(console, title, style="bold")
    print_prerequisites(console, shown.checks)
    console.print()
    print_plan(console, state.plan, image.upstream)
    _print_nodes(console, state, shown.cluster)
    created = [f"namespace and priority class {shown.trial_id}"]
    if image.lacks_mirror and image.source.repository:
        created.append(f"mirror {image.source.repository.name}")
    end = "keeps them (--keep)" if shown.keep else "removes them at the end"
    print_wrapped(console, f"Creates {', '.join(created)}, and {end}.")
    cost = estimate_cost(
        image.image_bytes,
        timeout=shown.timeout,
        pulls=len(state.plan.steps),
        is_kept=shown.keep,
        is_autopilot=state.options.is_autopilot,
    )
    print_wrapped(console, f"Cost: {cost.sentence}")
    console.print(
        f"Takes at most {show_span(shown.timeout)}; Ctrl-C ends it and removes its objects."
    )


def _print_nodes(console: Console, state: TrialState, cluster: ClusterName) -> None:
    plan = state.plan
    if state.options.is_autopilot:
        text = "Autopilot chooses the nodes: a pull on a node with the image is not a result."
        print_wrapped(console, text)
        return
    text = (
        f"Nodes: {plan.needed} needed, {len(plan.choice.suitable)} of {plan.choice.total} suitable."
    )
    if state.image.manifest is None:
        text += " The digest is not known yet, so nodes are checked again before the pulls."
    print_wrapped(console, text)
    reasons = plan.choice.unsuitable
    for name, reason in reasons[:_MOST_NAMED]:
        console.print(Text(f"  {harmless(name)}: {reason}", "dim"), soft_wrap=True)
    if len(reasons) > _MOST_NAMED:
        console.print(Text(f"  and {len(reasons) - _MOST_NAMED} more", "dim"))
    if plan.choice.suitable and not plan.choice.streaming:
        text = "No suitable node has image streaming on: the trial can show only downloads."
        print_wrapped(console, text, style="yellow")
    if len(plan.machines) > 1:
        text = "The nodes have different machine types, so compare the durations with care."
        print_wrapped(console, text, style="yellow")
    if plan.missing:
        _print_command(console, plan, cluster)


def _print_command(console: Console, plan: TrialPlan, cluster: ClusterName) -> None:
    """Print the command that adds the missing nodes."""
    pools = [each.pool for each in (*plan.choice.streaming, *plan.choice.suitable) if each.pool]
    pool = pools[0] if pools else "POOL"
    is_regional = cluster.location == cluster.region
    scope = ", which counts in each zone of this cluster" if is_regional else ""
    missing = count(plan.missing, "node")
    print_wrapped(console, f"To add {missing}, raise N, the number of nodes of a pool{scope}:")
    command = (
        f"  gcloud container clusters resize {cluster.name} --node-pool={pool}"
        f" --num-nodes=N --location={cluster.location} --project={cluster.project}"
    )
    console.print(Text(command, "cyan"), soft_wrap=True)
