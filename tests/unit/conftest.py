"""Fixtures of the tests that load a file of settings, or that run a command."""

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.settings.keys import Settings, load_settings

Load = Callable[[str], Settings]
Refuse = Callable[[str], list[str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a command: empty settings, and services that do not answer."""
    config = tmp_path / "prestream.yaml"
    config.write_text("", encoding="utf-8")
    services = ("ARTIFACT_REGISTRY", "GKE", "CLOUD_LOGGING", "PUBSUB")
    return {
        "PRESTREAM_CONFIG": str(config),
        "GOOGLE_CLOUD_PROJECT": "demo",
        "HOME": str(tmp_path),
        **{f"{each}_EMULATOR_HOST": "127.0.0.1:9" for each in services},
    }


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads the settings of a file with this text."""

    def load_text(text: str) -> Settings:
        path = tmp_path / "custom.yaml"
        path.write_text(text, encoding="utf-8")
        return load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "demo"})

    return load_text


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """Return a function that lists the problems of a file with this text."""

    def refuse_text(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        head, *problems = str(caught.value).split("\n- ")
        return problems or [head.partition("custom.yaml: ")[2] or head]

    return refuse_text
