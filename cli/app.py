"""The prestream command: its name, and its commands, which are imported when they run."""

import importlib
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from cli.version import VERSION

COMMANDS = {
    "doctor": ("cli.doctor.doctor", "Check what image streaming needs, and print fixes."),
    "plan": ("cli.plan.plan", "Show what Prestream would do, and change nothing."),
    "policy": ("cli.policy.policy", "Print the policy that rewrites pods, or its state."),
    "replay": ("cli.replay.replay", "Run saved entries through the detectors again."),
    "report": ("cli.report.report", "Show durations, savings, and faults to fix."),
    "rewrite": ("cli.rewrite.rewrite", "Replace images in manifests by their mirrors."),
    "status": ("cli.status.status", "Show what is warm, warming, waiting or failed."),
    "trial": ("cli.trial.trial", "Try streaming with one image, without a deployment."),
    "wait": ("cli.status.wait", "Wait until images are warm, before a rollout."),
    "warm": ("cli.status.warm", "Request warmups of images."),
}
"""The module of each command, and its line in the help."""


class _LazyCommands(TyperGroup):
    """
    Lists commands without their modules.

    All of them together take six times as long to import as Typer does, and a shell completes words
    with a process for each key press.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        return TyperGroup(name=cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load_command(str(name)), rest


def load_command(name: str) -> Any:
    """Import the module of a command, and return the command."""
    module, _ = COMMANDS[name]
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(name)(getattr(importlib.import_module(module), name))
    command = typer.main.get_command(alone)
    command.params.append(_make_output_option())
    return command


def _make_output_option() -> Any:
    """Return the option ``-o``, which every command has beside its ``--json``."""
    alone = typer.Typer(add_completion=False)
    alone.command()(_declare_output)
    return typer.main.get_command(alone).params[0]


def _choose_output(context: typer.Context, value: str | None) -> None:
    """Make JSON the default of the command, before its own options are read."""
    if value == "json":
        context.default_map = {"as_json": True, "json_output": True}


def _declare_output(
    *,
    output: Annotated[
        Literal["table", "json"] | None,
        typer.Option(
            "-o",
            "--output",
            is_eager=True,
            expose_value=False,
            callback=_choose_output,
            help="The usual output, or JSON as with --json.",
        ),
    ] = None,
) -> None:
    """Declare the option; a callback applies it."""


app = typer.Typer(
    name="prestream",
    cls=_LazyCommands,
    help="Big container images start in seconds on GKE.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(value: bool) -> None:  # noqa: FBT001  # Typer passes the value of the option
    if value:
        typer.echo(f"prestream {VERSION}")
        raise typer.Exit


@app.callback()
def prestream(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and exit."
        ),
    ] = False,
) -> None:
    """Big container images start in seconds on GKE."""
    del version
