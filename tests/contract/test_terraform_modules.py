"""The Terraform modules can be used from elsewhere, and the roots pass on every variable."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.terraform_files import (
    BOOTSTRAP,
    FILES,
    INFRA,
    MODULE,
    PRESTREAM,
    ROOT_OF_BOOTSTRAP,
    find_block,
    read_blocks,
    read_file,
    read_local,
)

TEXTS = {
    str(path.relative_to(INFRA)): path.read_text("utf-8")
    for path in FILES
    if path.is_relative_to(PRESTREAM)
}
ROOTS = {"prestream": (INFRA, PRESTREAM), "bootstrap": (ROOT_OF_BOOTSTRAP, BOOTSTRAP)}
ONLY_IN_MODULE = {"prestream": {"released_archives", "settings"}, "bootstrap": {"settings"}}
"""The root has its configuration file and its own archives in their place."""


@pytest.mark.parametrize("kind", ["provider", "import", "removed"])
def test_module_has_no_block_that_only_a_root_may_have(kind: str) -> None:
    assert not [
        path for path, text in TEXTS.items() if re.search(rf"^{kind}\b", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_path_is_inside_the_module_prestream(path: str) -> None:
    file = INFRA / path

    for written in re.findall(
        r'"(?:\$\{path\.module\}/)?(\.{1,2}/[^"$]+|[^"$]+\.json)"', TEXTS[path]
    ):
        assert (file.parent / written).resolve().is_relative_to(PRESTREAM), written
    assert "path.root" not in TEXTS[path]
    assert "path.cwd" not in TEXTS[path]


@pytest.mark.parametrize("name", ROOTS)
def test_root_passes_every_variable_of_its_module(name: str) -> None:
    root, module = ROOTS[name]
    variables = {block.name for block in read_blocks("variable", module)}
    call = find_block("module", name, root)

    assert set(call) - {"source", "__is_block__"} == variables - {"released_archives"}
    for variable in variables - ONLY_IN_MODULE[name] - {"archives_folder"}:
        assert call[variable] == f"${{var.{variable}}}"


@pytest.mark.parametrize("name", ROOTS)
def test_variable_of_a_root_is_that_of_its_module(name: str) -> None:
    root, module = ROOTS[name]
    ours = {block.name: block.body for block in read_blocks("variable", root)}
    theirs = {block.name: block.body for block in read_blocks("variable", module)}

    assert set(ours) - {"config_file"} == set(theirs) - ONLY_IN_MODULE[name]
    for variable in set(ours) - {"archives_folder", "config_file"}:
        assert ours[variable] == theirs[variable], variable


def test_bootstrap_and_prestream_agree_on_their_common_variables() -> None:
    first = {block.name: block.body for block in read_blocks("variable", PRESTREAM)}
    second = {block.name: block.body for block in read_blocks("variable", BOOTSTRAP)}

    common = set(first) & set(second)
    assert {"settings", "sink_scope", "build_projects", "mirrors"} <= common
    for variable in common:
        assert first[variable] == second[variable], variable


def test_computed_values_that_resources_read_are_mocked() -> None:
    mocked = {key: set(defaults) for key, defaults in _read_mocks().items()}
    written = {
        block.name: set(block.body)
        for folder in (PRESTREAM, BOOTSTRAP, MODULE)
        for block in read_blocks("resource", folder)
    }
    read = {found for text in TEXTS.values() for found in _find_references(text)}

    assert len(read) > 20
    for prefix, kind, name, attribute in read:
        mock = mocked.get(("mock_data" if prefix else "mock_resource", kind), set())
        given = set() if prefix else written[f"{kind}.{name}"]
        assert attribute in mock | given, (prefix, kind, name, attribute)


def test_mocks_have_the_form_that_the_validators_of_the_provider_accept() -> None:
    forms = {
        "email": r"[a-z][a-z0-9-]+@[a-z0-9.-]+",
        "member": r"serviceAccount:[a-z][a-z0-9-]+@[a-z0-9.-]+",
        "writer_identity": r"serviceAccount:[a-z][a-z0-9-]+@[a-z0-9.-]+",
        "number": r"\d+",
        "id": r"(projects|organizations)/[a-z0-9-]+/[a-zA-Z]+/.+",
    }
    values = [
        (attribute, value)
        for defaults in _read_mocks().values()
        for attribute, value in defaults.items()
        if attribute in forms
    ]

    assert {attribute for attribute, _ in values} == set(forms)
    assert not [each for each in values if not re.fullmatch(forms[each[0]], each[1])]


def _read_mocks() -> dict[tuple[str, str], dict[str, Any]]:
    mocks = read_file(INFRA / "tests" / "mocks" / "google.tfmock.hcl")
    return {
        (kind, label): body["defaults"]
        for kind in ("mock_resource", "mock_data")
        for entry in mocks[kind]
        for label, body in entry.items()
    }


def _find_references(text: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the attributes that expressions read, also those of a loop's variable."""
    address = r"(data\.)?(google_\w+)\.(\w+)"
    for found in re.finditer(address + r"(?:\[[^\]]*\]+)?\.([a-z]\w*)", text):
        yield found[1] or "", found[2], found[3], found[4]
    for loop in re.finditer(r"for (?:\w+, )?(\w+) in " + address, text):
        for used in re.finditer(rf"=> [^\n]*\b{loop[1]}\.(\w+)", text[loop.end() :][:300]):
            yield loop[2] or "", loop[3], loop[4], used[1]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("alerts", "_alerts"),
        ("counts", "_metrics"),
        ("functions", "functions"),
        ("images", "_image_counts"),
        ("line_alerts", "_line_alerts"),
        ("sinks", "sinks"),
    ],
)
def test_inventory_of_the_defaults_has_each_entry_of_a_map(name: str, values: str) -> None:
    text = (INFRA / "tests" / "prestream.tftest.hcl").read_text("utf-8")
    inventory = text.partition('run "defaults"')[2].partition("} == {")[2].partition("}")[0]
    expected = dict(re.findall(r"(\w+) += (\d+)", inventory))

    assert int(expected[name]) == len(read_local(values))
