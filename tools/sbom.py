"""
The bill of materials of what is deployed, as CycloneDX has it: ``build/sbom.json``.

It is made of the pinned requirements and of the archives alone, so that the same sources have the
same bill: no time, no random serial number.

https://cyclonedx.org/docs/1.6/json/
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.txt"

_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def read_libraries(text: str) -> Iterator[dict[str, Any]]:
    """Yield a component for each pinned requirement, with the hashes of its files."""
    for entry in text.replace("\\\n", " ").splitlines():
        pinned = _PINNED.match(entry.strip())
        if pinned is None:
            continue
        name, version = re.sub(r"[-_.]+", "-", pinned[1]).lower(), pinned[2]
        purl = f"pkg:pypi/{name}@{version}"
        files = [
            {"type": "distribution", "url": purl, "hashes": [_sha256(digest)]}
            for digest in sorted(_HASH.findall(entry))
        ]
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "externalReferences": files,
        }


def read_archives(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a component for each function's archive."""
    for path in sorted(folder.glob("*.zip")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield {
            "type": "application",
            "bom-ref": f"function:{path.stem}",
            "name": path.stem,
            "hashes": [_sha256(digest)],
        }


def make_bill(requirements: str, archives: Path) -> Mapping[str, Any]:
    """Return the bill: each function, and the libraries that all of them are deployed with."""
    libraries = sorted(read_libraries(requirements), key=lambda each: each["bom-ref"])
    functions = list(read_archives(archives))
    used = [each["bom-ref"] for each in libraries]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "prestream", "name": "prestream"}
        },
        "components": [*functions, *libraries],
        "dependencies": [
            {"ref": "prestream", "dependsOn": [each["bom-ref"] for each in functions]},
            *({"ref": each["bom-ref"], "dependsOn": used} for each in functions),
        ],
    }


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def main() -> None:
    """Write the bill of what ``make archives`` has built."""
    bill = make_bill(REQUIREMENTS.read_text("utf-8"), ROOT / "build" / "functions")
    text = json.dumps(bill, indent=2, sort_keys=True)
    (ROOT / "build" / "sbom.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
