"""The end of a command: its exit code, and its message on standard error."""

from enum import IntEnum
from typing import NoReturn

import typer
from rich.text import Text

from cli.terminal import harmless, make_side_console


class ExitCode(IntEnum):
    """The exit codes, on which scripts rely."""

    DONE = 0
    """Done, or nothing to do."""
    DIFFERENT = 1
    """A check found a change, or an image that is not warm (yet)."""
    MISUSED = 2
    """Options or arguments that make no sense."""
    UNREADABLE = 3
    """A file cannot be read or written, or is not understood."""
    MISCONFIGURED = 4
    """The configuration is invalid or incomplete."""
    UNAVAILABLE = 5
    """A cluster or a service does not answer, or refuses."""
    FAILED = 6
    """An image could not be warmed."""


EXIT_CODES = (
    "Exit codes: 0 done; 1 a check found what would be changed, or what is not warm in time;"
    " 2 options that make no sense;"
    " 3 a file that cannot be read or written, or is not understood; 4 an invalid configuration;"
    " 5 a cluster or a service that does not answer, or refuses; 6 an image could not be warmed."
)
"""For the help of the commands."""


def say(text: str) -> None:
    """Print a message on standard error, without the control characters of foreign texts."""
    text = "\n".join(map(harmless, text.split("\n")))
    make_side_console(soft_wrap=True).print(Text(text))


def fail(code: ExitCode, text: str) -> NoReturn:
    """End the command with an error."""
    say(f"error: {text}")
    raise typer.Exit(code)
