"""Fixtures of the tests that serve one function through the framework."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.deployments import DeployedFunction, deployed
from tests.fakes.publishers import FakePublisher
from tests.fakes.served_functions import Line, served
from tests.fakes.wired_functions import WIRING, Lines, Serve, Wired
from tests.strategies.shapes import SHAPES


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


@pytest.fixture
def publisher() -> FakePublisher:
    """Return the publisher that a detector publishes with."""
    return FakePublisher()


@pytest.fixture
def wired() -> Wired:
    """Return the service that replaces all others of a function."""
    return Wired()


@pytest.fixture
def serve(config: Path, wired: Wired) -> Iterator[Serve]:
    """Return a function that serves one of ours by its name."""
    del config
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(
            served(name, **dict.fromkeys(WIRING[name][0], wired))
        )


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Return a function that reads the lines since its last call; standard error is empty."""

    def read() -> list[dict[str, Any]]:
        output = capsys.readouterr()
        assert output.err == ""
        return [json.loads(line) for line in output.out.splitlines()]

    return read


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DeployedFunction]]:
    """Return all functions with their real steps, by name, each in a world in memory."""
    config: Path = tmp_path_factory.mktemp("deployed") / "prestream.yaml"
    config.write_text("")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
        patch.setenv("PRESTREAM_CONFIG", str(config))
        yield {name: stack.enter_context(deployed(name)) for name in sorted(SHAPES)}
