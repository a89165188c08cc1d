"""The project of gcloud's active configuration, read without running gcloud."""

import configparser
from collections.abc import Mapping
from pathlib import Path


def read_gcloud_project(environ: Mapping[str, str]) -> str | None:
    """
    Return the project that gcloud uses; None if it has none, or cannot be read.

    https://docs.cloud.google.com/sdk/docs/configurations
    """
    if named := environ.get("CLOUDSDK_CORE_PROJECT"):
        return named
    home = Path(environ.get("HOME") or "~").expanduser()
    folder = Path(environ.get("CLOUDSDK_CONFIG") or home / ".config" / "gcloud")
    try:
        name = environ.get("CLOUDSDK_ACTIVE_CONFIG_NAME") or _read(folder / "active_config")
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(_read(folder / "configurations" / f"config_{name or 'default'}"))
    except (OSError, ValueError, configparser.Error):
        return None
    return parser.get("core", "project", fallback="") or None


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
