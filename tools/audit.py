"""
Audit the pinned requirements: whether anything is known against them.

``pip-audit --strict`` fails alike where a package has a vulnerability, where one is not known to
the database, and where the database did not answer. The last is not a finding and is reported
separately: what was not audited did not pass, and is said not to have.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PASSED = "audited, nothing is known against any"
FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-checkov.txt",
    "requirements-fuzz.txt",
    "requirements-mutation.txt",
)

_MAX_REASON = 100
"""Characters; what follows is a stack of one error within another."""

_COMMAND = (
    *(sys.executable, "-m", "pip_audit"),
    *("--require-hashes", "--disable-pip", "--progress-spinner", "off"),
)


_UNREACHED = re.compile(
    r"requests\.exceptions\.|Could not connect|not redirecting properly|pip_audit\._cli:\s*\Z"
)
"""How pip-audit ends where no answer came, or, without a word, an error of the server's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of an audit."""

    text: str
    passed: bool
    """Whether nothing was found; also where nothing was looked for, which the text then says."""


def judge(report: str, errors: str) -> Verdict:
    """
    Tell what an audit came to that did not simply pass.

    Args:
        report: The JSON output of pip-audit, or other text if it failed.
        errors: Its standard error.
    """
    packages = _packages(report)
    skipped = [each for each in packages if "skip_reason" in each]
    if packages and len(skipped) == len(packages):
        return _not_audited(skipped[0]["skip_reason"])
    last = (errors.strip().splitlines() or ["it says nothing"])[-1]
    if not packages:
        is_unreached = _UNREACHED.search(errors) is not None
        return (
            _not_audited(last)
            if is_unreached
            else Verdict(f"the audit failed: {last}", passed=False)
        )
    lines = [_tell(each) for each in packages if each.get("vulns") or "skip_reason" in each]
    if not lines:
        return Verdict(PASSED, passed=True)
    return Verdict("\n".join(["the audit failed", *lines]), passed=False)


def _not_audited(why: str) -> Verdict:
    short = why if len(why) <= _MAX_REASON else f"{why[:_MAX_REASON]}…"
    return Verdict(
        f"NOT AUDITED, as the database of vulnerabilities could not be reached ({short})",
        passed=True,
    )


def _packages(report: str) -> list[Mapping[str, Any]]:
    try:
        return list(json.loads(report)["dependencies"])
    except (ValueError, LookupError, TypeError):
        return []


def _tell(package: Mapping[str, Any]) -> str:
    if "skip_reason" in package:
        return f"  {package['name']}: not audited: {package['skip_reason']}"
    found = ", ".join(
        f"{each['id']} (fixed in {', '.join(each['fix_versions']) or 'no version yet'})"
        for each in package["vulns"]
    )
    return f"  {package['name']} {package['version']}: {found}"


def _run(file: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # no shell, and nothing in it that others wrote
        [*_COMMAND, *options, "-r", file], capture_output=True, text=True, check=False
    )


def _audit(file: str) -> Verdict:
    if _run(file, "--strict").returncode == 0:
        return Verdict(PASSED, passed=True)
    found = _run(file, "--format", "json")
    return judge(found.stdout, found.stderr)


def main() -> int:
    """Audit each file, and return the exit code."""
    # One by one: what is deployed and what is not may need different versions of a package.
    verdicts = {file: _audit(file) for file in FILES}
    for file, verdict in verdicts.items():
        print(f"{file}: {verdict.text}")  # noqa: T201
    return 0 if all(each.passed for each in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
