"""docs/security.md names a test for each threat, and a reason for each exception."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
CHECKOV = (ROOT / "infra" / ".checkov.yaml").read_text("utf-8")


def names_in(path: str) -> set[str]:
    """Return the tests of a file, in a class or not."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_named_tests_exist(path: str) -> None:
    named = {name for each, name in NAMED if each == path}

    assert named <= names_in(path), sorted(named - names_in(path))


def test_no_test_is_named_in_another_form() -> None:
    assert len(NAMED) == len(re.findall(r"::", PAGE))
    assert len(NAMED) == len(set(NAMED)) > 50


def test_each_section_on_threats_names_its_tests() -> None:
    told = {"Assets", "Trust boundaries", "Remaining risks"}
    sections = dict(re.findall(r"(?ms)^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE))

    assert told < set(sections)
    for title in set(sections) - told:
        assert "::test_" in sections[title], title


def test_skipped_checks_have_a_reason() -> None:
    skipped = yaml.safe_load(CHECKOV)["skip-check"]
    explained = re.findall(r"(?m)^  # .+\.\n  - (\w+)$", CHECKOV)

    assert explained == skipped


def test_analysis_covers_all_deployed_code() -> None:
    assert yaml.safe_load(CHECKOV)["skip-path"] == ["infra/tests"]
