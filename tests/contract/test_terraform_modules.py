"""The Terraform modules can be used from elsewhere, and the roots pass on every variable."""

import re

import pytest

from tests.contract.terraform_files import (
    BOOTSTRAP,
    FILES,
    INFRA,
    PRESTREAM,
    ROOT_OF_BOOTSTRAP,
    find_block,
    read_blocks,
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
