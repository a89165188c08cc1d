"""The archives, one cloud in which all functions run from them, and single servers."""

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.server import KubernetesServer
from sandbox.local_cloud import LocalCloud
from shared.clients.registry import RegistryClient
from tests.fakes.registry_answers import Answers
from tests.integration.pipelines import FUNCTIONS, Pipeline
from tools import archives as assembly

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"

SCALE = 400.0
"""How many times as fast as the world's the sandbox's time passes."""

CONFIG = """
max_running: 2
upstreams:
  docker.io:
  ghcr.io:
  absent-host.example:
  broken.example:
  delayed.example:
  limited.example:
  private.example:
  quota.example:
  secured.example:
  stalled.example:
  denied.example:
  unsteady.example:
  disturbed.example:
  taken.example: {repository: taken}
"""
"""Upstreams whose mirror is not made yet, one for each test that needs it."""

ENDLESS_PERIOD = "period_hours: 8760\n"
"""The longest there can be: time passes so fast that a usual one ends in the middle of a test."""
LONG_DEADLINE = "deadline_minutes: 1440\n"
"""For the same reason."""


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A folder with the archives, each built anew if a source is younger.

    They are copied, so that a source that is changed meanwhile does not split the run.
    """
    folder = BUILD / "functions"
    for name in assembly.function_names():
        archive = folder / f"{name}.zip"
        sources = [Path(assembly.__file__), *(file for _, file in assembly.assemble(name))]
        changed = max(file.stat().st_mtime for file in sources)
        if not archive.exists() or archive.stat().st_mtime < changed:
            assembly.write_archive(name, folder)
    return Path(shutil.copytree(folder, tmp_path_factory.mktemp("built") / "functions"))


@pytest.fixture(scope="session")
def deployed_python() -> Path:
    """An interpreter that has what requirements.txt names, and nothing else."""
    python = BUILD / "deployed" / "bin" / "python"
    assert python.exists(), f"there is no {python}: run make test, which installs it"
    return python


@pytest.fixture(scope="session")
def pipeline(archives: Path, deployed_python: Path) -> Iterator[Pipeline]:
    """All functions in one cloud; each test has images, node pools and upstreams of its own."""
    cloud = LocalCloud(scale=SCALE, config=CONFIG + ENDLESS_PERIOD + LONG_DEADLINE)
    started = Pipeline(cloud, archives, deployed_python).start(*FUNCTIONS)
    for letter in "ab":
        started.add_gpu_node(f"gke-gpu-l4-{letter}", "l4-spot", accelerator="nvidia-l4")
    cloud.gke.add_node("gke-gpu-cpu-a", pool="cpu")
    yield started
    started.stop()


@pytest.fixture
def faults() -> Faults:
    """Return the faults that a test puts in the way of its server."""
    return Faults()


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Return a registry whose answers the test sets."""
    answers = Answers()
    yield answers
    answers.server.stop()


@pytest.fixture
def registry(answers: Answers) -> RegistryClient:
    """Return the client of that registry."""
    return RegistryClient(emulator_host=answers.server.address)


@pytest.fixture
def kubernetes(faults: Faults) -> Iterator[KubernetesServer]:
    """Return an API server with these faults."""
    server = KubernetesServer(Clock(), faults).start()
    yield server
    server.stop()


@pytest.fixture(scope="module", autouse=True)
def _tidy_cloud(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begin each file of tests of the pipeline with nothing that has ended before."""
    yield
    if request.module.__name__.rpartition(".")[2].startswith("test_pipeline_"):
        request.getfixturevalue("pipeline").tidy()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Clear the cloud after a test that failed, so that it fails alone."""
    report = yield
    used = getattr(item, "funcargs", {}).get("pipeline")
    if report.failed and isinstance(used, Pipeline):
        used.clear()
    return report
