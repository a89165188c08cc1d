"""Files that no command can read: each command ends with a documented exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.exits import ExitCode
from tests.fakes.command_line import run_command

FACT = {
    "event": "pull.observed",
    "insertId": "a",
    "timestamp": "2026-05-05T05:05:05Z",
    "image": "a:1",
    "cluster": "c",
    "node": "n",
    "streamed": "streamed",
    "pull_seconds": 1,
    "image_bytes": 1,
    "accelerator": "nvidia-l4",
}
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 26)
)
ALIASES = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 26)
)
TAGS = "\n".join(
    f"{number}: !!{tag} x"
    for number, tag in enumerate(
        ("int", "float", "bool", "null", "binary", "timestamp", "python/name:os.system", "mine")
    )
)

CONTENTS = {
    "merges": MERGES.encode(),
    "aliases": ALIASES.encode(),
    "alias-in-itself": b"a: &a [*a]",
    "merge-in-itself": b"a: &a {<<: *a}",
    "deep-list": b"[" * 100_000,
    "deep-object": b'{"a":' * 100_000,
    "deep-lines": b"".join(b" " * number + b"a:\n" for number in range(1_500)),
    "bytes": bytes(range(256)) * 4,
    "zeros": b"\0" * 100,
    "utf-16": "kind: Pod\n".encode("utf-16"),
    "digits": b"9" * 6_000,
    "digits-in-a-field": b'{"kind": "Pod", "image": ' + b"9" * 6_000 + b"}",
    "infinities": b'{"image": Infinity, "a": NaN, "b": 1e999999, "c": -Infinity}',
    "list-as-key": b"? [a, b]\n: 1\n",
    "object-as-key": b"? {a: b}\n: 1\n",
    "number-as-key": b"1: 2\nkind: Pod\nmetadata: 5\nspec: [1]\n",
    "dates": b"a: 9999-99-99\nb: 2001-02-30T99:99:99Z\n",
    "tags": TAGS.encode(),
    "set": b"a: !!set [1]\nb: !!omap 1\nc: !!pairs x\n",
    "text": b"hello world\n",
    "list": b'[1, "a", null, [], {}]',
    "types": b'{"kind": "List", "items": [5, {"kind": 5, "items": {}}], "spec": {"containers": 1}}',
    "surrogate": b'{"event": "pull.observed", "image": "\\ud800"}',
    "half": b'[{"image": "a:1"}, {"image": "b',
    "html": b"<!DOCTYPE html><html>",
}
COMMANDS = {
    "rewrite": "rewrite --location us-central1 FILE",
    "plan": "plan --offline --location us-central1 -f FILE",
    "plan-from": "plan --offline --location us-central1 --from FILE",
    "replay": "replay FILE",
    "report": "report FILE",
    "prices": "report --prices FILE /dev/null",
}
DOCUMENTED = {ExitCode.DONE, ExitCode.UNREADABLE}


def run(line: str, path: Path, **environ: str) -> Result:
    words = [str(path) if word == "FILE" else word for word in line.split()]
    return run_command({"GOOGLE_CLOUD_PROJECT": "demo", **environ}, *words)


@pytest.fixture(params=CONTENTS)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "broken"
    path.write_bytes(CONTENTS[request.param])
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_broken_file_ends_with_a_documented_exit_code(broken: Path, command: str) -> None:
    result = run(COMMANDS[command], broken)

    assert result.exception is None or isinstance(result.exception, SystemExit)
    expected = {ExitCode.MISCONFIGURED, ExitCode.UNREADABLE} if command == "prices" else DOCUMENTED
    assert result.exit_code in expected
    assert (result.exit_code == ExitCode.DONE) is ("error: " not in result.stderr) or (
        command in {"replay", "plan-from"}
    )


def test_broken_configuration_ends_with_its_exit_code(broken: Path) -> None:
    result = run("plan --offline -f /dev/null", broken, PRESTREAM_CONFIG=str(broken))

    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == ExitCode.MISCONFIGURED


# The client library parses a kubeconfig, which can start programs: only its owner writes it.
@pytest.mark.parametrize(
    "content", sorted(CONTENTS.keys() - {"merges", "deep-list", "deep-object"})
)
def test_broken_kubeconfig_ends_with_its_exit_code(content: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(CONTENTS[content])

    result = run("plan", path, KUBECONFIG=str(path))

    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == ExitCode.MISCONFIGURED


@pytest.mark.parametrize("content", ["merges", "aliases"])
@pytest.mark.parametrize("command", ["rewrite", "plan"])
def test_expanding_aliases_are_named(content: str, command: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_bytes(CONTENTS[content])

    result = run(COMMANDS[command], path)

    assert result.exit_code == ExitCode.UNREADABLE
    assert "bomb.yaml:" in result.stderr
    assert "aliases expand to more than 100000 values" in result.stderr


@pytest.mark.parametrize("content", ["text", "digits", "list", "html"])
def test_plan_refuses_a_document_that_is_not_an_object(content: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENTS[content])

    result = run(COMMANDS["plan"], path)

    assert result.exit_code == ExitCode.UNREADABLE


@pytest.mark.parametrize(
    "fields",
    [
        *({name: 10**30} for name in ("image_bytes", "pull_seconds", "streamed_layers")),
        {"image_bytes": 2**63},
        {"total_seconds": 1e308},
        {"streamed_layers": -1},
        {"image_bytes": -1},
    ],
    ids=str,
)
@pytest.mark.parametrize("option", ["", "--json"])
def test_fact_with_an_impossible_number_is_left_out(
    fields: dict[str, Any], option: str, tmp_path: Path
) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(
        f"{json.dumps(FACT)}\n{json.dumps(FACT | {'insertId': 'b'} | fields)}\n", encoding="utf-8"
    )

    result = run(f"report {option} FILE", path)

    assert result.exit_code == ExitCode.DONE
    assert "1 malformed line" in result.stderr


@pytest.mark.parametrize(
    "prices",
    [
        "accelerator_hour: {nvidia-l4: .inf}",
        "accelerator_hour: {nvidia-l4: .nan}",
        "accelerator_hour: {nvidia-l4: 1.0e+308}",
        f"accelerators_per_node: {{nvidia-l4: {'9' * 400}}}",
        f"accelerators_per_node: {{nvidia-l4: {'9' * 6000}}}",
    ],
    ids=range(5),
)
def test_impossible_price_is_refused(prices: str, tmp_path: Path) -> None:
    path, facts = tmp_path / "prices.yaml", tmp_path / "facts.jsonl"
    path.write_text(prices, encoding="utf-8")
    facts.write_text(json.dumps(FACT), encoding="utf-8")

    result = run(f"report --prices FILE {facts}", path)

    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == ExitCode.MISCONFIGURED


def test_replay_refuses_facts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(FACT), encoding="utf-8")

    result = run("replay --json FILE", path)

    assert result.exit_code == ExitCode.UNREADABLE
    assert json.loads(result.stdout.splitlines()[0])["reason"] == (
        "a fact, which no function receives"
    )


@pytest.mark.parametrize("option", ["--html", "--csv", "--pulls"])
def test_report_does_not_create_directories(option: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(json.dumps(FACT), encoding="utf-8")

    result = run(f"report FILE {option} {tmp_path}/absent/file", path)

    assert result.exit_code == ExitCode.UNREADABLE
    assert not (tmp_path / "absent").exists()
