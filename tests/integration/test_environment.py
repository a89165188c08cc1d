"""The variables that the functions read are those of the contract, and no others."""

import ast
import functools
from pathlib import Path

import pytest

from sandbox.local_cloud import LocalCloud
from shared.clients.endpoint import Endpoints
from shared.runtime.log_line import configure_logs
from shared.settings.keys import load_settings
from tests.fakes.environ import Environ

ROOT = Path(__file__).parents[2]
DEPLOYED = [ROOT / "shared", ROOT / "functions"]

DOCUMENTED = {
    "GOOGLE_CLOUD_PROJECT",
    "PRESTREAM_CONFIG",
    "PUBSUB_EMULATOR_HOST",
    "ARTIFACT_REGISTRY_EMULATOR_HOST",
    "GKE_EMULATOR_HOST",
    "CLOUD_LOGGING_EMULATOR_HOST",
    "KUBECONFIG",
}


def test_exactly_the_documented_variables_are_read(tmp_path: Path) -> None:
    config = tmp_path / "prestream.yaml"
    config.write_text("")
    environ = Environ(GOOGLE_CLOUD_PROJECT="demo", PRESTREAM_CONFIG=str(config))

    load_settings(environ)
    Endpoints.from_environ(environ)
    configure_logs(environ)

    assert environ.asked == DOCUMENTED


def test_local_cloud_sets_exactly_these() -> None:
    cloud = LocalCloud().start()
    try:
        assert set(cloud.environ("pull_event")) == DOCUMENTED
    finally:
        cloud.stop()


@functools.cache
def trees() -> dict[Path, ast.Module]:
    paths = [path for folder in DEPLOYED for path in folder.rglob("*.py")]
    return {path: ast.parse(path.read_text("utf-8")) for path in paths}


def test_only_entry_points_read_the_environment() -> None:
    # The wiring takes the environment as a mapping and passes it on.
    readers = {"configure_logs", "load_settings", "from_environ", "leave_out_grpc"}
    for path, tree in trees().items():
        touched = [node for node in ast.walk(tree) if _is_environ(node)]
        if path.name != "main.py":
            assert touched == [], f"{path} reads the environment"
            continue
        passed = [
            argument
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and (_name(node.func) in readers or _name(node.func).endswith("Wiring"))
            for argument in node.args
        ]
        assert touched, f"{path} passes no environment on"
        assert all(node in passed for node in touched), f"{path} reads the environment itself"


def _is_environ(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@pytest.mark.parametrize("empty", ["", None])
def test_variable_that_is_empty_counts_as_unset(empty: str | None) -> None:
    emulators = DOCUMENTED - {"GOOGLE_CLOUD_PROJECT", "PRESTREAM_CONFIG"}
    environ = {} if empty is None else dict.fromkeys(emulators, empty)

    assert Endpoints.from_environ(environ) == Endpoints()


def test_each_variable_is_the_address_of_its_own_service() -> None:
    names = [
        "PUBSUB_EMULATOR_HOST",
        "ARTIFACT_REGISTRY_EMULATOR_HOST",
        "GKE_EMULATOR_HOST",
        "CLOUD_LOGGING_EMULATOR_HOST",
        "KUBECONFIG",
    ]

    assert Endpoints.from_environ({name: name.lower() for name in names}) == Endpoints(
        pubsub="pubsub_emulator_host",
        artifact_registry="artifact_registry_emulator_host",
        gke="gke_emulator_host",
        logging="cloud_logging_emulator_host",
        kubeconfig="kubeconfig",
    )
