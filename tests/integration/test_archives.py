"""The archives: what is in them, that they are the same each time, and that each serves."""

import hashlib
import http.client
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.function_process import FunctionProcess
from tools import archives as assembly

NAMES = assembly.function_names()
MAX_BYTES = 1_000_000
TIMEOUT_S = 30.0


def test_there_is_an_archive_for_each_function(archives: Path) -> None:
    assert {path.stem for path in archives.glob("*.zip")} >= set(NAMES)
    assert set(NAMES) >= {"audit_log", "build_notification", "image_reference", "pull_event"}


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_holds_what_the_function_needs_and_no_more(archives: Path, name: str) -> None:
    with zipfile.ZipFile(archives / f"{name}.zip") as archive:
        paths = archive.namelist()
        main = archive.read("main.py").decode()
    roots = {path.partition("/")[0] for path in paths}

    assert roots == {"main.py", "shared", "requirements.txt", "prestream.yaml"}
    assert f"def handle_{name}(" in main
    assert "shared/runtime/handler.py" in paths
    assert all(path.endswith(".py") for path in paths if path.startswith("shared/"))
    assert not [path for path in paths if "test" in path or "__pycache__" in path]


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_is_small(archives: Path, name: str) -> None:
    assert (archives / f"{name}.zip").stat().st_size < MAX_BYTES


def copy_sources(name: str, root: Path, checkout: Path) -> None:
    """Copy what is in a function's archive, with another time of change."""
    for path, file in assembly.assemble(name, root):
        place = f"functions/{name}/main.py" if path == "main.py" else path
        (checkout / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, checkout / place)
        os.utime(checkout / place, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_has_the_same_bytes_each_time(tmp_path: Path, name: str) -> None:
    copy_sources(name, assembly.ROOT, tmp_path / "one")
    copy_sources(name, tmp_path / "one", tmp_path / "two")
    for file in (tmp_path / "two").rglob("*.py"):
        file.touch()

    one = assembly.write_archive(name, tmp_path / "built-one", tmp_path / "one")
    two = assembly.write_archive(name, tmp_path / "built-two", tmp_path / "two")

    assert digest(one) == digest(two)


def test_a_changed_source_changes_the_archive(tmp_path: Path) -> None:
    copy_sources("audit_log", assembly.ROOT, tmp_path)
    before = digest(assembly.write_archive("audit_log", tmp_path, tmp_path))

    (tmp_path / "prestream.yaml").write_text("max_running: 7\n", encoding="utf-8")

    assert digest(assembly.write_archive("audit_log", tmp_path, tmp_path)) != before


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_the_requirements_are_installed_where_archives_run(deployed_python: Path) -> None:
    required = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (assembly.ROOT / "requirements.txt").read_text("utf-8").splitlines()
        if "==" in line and not line.startswith(" ")
    }

    listed = subprocess.run(  # noqa: S603 - the interpreter is ours
        [deployed_python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    installed = {line.partition("==")[0].lower().replace("_", "-") for line in listed.split()}

    assert installed - {"pip", "setuptools"} <= required


@pytest.fixture(params=NAMES)
def served(
    request: pytest.FixtureRequest, archives: Path, deployed_python: Path, tmp_path: Path
) -> Iterator[FunctionProcess]:
    """A function, unpacked in an empty folder and served with no more than its project's name."""
    name: str = request.param
    process = FunctionProcess(
        archives / f"{name}.zip",
        tmp_path / "empty",
        python=deployed_python,
        environ={"GOOGLE_CLOUD_PROJECT": "demo"},
    ).start()
    process.wait_until_ready()
    yield process
    process.stop()


def test_an_archive_serves_in_an_empty_folder(served: FunctionProcess) -> None:
    connection = http.client.HTTPConnection(
        served.url.removeprefix("http://").rstrip("/"), timeout=TIMEOUT_S
    )
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "7",
        "ce-source": "//pubsub.googleapis.com/projects/demo/topics/t",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    }
    body = b'{"message": {"messageId": "7", "publishTime": "2024-05-17T09:31:04Z", "data": "e30="}}'

    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    line = served.wait_for_line(lambda line: line.get("event_id") == "7", TIMEOUT_S)

    # An empty object, long ago, asks for nothing: the function itself says so.
    assert answer.status == 200
    assert line is not None
    assert line["function"] == f"handle_{served.name}"
    assert line["disposition"] in {"ignored", "rejected"}
