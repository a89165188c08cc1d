"""prestream doctor: what a person reads, and how it ends."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.doctor.check import Check, Topic, Verdict
from cli.doctor.check_list import print_checks
from tests.fakes.command_line import run_command

CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"


def run(environ: Mapping[str, str], *arguments: str) -> Result:
    return run_command(environ, "doctor", *arguments)


def checks(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["checks"]
    return found


def check(
    topic: Topic, verdict: Verdict, subject: str = "it", finding: str = "found", **more: Any
) -> Check:
    return Check(
        topic=topic,
        name="name",
        subject=subject,
        verdict=verdict,
        looked_at="place",
        finding=finding,
        **more,
    )


def test_doctor_without_answers_reports_no_success(environ: dict[str, str]) -> None:
    result = run(environ, "--json", "--cluster", CLUSTER, "--image", "nginx:1")

    assert result.exit_code == 5
    verdicts = {each["name"]: each["verdict"] for each in checks(result)}
    assert verdicts.pop("mirror-region") == "ok"
    assert verdicts.pop("image-place") == "ok"
    assert set(verdicts.values()) == {"unknown"}


def test_image_without_a_cluster_is_unknown(environ: dict[str, str]) -> None:
    result = run(environ, "--json", "--image", "nginx:1")

    told = [each for each in checks(result) if each["topic"] == "image"]
    assert [each["verdict"] for each in told] == ["unknown"]
    assert "--cluster" in told[0]["finding"]


def test_image_without_a_mirror_is_reported(environ: dict[str, str]) -> None:
    result = run(environ, "--json", "--cluster", CLUSTER, "--image", "registry.example/app:1")

    assert result.exit_code == 1
    (told,) = [each for each in checks(result) if each["topic"] == "image"]
    assert told["name"] == "image-allowed"
    assert "Add registry.example to `upstreams`" in told["finding"]


def test_mirrors_far_from_the_cluster_fail(environ: dict[str, str]) -> None:
    Path(environ["PRESTREAM_CONFIG"]).write_text("location: europe-west4\n", encoding="utf-8")

    result = run(environ, "--cluster", CLUSTER)

    assert result.exit_code == 1
    assert "they are in europe-west4" in result.stdout
    assert "\n            make archives && terraform -chdir=infra apply\n" in result.stdout


def test_failed_checks_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks(
        [
            check("services", "ok", "an API"),
            check("nodes", "ok", "a good pool"),
            check("nodes", "failed", "a bad pool", fix="gcloud mend"),
            check("cluster", "unknown", "a cluster"),
        ]
    )

    text = capsys.readouterr().out
    order = ["Nodes", "a bad pool", "gcloud mend", "a good pool", "a cluster", "an API", "1 failed"]
    assert sorted(order, key=text.index) == order
    assert text.endswith("1 failed, 0 to look at, 1 could not be seen, 2 ok\n")


def test_requested_image_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks([check("nodes", "failed", "a bad pool"), check("image", "ok", "nginx")])

    text = capsys.readouterr().out
    assert text.index("nginx") < text.index("a bad pool")


def test_same_finding_of_several_subjects_is_printed_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_checks([check("nodes", "unknown", f"pool {each}", "refused") for each in "ab"])

    text = capsys.readouterr().out
    assert text.count("refused") == 1
    assert text.count("pool ") == 2


def test_command_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = f"gcloud {'x' * 300}"

    print_checks([check("nodes", "failed", finding="y " * 200, fix=long)])

    assert f"            {long}\n" in capsys.readouterr().out


def test_output_has_no_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J"

    print_checks([check("nodes", "failed", evil, evil, fix=evil)])

    assert "\x1b" not in capsys.readouterr().out
