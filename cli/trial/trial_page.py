"""The page of a trial: one file without scripts, made of the content of ``trial.json``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2

from cli.terminal import show_bytes
from cli.trial.pull_result import NOT_COLD, VERDICT_WORDS

_FOLDER: Final = Path(__file__).parent
_BAR_PERCENT: Final = 100.0


def make_page(record: Mapping[str, Any]) -> str:
    """Return the page, the same for the same content."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,  # texts come from events, which any user can write
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(bytes=show_bytes, verdict=_show_verdict)
    longest = max((each["seconds"] or 0.0 for each in record["pulls"]), default=0.0)
    texts = {each["step"]: each["text"] for each in record["plan"]["steps"]}
    return environment.get_template("trial_page.html").render(
        record=record, texts=texts, width=lambda seconds: _width(seconds, longest)
    )


def _show_verdict(pull: Mapping[str, Any]) -> str:
    """Return the verdict of a pull in words."""
    if pull["outcome"] not in {"pulled", "already_present"}:
        return str(pull["outcome"]).replace("_", " ")
    if pull["counts"] or pull["streamed"] == "cached_on_node":
        return VERDICT_WORDS.get(pull["streamed"], "unknown")
    return NOT_COLD


def _width(seconds: float | None, longest: float) -> float:
    return round((seconds or 0.0) / longest * _BAR_PERCENT, 2) if longest else 0.0
