"""Runs ``prestream report`` in this process."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from cli.app import app
from tests.fakes.fact_lines import RAY, pull, warmup

COLD = pull("not_streamed", 300.0, after_s=10, node="node-2", hint="Turn streaming on.")
STREAMED = pull("streamed", 8.0, after_s=600)
WARMUP = warmup(320.0)
FACTS = [COLD, STREAMED, WARMUP]


def run_report(*arguments: str | Path, text: str | bytes | None = None) -> Result:
    ended = CliRunner().invoke(app, ["report", *map(str, arguments)], input=text, obj={})
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


def read_report(text: str | bytes, *arguments: str | Path) -> Any:
    """Return the report of facts on standard input, parsed from JSON."""
    ended = run_report("-", "--json", *arguments, text=text)
    assert ended.exit_code == 0, ended.stderr
    return json.loads(ended.stdout)


def find_image(report: Any, name: str = RAY) -> Any:
    return next(each for each in report["images"] if each["image"] == name)
