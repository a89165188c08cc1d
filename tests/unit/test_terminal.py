"""Text of others is printed as written: without markup, emoji and control sequences."""

import io

import pytest
from rich.table import Table

from cli.exits import say
from cli.terminal import harmless, make_console, make_side_console

# An IPv6 address in brackets is a registry's host, and reads like a tag of Rich.
NAMES = (
    "[bad:cafe]:5000/team/app:1",
    "[red]team/app[/red]",
    "[/]",
    "[link=https://evil.example]team[/link]",
    "team/app:smile:",
)


@pytest.fixture(params=[make_console, make_side_console], ids=["output", "beside"])
def shown(request: pytest.FixtureRequest) -> io.StringIO:
    file = io.StringIO()
    console = request.param()
    console.file = file
    table = Table()
    table.add_column("image", overflow="fold")
    for name in NAMES:
        table.add_row(name)
        console.print(name)
    console.print(table)
    return file


@pytest.mark.parametrize("name", NAMES)
def test_name_is_no_markup(shown: io.StringIO, name: str) -> None:
    assert shown.getvalue().count(name) == 2


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\x1b[2J", id="clears-the-screen"),
        pytest.param("\x1b]8;;https://evil.example\x1b\\", id="link"),
        pytest.param("\x9b31m", id="control-of-one-character"),
        pytest.param("\x07\x08\x7f\r", id="bell-and-backspace"),
        pytest.param("a\u202eb\u2066c", id="turns-the-direction-of-writing"),
        pytest.param("a\u200bb\ufeff", id="zero-width"),
        pytest.param("a\nb\u2028c", id="lines"),
        pytest.param("\ud800", id="half-a-character"),
    ],
)
def test_text_has_no_control_sequences(text: str) -> None:
    assert harmless(text).isprintable()


def test_error_quotes_text_without_control_sequences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("error: two things:\n- \x1b[2J[red]\n- b")

    assert capsys.readouterr().err == "error: two things:\n- \\x1b[2J[red]\n- b\n"
