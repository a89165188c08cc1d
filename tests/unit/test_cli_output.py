"""The option ``-o``: JSON as with ``--json``, for every command."""

from pathlib import Path

import pytest

from cli.app import COMMANDS, load_command
from tests.fakes.command_line import run_command

FILES = Path(__file__).parents[1] / "frozen" / "files"


@pytest.mark.parametrize(
    "command",
    [
        f"report {FILES / 'facts.jsonl'}",
        f"plan --offline --location us -f {FILES / 'pod.yaml'}",
        f"rewrite --location us {FILES / 'pod.yaml'}",
        "policy --api-version v1",
    ],
)
@pytest.mark.parametrize("option", ["-o json", "--output json", "--output=json"])
def test_output_json_is_that_of_json(environ: dict[str, str], command: str, option: str) -> None:
    expected = run_command(environ, *command.split(), "--json")

    ended = run_command(environ, *command.split(), *option.split())

    assert (ended.exit_code, ended.stdout) == (0, expected.stdout)
    assert ended.stdout.startswith(("{", "["))


def test_output_table_is_the_usual_output(environ: dict[str, str]) -> None:
    command = ("rewrite", "--location", "us", str(FILES / "pod.yaml"))

    assert (
        run_command(environ, *command, "-o", "table").stdout
        == run_command(environ, *command).stdout
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_option(environ: dict[str, str], name: str) -> None:
    ended = run_command(environ, name, "-o", "yaml")

    assert ended.exit_code == 2
    assert "'yaml' is not one of" in ended.stderr
    assert {"-o", "--json"} <= {each for param in load_command(name).params for each in param.opts}
