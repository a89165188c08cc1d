"""A plan, for a person and for other programs."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli.plan.image_plan import MirrorState, PlannedImage, PlannedMirror, PlanStep, Result
from cli.plan.plan_input import PlanInput
from cli.plan.skipped_images import OPT_IN, PodRewrites
from cli.terminal import count, harmless, join_some, make_console, show_bytes
from shared.domain.mirror_reference import Left, Rewrite
from shared.settings.keys import Settings

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
"""The maximum of workloads in the text; ``--json`` has all of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan, as it is printed."""

    material: PlanInput
    settings: Settings
    images: tuple[PlannedImage, ...]
    mirrors: tuple[PlannedMirror, ...]
    offline: str | None
    """The reason why no mirror was asked."""
    notes: tuple[str, ...]

    @property
    def warmed(self) -> list[PlannedImage]:
        """Images with a warmup on some target."""
        return [each for each in self.images if each.is_warmed]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
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
    """Print a plan in sections; an empty section is omitted."""
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
    _print_title(console, f"Mirrors ({len(mirrors)})", mirrors)
    upstream, address = (
        max((len(name) for name in names), default=0)
        for names in ([each.upstream for each in mirrors], [each.address for each in mirrors])
    )
    for each in mirrors:
        text, style = _STATES[each.state]
        line = f"{each.upstream.ljust(upstream)}  {each.address.ljust(address)}  "
        console.print(Text.assemble(line, (text, style)), soft_wrap=True)


def _print_warmed(console: Console, images: Sequence[PlannedImage]) -> None:
    _print_title(console, f"Images to be warmed ({len(images)})", images)
    steps = [step for image in images for step in image.steps]
    size, target, rung = (
        max((len(show(step)) for step in steps), default=0)
        for show in (_show_size, _show_target, _show_rung)
    )
    for image in images:
        _print_image(console, image.image, Text(), image.workloads)
        for step in image.steps:
            text, style = _RESULTS[step.result]
            line = (
                f"    {_show_size(step).rjust(size)}  {_show_target(step).ljust(target)}"
                f"  {_show_rung(step).ljust(rung)}  "
            )
            said = _explain_refusal(step) if step.result == "refused" else text
            console.print(Text.assemble(harmless(line), (harmless(said), style)), soft_wrap=True)


def _show_size(step: PlanStep) -> str:
    return "size unknown" if step.image_bytes is None else show_bytes(step.image_bytes)


def _show_target(step: PlanStep) -> str:
    return step.target or ""


def _show_rung(step: PlanStep) -> str:
    return step.rung or "rung unknown"


def _print_left_alone(console: Console, plan: Plan) -> None:
    lines = list(_find_left_alone(plan))
    _print_title(console, f"Left alone ({len(lines)})", lines)
    for image, why, explanation, workloads in lines:
        _print_image(console, image, why, workloads)
        console.print(_indented(explanation))


def _find_left_alone(plan: Plan) -> Iterator[tuple[str, Text, str, Sequence[str]]]:
    """Yield image, word, explanation and workloads of each image that is not warmed."""
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


def _print_skipped(console: Console, material: PlanInput) -> None:
    skipped: dict[str, list[str]] = {}
    for workload, image, why in _find_skipped(material):
        skipped.setdefault(workload, []).append(f"{image}: {why}")
    _print_title(console, "Images of pods that keep their names", skipped)
    for workload, lines in islice(skipped.items(), _MAX_PODS):
        console.print(Text(harmless(workload)), soft_wrap=True)
        for line in lines:
            console.print(_indented(line))
    _print_more(console, len(skipped))


def _find_skipped(material: PlanInput) -> Iterator[tuple[str, str, str]]:
    """
    Yield the workloads with images that keep their names, the images, and the reason.

    A namespace that has not opted in has one row. Without a proven mirror, a missing mirror is
    not a row.
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
    _print_title(console, f"Rejected ({len(rejected)})", rejected)
    for each in rejected:
        text = f"{harmless(each['file'])}:{each['line']}"
        console.print(Text.assemble((text, "red")), soft_wrap=True)
        console.print(_indented(each["reason"]))


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
        console.print(_indented(each))
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


def _word_for(step: PlanStep) -> str:
    return (step.outcome or step.result).replace("_", " ")


def _explain(step: PlanStep, settings: Settings) -> str:
    if step.result == "too_small":
        return f"{show_bytes(step.image_bytes)}, below {show_bytes(settings.min_image_bytes)}"
    return _explain_refusal(step)


def _explain_refusal(step: PlanStep) -> str:
    return ". ".join(each for each in (step.reason, step.hint) if each)


def _show_workloads(names: Iterable[str]) -> str:
    return harmless(join_some([show_workload(each) for each in names], most=2))


def show_workload(name: str) -> str:
    """
    Return a workload's name in the form of kubectl.

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


def _print_image(console: Console, image: str, word: Text, workloads: Iterable[str]) -> None:
    parts = (Text(harmless(image)), word, Text(_show_workloads(workloads), "dim"))
    console.print(Text("  ").join(each for each in parts if each), soft_wrap=True)


def _print_title(console: Console, title: str, rows: Collection[object]) -> None:
    if rows:
        console.print(Text(f"\n{title}", "bold"))


def _indented(text: str) -> Padding:
    return Padding(Text(harmless(text), "dim"), (0, 0, 0, 4))
