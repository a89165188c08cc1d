"""Fixtures of the tests that serve one function through the framework."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.served_functions import Line


@pytest.fixture
def project() -> str:
    """Return the project of the function; a module may override it."""
    return "demo"


@pytest.fixture
def config(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of an empty configuration that the function reads."""
    path = tmp_path / "prestream.yaml"
    path.write_text("")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    monkeypatch.setenv("PRESTREAM_CONFIG", str(path))
    return path


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    """Return a function that reads the only line that was logged since its last call."""

    def read() -> dict[str, Any]:
        (text,) = capsys.readouterr().out.splitlines()
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    return read
