"""prestream replay: what the functions would do with what was saved."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.fakes.command_line import run_command
from tests.fakes.recorded_events import load_event

TRAINER = "europe-west4-docker.pkg.dev/starling-lab/vision/trainer"


def run(environ: Mapping[str, str], *arguments: str | Path, text: str = "") -> Result:
    return run_command(environ, "replay", *arguments, text=text)


def replay(environ: Mapping[str, str], *entries: Any) -> list[dict[str, Any]]:
    """Return what is printed of some entries with ``--json``, the summary last."""
    result = run(environ, "--json", "-", text=json.dumps(entries))
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "function", "disposition"),
    [
        pytest.param("audit-deployment-create", "audit_log", "handled", id="workload"),
        pytest.param("audit-deployment-delete", "audit_log", "ignored", id="deletion"),
        pytest.param("audit-nodepool-create", "audit_log", "ignored", id="another-service"),
        pytest.param("build-success", "build_notification", "handled", id="build"),
        pytest.param("build-failure", "build_notification", "ignored", id="failed-build"),
        pytest.param("events-back-off-pulling", "pull_event", "ignored", id="event-of-a-node"),
    ],
)
def test_entry_is_recognized_by_its_shape(
    environ: dict[str, str], name: str, function: str, disposition: str
) -> None:
    told, _ = replay(environ, load_event(name))

    assert (told["function"], told["disposition"]) == (function, disposition)


def test_replay_publishes_the_requests_of_the_function(environ: dict[str, str]) -> None:
    told, summary = replay(environ, load_event("build-success"))

    assert [each["cause"]["kind"] for each in told["would_publish"]] == ["build"] * len(
        told["would_publish"]
    )
    assert any(each["image"].startswith(TRAINER) for each in told["would_publish"])
    assert summary["summary"]["references"] == len(told["would_publish"])
    assert summary["summary"]["published"] == 0


def test_reason_is_the_one_that_the_function_logs(environ: dict[str, str]) -> None:
    told, summary = replay(environ, load_event("audit-deployment-dry-run"))

    assert told["reason"] == "the request was a dry run"
    assert summary["summary"]["ignored_by_reason"] == {"the request was a dry run": 1}


def test_push_arrives_as_it_was_pulled_from_a_subscription(environ: dict[str, str]) -> None:
    push = {"action": "INSERT", "tag": f"{TRAINER}:v7", "digest": f"{TRAINER}@sha256:{'a1' * 32}"}
    pulled = {
        "ackId": "x",
        "message": {
            "data": base64.b64encode(json.dumps(push).encode()).decode(),
            "messageId": "m-1",
            "publishTime": "2020-01-01T00:00:00Z",
        },
    }

    bare, in_message, _ = replay(environ, push, pulled)

    assert bare["function"] == in_message["function"] == "registry_push"
    assert in_message["disposition"] == "handled", "however old it is: it would arrive now"
    assert bare["would_publish"][0]["image"] == in_message["would_publish"][0]["image"]


def test_reference_among_dead_letters_stays_as_it_is(environ: dict[str, str]) -> None:
    told, _ = replay(environ, {"image": "nginx:1", "cause": {"kind": "build", "id": "b"}})

    assert told["function"] == "image_reference"
    assert told["would_publish"][0]["cause"]["kind"] == "build"


def test_entry_that_needs_a_cluster_is_undecided(environ: dict[str, str]) -> None:
    entry = load_event("events-back-off-pulling")
    entry["jsonPayload"] |= {
        "reason": "Pulled",
        "message": f'Successfully pulled image "{TRAINER}:1" in 36.1s (36.1s including waiting).'
        " Image size: 9712000000 bytes.",
    }

    told, _ = replay(environ, entry)

    assert (told["function"], told["disposition"]) == ("pull_event", "undecided")


def test_same_image_at_the_same_place_is_one_reference(environ: dict[str, str]) -> None:
    entry = load_event("audit-deployment-create")

    first, second, summary = replay(environ, entry, {**entry, "insertId": "another"})

    assert len(first["would_publish"]) == len(second["would_publish"])
    assert summary["summary"]["references"] == len(first["would_publish"])


def test_broken_entry_is_named_by_file_and_line_and_the_rest_is_replayed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    export = tmp_path / "export.jsonl"
    lines = ['{"half":', json.dumps(load_event("build-success")), '{"odd": 1}', "text"]
    export.write_text("\n".join(lines), encoding="utf-8")

    result = run(environ, export)

    assert result.exit_code == 3
    assert "4 entries: 1 handled, 3 rejected" in result.stdout
    assert f"3 rejected in {export}: lines 1, 3, 4" in result.stdout


def test_references_of_a_file_with_a_broken_line_are_counted(
    environ: dict[str, str],
) -> None:
    result = run(environ, "-", text=f"nope\n{json.dumps(load_event('build-success'))}")

    assert "would be published (--publish does)" in result.stdout


def test_output_has_no_control_sequences(environ: dict[str, str]) -> None:
    entry = load_event("audit-deployment-create")
    entry["resource"]["labels"]["cluster_name"] = "\x1b[2Jgone"

    result = run(environ, "-", text=json.dumps(entry))

    assert "\x1b" not in result.stdout
    assert "rejected" in result.stdout


def test_replay_without_consent_publishes_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(json.dumps([load_event("build-success")]), encoding="utf-8")
    # Pub/Sub does not answer: a command that published would fail.
    result = run(environ, "--publish", export, text="n\n")

    assert result.exit_code == 0
    assert "projects/demo/topics/prestream-image-references?" in result.stderr
    assert "0 of" in result.stdout
