"""Exit code and machine-readable output of command lines that need no service."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.frozen.masking import PROSE, mask

FILE = Path(__file__).parent / "command_lines.json"
ROOT = Path(__file__).resolve().parents[2]
_FILES = Path(__file__).parent / "files"
_EVENTS = ROOT / "tests" / "events"
_TIMEOUT_S = 120
_CONFIG = "PRESTREAM_CONFIG"
_PROSE = PROSE | {"reason", "about", "notes", "offline", "source"}

COMMANDS = """
plan --json --offline --location us -f manifests.yaml
plan --json --offline --location us-central1 -f manifests.yaml
plan --json --offline -f manifests.yaml
plan --json --offline --location us -f pod.yaml -f pod.json -f opted-out.yaml -f secret-pod.yaml
plan --json --offline --location us -f empty.yaml
plan --json --offline --location us -f - < manifests.yaml
plan --json --offline --location us --project other -f manifests.yaml
plan --json --offline --location us -f mirrored.yaml
plan --json --offline --location us --from payloads/audit-deployment-create.json
plan --json --offline --location us --from payloads/build-success.json
plan --json --offline --location us --from payloads/push-insert-tagged.json
plan --json --offline --location us --from payloads/audit-deployment-delete.json
plan --json --offline --cluster projects/demo/locations/us-central1/clusters/gpu -f pod.yaml
plan --json --offline --location us -f none.yaml
plan --json --offline --location us -f no-yaml.yaml
plan --json --offline --location moon/x -f pod.yaml
plan --json --offline --cluster gpu -f pod.yaml
plan --json --offline --context none
plan --json --offline
plan --offline --location us -f manifests.yaml
plan --none
PRESTREAM_CONFIG=config-targets.yaml plan --json --offline -f manifests.yaml
PRESTREAM_CONFIG=config-unknown-key.yaml plan --json --offline -f manifests.yaml
PRESTREAM_CONFIG=config-wrong-value.yaml plan --json --offline -f manifests.yaml
PRESTREAM_CONFIG=config-no-yaml.yaml plan --json --offline -f manifests.yaml
PRESTREAM_CONFIG=none.yaml plan --json --offline -f manifests.yaml
rewrite --location us manifests.yaml
rewrite --location us pod.yaml
rewrite --location us pod.json
rewrite --location us - < pod.yaml
rewrite --location us --json manifests.yaml
rewrite --location us --json pod.yaml pod.json secret-pod.yaml opted-out.yaml mirrored.yaml
rewrite --location us --json --pull-secrets ignore secret-pod.yaml
rewrite --location us --pull-secrets never secret-pod.yaml
rewrite --location us --check pod.yaml
rewrite --location us --check mirrored.yaml
rewrite --location us --in-place pod.yaml
rewrite --location us --in-place --check pod.yaml
rewrite --location us none.yaml
rewrite --location us no-yaml.yaml
rewrite --location us empty.yaml
rewrite --location us
rewrite pod.yaml
PRESTREAM_CONFIG=config-targets.yaml rewrite --json manifests.yaml
PRESTREAM_CONFIG=config-unknown-key.yaml rewrite pod.yaml
policy --json
policy
policy --project other --json
policy --cluster gpu --json
PRESTREAM_CONFIG=config-wrong-value.yaml policy --json
report --json facts.jsonl
report --json entries.json
report --json - < facts.jsonl
report --json broken-facts.jsonl
report --json --cluster gpu facts.jsonl
report --json --since 2026-05-05T00:00:00Z facts.jsonl
report --json --prices prices.yaml facts.jsonl
report --json --prices euro.yaml facts.jsonl
report --json --prices negative.yaml facts.jsonl
report --csv figures.csv --pulls pulls.csv facts.jsonl
report --json empty.yaml
report --json none.jsonl
report --json --since soon facts.jsonl
replay --json payloads/audit-deployment-create.json
replay --json payloads/build-success.json payloads/push-insert-tagged.json
replay --json payloads/events-back-off-pulling.json payloads/audit-service-create.json
replay --json - < payloads/build-failure.json
replay --json broken-facts.jsonl
replay --json none.json
PRESTREAM_CONFIG=config-wrong-value.yaml replay --json payloads/build-success.json
status --cluster gpu
wait
wait nginx --timeout soon
warm --json nginx --platform vax
none
""".strip().splitlines()
"""As in a shell, without quoting: variables, the command, its arguments, ``< FILE``."""


def record() -> dict[str, Any]:
    """Run every command line in a folder of its own, and return what it did."""
    with tempfile.TemporaryDirectory() as name:
        runs = [_prepare(Path(name) / f"run{at}", each) for at, each in enumerate(COMMANDS)]
        before = _read_files(runs[0].folder)
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "tests.frozen.forked_commands"],
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
            input=json.dumps([asdict(each) for each in runs], default=str),
            stdout=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        codes = json.loads(ended.stdout)
        described = [_describe(run, code, before) for run, code in zip(runs, codes, strict=True)]
    return dict(zip(COMMANDS, described, strict=True))


@dataclass(frozen=True)
class Run:
    """A command line, taken apart."""

    folder: Path
    environ: Mapping[str, str]
    arguments: list[str]
    standard_input: str


def _prepare(folder: Path, command: str) -> Run:
    shutil.copytree(_FILES, folder)
    shutil.copytree(_EVENTS, folder / "payloads")
    line, _, standard_input = command.partition(" < ")
    words = line.split()
    config = words.pop(0).partition("=")[2] if words[0].startswith(_CONFIG) else "empty.yaml"
    environ = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "GOOGLE_CLOUD_PROJECT": "demo",
        _CONFIG: str(folder / config),
    }
    return Run(folder, environ, words, standard_input)


def _describe(run: Run, code: int, before: Mapping[str, str]) -> dict[str, Any]:
    stdout, stderr = (run.folder.with_suffix(f".{each}").read_text("utf-8") for each in (1, 2))
    described: dict[str, Any] = {"exit": code, "complains": bool(stderr.strip())}
    if output := _read_output(run.arguments, stdout.replace(str(run.folder), "FOLDER")):
        described["output"] = output
    after = _read_files(run.folder)
    written = {path: text for path, text in after.items() if before.get(path) != text}
    return described | ({"written": written} if written else {})


def _read_output(arguments: list[str], text: str) -> Any:
    """Return what a program can read: JSON without its prose, or manifests as they are."""
    if "--json" in arguments:
        return [mask(each, prose=_PROSE) for each in _read_documents(text)]
    return text if arguments[0] == "rewrite" else None


def _read_documents(text: str) -> list[Any]:
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found


def _read_files(folder: Path) -> Mapping[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
