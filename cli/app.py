"""The prestream command: what it is called, and its commands, one module each."""

import typer

from cli.doctor.doctor import doctor
from cli.plan.plan import plan
from cli.policy.policy import policy
from cli.replay.replay import replay
from cli.report.report import report
from cli.rewrite.rewrite import rewrite
from cli.status.status import status
from cli.status.wait import wait
from cli.status.warm import warm

app = typer.Typer(
    name="prestream",
    help="Big container images start in seconds on GKE.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def prestream() -> None:
    """Big container images start in seconds on GKE."""


app.command()(doctor)
app.command()(plan)
app.command()(policy)
app.command()(replay)
app.command()(report)
app.command()(rewrite)
app.command()(status)
app.command()(wait)
app.command()(warm)
