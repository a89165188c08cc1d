"""The archives: their content, the same bytes for the same sources, and serving from each."""

import hashlib
import http.client
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import grimp
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
def test_archive_holds_the_entry_point_and_its_configuration(archives: Path, name: str) -> None:
    with zipfile.ZipFile(archives / f"{name}.zip") as archive:
        main = archive.read("main.py").decode()
        roots = {path.partition("/")[0] for path in archive.namelist()}

    assert roots == {"main.py", "shared", "requirements.txt", "prestream.yaml"}
    assert f"def handle_{name}(" in main


@pytest.fixture(scope="module")
def import_graph() -> grimp.ImportGraph:
    """The graph that the import contracts are checked on, in place of our own search."""
    return grimp.build_graph(
        "functions", "shared", exclude_type_checking_imports=True, cache_dir=None
    )


@pytest.mark.parametrize("name", NAMES)
def test_archive_holds_the_import_closure_and_nothing_else(
    archives: Path, name: str, import_graph: grimp.ImportGraph
) -> None:
    imported = import_graph.find_upstream_modules(f"functions.{name}.main")
    packages = {package for each in imported for package in list_packages(each)}

    packed = packed_modules(archives / f"{name}.zip")

    assert len(packed) == len(set(packed))
    assert set(packed) == imported | packages


def list_packages(module: str) -> list[str]:
    """Return the packages of a module: importing it runs each of them."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def packed_modules(archive: Path) -> list[str]:
    """Return the dotted names of the modules of ours that an archive holds."""
    with zipfile.ZipFile(archive) as content:
        paths = [Path(path) for path in content.namelist() if path.startswith("shared/")]
    assert {path.suffix for path in paths} == {".py"}
    return [
        ".".join(path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts)
        for path in paths
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_module_in_the_archive_can_be_imported_from_it(
    archives: Path, deployed_python: Path, tmp_path: Path, name: str
) -> None:
    archive = archives / f"{name}.zip"
    with zipfile.ZipFile(archive) as content:
        content.extractall(tmp_path)
    lines = "\n".join(f"import {module}" for module in packed_modules(archive))

    done = subprocess.run(  # noqa: S603 - the interpreter is ours
        [deployed_python, "-c", lines],
        cwd=tmp_path,
        env={"PATH": os.defpath},
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("import shared.a.one", ["shared.a.one"], id="module"),
        pytest.param("from shared.a import one", ["shared.a.one"], id="module-of-a-package"),
        pytest.param("from shared.a.one import ONE", ["shared.a.one"], id="name-of-a-module"),
        pytest.param("def f():\n    import shared.a.one", ["shared.a.one"], id="lazy-import"),
        pytest.param("import shared.b", ["shared.b", "shared.a.one"], id="indirect-import"),
        pytest.param("if TYPE_CHECKING:\n    import shared.b", [], id="type-checking"),
        pytest.param("if typing.TYPE_CHECKING:\n    import shared.b", [], id="type-checking-name"),
        pytest.param(
            "if TYPE_CHECKING:\n    import shared.b\nelse:\n    import shared.a.one",
            ["shared.a.one"],
            id="runtime-branch",
        ),
        pytest.param("import functions.other, json, shared_by_others", [], id="others"),
    ],
)
def test_import_closure_follows_what_runs(tmp_path: Path, source: str, expected: list[str]) -> None:
    (tmp_path / "shared" / "a").mkdir(parents=True)
    for package in ("shared", "shared/a"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "shared" / "a" / "one.py").write_text("ONE = 1\n", encoding="utf-8")
    (tmp_path / "shared" / "b.py").write_text("from shared.a.one import ONE\n", encoding="utf-8")
    main = tmp_path / "main.py"
    main.write_text(source, encoding="utf-8")

    found = assembly.find_import_closure(main, tmp_path)

    modules = {each.relative_to(tmp_path).with_suffix("").as_posix() for each in found}
    wanted = {each.replace(".", "/") for each in expected}
    assert {each for each in modules if not each.endswith("__init__")} == wanted
    packages = {f"{parent}/__init__" for each in wanted for parent in Path(each).parents}
    assert {each for each in modules if each.endswith("__init__")} == packages - {"./__init__"}


@pytest.mark.parametrize("name", NAMES)
def test_archive_is_small(archives: Path, name: str) -> None:
    assert (archives / f"{name}.zip").stat().st_size < MAX_BYTES


def copy_sources(name: str, root: Path, checkout: Path) -> None:
    """Copy what is in a function's archive, with another time of change."""
    for path, file in assembly.assemble(name, root):
        place = f"functions/{name}/main.py" if path == "main.py" else path
        (checkout / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, checkout / place)
        os.utime(checkout / place, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize("name", NAMES)
def test_archive_has_the_same_bytes_each_time(tmp_path: Path, name: str) -> None:
    copy_sources(name, assembly.ROOT, tmp_path / "one")
    copy_sources(name, tmp_path / "one", tmp_path / "two")
    for file in (tmp_path / "two").rglob("*.py"):
        file.touch()

    one = assembly.write_archive(name, tmp_path / "built-one", tmp_path / "one")
    two = assembly.write_archive(name, tmp_path / "built-two", tmp_path / "two")

    assert digest(one) == digest(two)


def test_changed_source_changes_the_archive(tmp_path: Path) -> None:
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


def test_archive_serves_in_an_empty_folder(served: FunctionProcess) -> None:
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

    # The function ignores an old, empty object.
    assert answer.status == 200
    assert line is not None
    assert line["function"] == f"handle_{served.name}"
    assert line["disposition"] in {"ignored", "rejected"}
