"""Runs a command line of prestream in this process."""

from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from cli.app import app


def run_command(
    environ: Mapping[str, str], *arguments: str | Path, text: str | bytes | None = None
) -> Result:
    """Run a command with these arguments, and with a text on standard input."""
    return CliRunner().invoke(app, [str(each) for each in arguments], input=text, obj=environ)
