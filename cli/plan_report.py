"""A plan, for a person and for other programs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.plan_sources import Material
from cli.terminal import count, harmless, join_some, make_console, show_bytes
from shared.domain.rewriting import Left, Rewrite
from shared.settings import Settings
from shared.workflows.planning import MirrorState, PlannedImage, PlannedMirror, Result, Step
from shared.workflows.surveying import OPT_IN, PodRewrites

_STATES: dict[MirrorState, tuple[str, str]] = {
    "exists": ("exists", "green"),
    "missing": ("would be made", "yellow"),
    "taken": ("another repository has its name", "red"),
    "unknown": ("unknown", "dim"),
}

_RESULTS: dict[Result, tuple[str, str]] = {
    "warm": ("new", "green"),
    "warm_unless_small": ("unless small or absent", "yellow"),
    "waiting": ("waits for its turn", "dim"),
    "known": ("done or under way", "dim"),
    "too_small": ("too small", "dim"),
    "refused": ("refused", "red"),
    "unknown": ("unknown", "dim"),
}

_MAX_PODS = 200
"""Rows of a table that a person reads; ``--json`` has all of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done."""

    material: Material
    settings: Settings
    images: tuple[PlannedImage, ...]
    mirrors: tuple[PlannedMirror, ...]
    offline: str | None
    """Why no mirror was asked."""
    notes: tuple[str, ...]

    @property
    def warmed(self) -> list[PlannedImage]:
        """Images with a warmup on some target."""
        return [each for each in self.images if each.is_warmed]

    def as_json(self) -> dict[str, Any]:
        """Return the whole of it."""
        survey = self.material.survey
        return {
            "about": self.material.about,
            "offline": self.offline,
            "mirrors": [asdict(each) for each in self.mirrors],
            "images": [{**asdict(each), "image_bytes": each.image_bytes} for each in self.images],
            "left_out": [
                {**asdict(each), "workloads": workloads}
                for each, workloads in survey.left_out.items()
            ],
            "pods": [
                {
                    "workload": each.workload,
                    "opted_in": each.opted_in,
                    "rewritten": [
                        {"image": one.image, "mirror": one.mirror} for one in each.rewritten
                    ],
                    "left": [_left_as_json(one) for one in each.left],
                }
                for each in survey.pods
            ],
            "rejected": self.material.rejected,
            "notes": list(self.notes),
        }


def print_plan(plan: Plan) -> None:
    """Print a plan in sections, each with a table; a section without rows is left out."""
    console = make_console()
    console.print(Text(f"Plan for {harmless(plan.material.about)}", "bold"), soft_wrap=True)
    _print_mirrors(console, plan.mirrors)
    _print_warmed(console, plan.warmed)
    _print_left_alone(console, plan)
    _print_rewritten(console, plan.material.survey.pods)
    _print_skipped(console, plan.material)
    _print_rejected(console, plan.material.rejected)
    _print_notes(console, plan)
    console.print(Text(_sum_up(plan), "bold"))


def _print_mirrors(console: Console, mirrors: Sequence[PlannedMirror]) -> None:
    table = _table("upstream", "mirror", "")
    for each in mirrors:
        text, style = _STATES[each.state]
        table.add_row(each.upstream, each.address, Text(text, style))
    _print_section(console, f"Mirrors ({len(mirrors)})", table)


def _print_warmed(console: Console, images: Sequence[PlannedImage]) -> None:
    table = _table("image", "size", "target", "rung", "", "asked for by")
    for image in images:
        for number, step in enumerate(image.steps):
            text, style = _RESULTS[step.result]
            table.add_row(
                "" if number else harmless(image.image),
                show_bytes(step.image_bytes),
                step.target or "",
                step.rung or "unknown",
                Text(step.reason if step.result == "refused" and step.reason else text, style),
                "" if number else _show_workloads(image.workloads),
            )
    _print_section(console, f"Images to be warmed ({len(images)})", table)


def _print_left_alone(console: Console, plan: Plan) -> None:
    lines = list(_find_left_alone(plan))
    _print_title(console, f"Left alone ({len(lines)})", lines)
    for image, why, explanation, workloads in lines:
        asked = _show_workloads(workloads)
        console.print(
            Text.assemble(harmless(image), "  ", why, ("  " + asked if asked else "", "dim")),
            soft_wrap=True,
        )
        console.print(_indented(explanation))


def _find_left_alone(plan: Plan) -> Iterator[tuple[str, Text, str, Sequence[str]]]:
    """Yield image, word, explanation and workloads of what is not warmed."""
    for image in plan.images:
        if not image.is_warmed:
            for step in image.steps[:1]:
                word = Text(_word_for(step), _RESULTS[step.result][1])
                yield image.image, word, _explain(step, plan.settings), image.workloads
    planned = {each.image for each in plan.images}
    for left_out, workloads in plan.material.survey.left_out.items():
        if left_out.image not in planned:
            word = Text(left_out.why.replace("_", " "), "red" if left_out.why == "invalid" else "")
            yield left_out.image, word, left_out.reason, workloads


def _print_rewritten(console: Console, pods: Iterable[PodRewrites]) -> None:
    changed = [each for each in pods if each.is_rewritten]
    title = f"Workloads whose new pods would be rewritten ({len(changed)})"
    if any(each.opted_in is None for each in changed):
        key, value = OPT_IN
        title += f", in namespaces with the label {key}={value}"
    _print_title(console, title, changed)
    for each in changed[:_MAX_PODS]:
        console.print(Text(harmless(show_workload(each.workload))), soft_wrap=True)
        for one in each.rewritten:
            text = f"    {harmless(one.image)} → {harmless(one.mirror or '')}"
            console.print(Text(text, "dim"), soft_wrap=True)
    _print_more(console, len(changed))


def _print_skipped(console: Console, material: Material) -> None:
    skipped = list(_find_skipped(material))
    table = _table("workload", "image", "why")
    for row in skipped[:_MAX_PODS]:
        table.add_row(*map(harmless, row))
    _print_section(console, "Images of pods that keep their names", table)
    _print_more(console, len(skipped))


def _find_skipped(material: Material) -> Iterator[tuple[str, str, str]]:
    """
    Yield the images that are left: who has them, and why.

    Of namespaces that have not opted in one row each will do, and where nothing is proven none.
    """
    outside: dict[str, list[PodRewrites]] = {}
    for each in material.survey.pods:
        if each.opted_in is False:
            outside.setdefault(namespace_of(each.workload), []).append(each)
            continue
        for one in each.left:
            if material.is_proven or one.left != Left.NO_MIRROR:
                yield show_workload(each.workload), one.image, one.sentence or ""
    for namespace, pods in outside.items():
        images = dict.fromkeys(one.image for pod in pods for one in (*pod.rewritten, *pod.left))
        workloads = f"{count(len(pods), 'workload')} in {namespace}"
        yield workloads, join_some(images, most=2), "the namespace has not opted in"


def _print_rejected(console: Console, rejected: Sequence[dict[str, Any]]) -> None:
    table = _table("entry", "why it is not understood")
    for each in rejected:
        table.add_row(f"{harmless(each['file'])}:{each['line']}", harmless(each["reason"]))
    _print_section(console, f"Rejected ({len(rejected)})", table)


def _print_notes(console: Console, plan: Plan) -> None:
    notes = list(plan.notes)
    if plan.offline is not None:
        notes.insert(0, f"{plan.offline}: sizes, digests and whether mirrors exist are unknown")
    doubts = Counter(
        step.reason
        for image in plan.images
        for step in image.steps[:1]
        if step.result in {"warm_unless_small", "unknown"} and step.reason != plan.offline
    )
    notes += [f"unknown of {count(n, 'image')}: {why}" for why, n in doubts.most_common()]
    _print_title(console, "What to know", notes)
    for each in notes:
        console.print(Text("- ") + Text(harmless(each)))
    console.print()


def _sum_up(plan: Plan) -> str:
    sizes = {each.digest or each.image: each.image_bytes for each in plan.warmed}
    known = [each for each in sizes.values() if each is not None]
    measured = [f"{show_bytes(sum(known))} compressed"] if known else []
    unknown = len(sizes) - len(known)
    measured += [f"{unknown} of unknown size"] if unknown else []
    images = count(len(plan.warmed), "image") + " to be warmed"
    states = Counter(each.state for each in plan.mirrors)
    mirrors = count(states["missing"], "mirror") + " to be made"
    mirrors += f", {states['unknown']} perhaps" if states["unknown"] else ""
    pods = sum(each.is_rewritten for each in plan.material.survey.pods)
    return "; ".join(
        [
            images + (f" ({', '.join(measured)})" if measured else ""),
            mirrors,
            f"pods of {count(pods, 'workload')} to be rewritten",
            "nothing was changed",
        ]
    )


def _word_for(step: Step) -> str:
    return (step.outcome or step.result).replace("_", " ")


def _explain(step: Step, settings: Settings) -> str:
    if step.result == "too_small":
        return f"{show_bytes(step.image_bytes)}, below {show_bytes(settings.min_image_bytes)}"
    return ". ".join(each for each in (step.reason, step.hint) if each)


def _show_workloads(names: Iterable[str]) -> str:
    return harmless(join_some([show_workload(each) for each in names], most=2))


def show_workload(name: str) -> str:
    """
    Return a workload's name as kubectl takes it.

    >>> show_workload("apps/v1/namespaces/ml/deployments/trainer")
    'deployments/trainer in ml'
    """
    match name.split("/"):
        case [*_, "namespaces", namespace, plural, own]:
            return f"{plural}/{own}" + (f" in {namespace}" if namespace else "")
        case _:
            return name


def namespace_of(name: str) -> str:
    """
    Return the namespace of a workload.

    >>> namespace_of("apps/v1/namespaces/ml/deployments/trainer")
    'ml'
    """
    return name.partition("/namespaces/")[2].partition("/")[0]


def _left_as_json(rewrite: Rewrite) -> dict[str, Any]:
    return {"image": rewrite.image, "left": rewrite.left, "reason": rewrite.sentence}


def _print_more(console: Console, number: int) -> None:
    if number > _MAX_PODS:
        console.print(f"  … and {number - _MAX_PODS} more (--json has all)")


def _print_section(console: Console, title: str, table: Table) -> None:
    if table.row_count:
        _print_title(console, title, table.rows)
        console.print(table)


def _print_title(console: Console, title: str, rows: Sequence[object]) -> None:
    if rows:
        console.print(Text(f"\n{title}", "bold"))


def _indented(text: str) -> Padding:
    return Padding(Text(harmless(text), "dim"), (0, 0, 0, 4))


def _table(*columns: str) -> Table:
    """Return a table in which the names that a person may copy are broken last."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for name in columns:
        table.add_column(
            name,
            overflow="fold",
            justify="right" if name == "size" else "left",
            no_wrap=name in {"image", "size", "mirror", "target", "rung", "upstream"},
        )
    return table
