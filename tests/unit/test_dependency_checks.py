"""The result of an audit, and the bill of materials of a deployment."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools.audit import FILES, PASSED, judge
from tools.sbom import ROOT, make_bill

SOUND = {"name": "requests", "version": "2.34.2", "vulns": []}
BAD = {
    "name": "jinja2",
    "version": "3.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.1"], "aliases": []}],
}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found: ours (1)"}
REQUIREMENTS = """\
Some_Lib==1.5 ; python_version < '3.12' \\
    --hash=sha256:{b} \\
    --hash=sha256:{a}
aiohttp==3.14.5 \\
    --hash=sha256:{a}
""".format(a="a" * 64, b="b" * 64)


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_vulnerability_fails_and_names_the_fixed_version() -> None:
    verdict = judge(report(SOUND, BAD, UNKNOWN), "Found 1 known vulnerability")

    assert not verdict.passed
    assert "jinja2 3.0: PYSEC-1 (fixed in 3.1)" in verdict.text


def test_one_package_that_the_database_does_not_know_fails() -> None:
    verdict = judge(report(SOUND, UNKNOWN), "")

    assert not verdict.passed
    assert "ours: not audited" in verdict.text


@pytest.mark.parametrize(
    ("said", "errors"),
    [
        pytest.param(report(UNKNOWN, UNKNOWN), "", id="it-knows-nothing-at-all"),
        pytest.param("", "requests.exceptions.ProxyError: no way", id="no-connection"),
        pytest.param("", "ERROR:pip_audit._cli:Could not connect to the feed", id="time-out"),
        pytest.param("", "ERROR:pip_audit._cli:\n", id="error-of-the-server"),
    ],
)
def test_unreachable_database_is_reported_and_is_not_a_finding(said: str, errors: str) -> None:
    verdict = judge(said, errors)

    assert verdict.passed
    assert verdict.text.startswith("NOT AUDITED")
    assert PASSED not in verdict.text


@pytest.mark.parametrize(
    "errors",
    ["", "No module named pip_audit", "ERROR:pip_audit._cli:certifi has duplicate requirements"],
)
def test_audit_that_could_not_run_has_not_passed(errors: str) -> None:
    assert not judge("", errors).passed
    assert not judge("[]", errors).passed


def test_all_that_is_pinned_is_audited() -> None:
    assert set(FILES) == {path.name for path in ROOT.glob("requirements*.txt")}


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "audit_log.zip", "w") as archive:
        archive.writestr("main.py", "")
    return tmp_path


def test_bill_names_every_library_with_its_version_and_hashes(archives: Path) -> None:
    bill = make_bill(REQUIREMENTS, archives)

    libraries = [each for each in bill["components"] if each["type"] == "library"]
    assert [each["purl"] for each in libraries] == [
        "pkg:pypi/aiohttp@3.14.5",
        "pkg:pypi/some-lib@1.5",
    ]
    hashes = [file["hashes"][0]["content"] for file in libraries[1]["externalReferences"]]
    assert hashes == ["a" * 64, "b" * 64]


def test_bill_names_every_function(archives: Path) -> None:
    bill = make_bill(REQUIREMENTS, archives)

    (function,) = (each for each in bill["components"] if each["type"] == "application")
    assert function["name"] == "audit_log"
    assert len(function["hashes"][0]["content"]) == 64
    assert bill["dependencies"][1]["dependsOn"] == [
        "pkg:pypi/aiohttp@3.14.5",
        "pkg:pypi/some-lib@1.5",
    ]


def test_same_sources_have_the_same_bill_of_materials(archives: Path) -> None:
    first, second = (json.dumps(make_bill(REQUIREMENTS, archives)) for _ in range(2))

    assert first == second
    assert "timestamp" not in first
    assert "serialNumber" not in first


def test_every_requirement_is_in_the_bill(tmp_path: Path) -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")

    bill = make_bill(text, tmp_path)

    assert len(bill["components"]) == text.count("==") > 20
    assert all(each["externalReferences"] for each in bill["components"])
