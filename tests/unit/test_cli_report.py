"""The command ``prestream report``: figures, findings, tables, and exit codes."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.exits import ExitCode
from shared.domain.fact import Fact, MirrorDistrusted
from shared.domain.streaming_verdict import Evidence
from shared.pipeline.sweep.bypass import MirrorBypassed
from tests.fakes.fact_lines import (
    CLUSTER,
    NOON,
    RAY,
    RAY_MIRROR,
    as_line,
    as_lines,
    pull,
    statement,
    subject,
    warmup,
)
from tests.fakes.report_command import (
    COLD,
    FACTS,
    STREAMED,
    WARMUP,
    find_image,
    read_report,
    run_report,
)

DIGEST = f"sha256:{'a' * 64}"


def test_report_begins_with_the_saving() -> None:
    ended = run_report("-", text=as_lines(FACTS))

    first, second, *_ = ended.stdout.splitlines()
    assert first == "Pulls that streamed took 8 s, instead of 5 min."
    assert second == "38 times as fast; 4 min 52 s of accelerator waiting saved."
    assert "list prices of us-central1 in 2025, approximate" in ended.stdout
    assert "Turn streaming on." in ended.stdout


def test_figures_of_an_image_are_kept_apart() -> None:
    figures = find_image(read_report(as_lines(FACTS)))["figures"]

    assert figures["cold"] == dict.fromkeys(("median", "p90", "low", "high"), 300.0) | {"count": 1}
    assert figures["streamed"]["median"] == 8.0
    assert figures["time_to_warm"]["median"] == 350.0
    assert figures["saving"]["accelerator_seconds"] == 292.0


LACKED = Evidence("node_without_image", "the node did not hold the image before")


@pytest.mark.parametrize(
    ("facts", "median"),
    [
        pytest.param([warmup(20.0, streamed="unknown", proof=(LACKED,))], 50.0, id="proven"),
        pytest.param([warmup(20.0, streamed="unknown")], None, id="nothing-known"),
        pytest.param(
            [warmup(20.0, streamed="unknown"), pull("unknown", 8.0)], None, id="only-a-pull"
        ),
    ],
)
def test_time_to_warm_includes_pulls_that_filled_the_cache(
    facts: list[Fact], median: float | None
) -> None:
    spread = find_image(read_report(as_lines(facts)))["figures"]["time_to_warm"]

    assert (spread and spread["median"]) == median


def test_report_without_a_baseline_has_no_saving() -> None:
    report = read_report(as_lines([STREAMED]))
    shown = run_report("-", text=as_lines([STREAMED])).stdout

    assert find_image(report)["note"] == "no baseline"
    assert report["total"]["saving"]["money"] is None
    assert "no baseline" in shown
    assert "saved:" not in shown


@pytest.mark.parametrize("after_s", [-30.0, 250.0])
def test_snapshotter_message_around_a_pull_makes_it_streamed(after_s: float) -> None:
    doubtful = pull("unknown", 8.0)
    said = statement(after_s=after_s, layers=9)

    for facts in ([said, doubtful], [doubtful, said]):
        report = read_report(as_lines([COLD, *facts]))

        assert report["total"]["verdicts"]["streamed"] == 1
        (sample,) = [each for each in report["samples"] if each["verdict"] == "streamed"]
        assert sample["proofs"][0]["insert_id"] == said.insert_id


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(statement(after_s=301, layers=9), id="too late"),
        pytest.param(statement(after_s=-70, layers=9), id="too early"),
        pytest.param(statement(node="node-9", layers=9), id="another node"),
        pytest.param(statement(about=subject(cluster=f"{CLUSTER}-2")), id="another cluster"),
        pytest.param(statement(about=subject("a:1", "r.io/a:1")), id="another image"),
    ],
)
def test_snapshotter_message_about_another_image_does_not_count(said: Fact) -> None:
    report = read_report(as_lines([pull("unknown", 8.0), said]))

    assert report["total"]["verdicts"]["streamed"] == 0


def test_likely_streamed_is_shown_and_never_saved() -> None:
    report = read_report(as_lines([COLD, pull("likely_streamed", 2.0, after_s=700)]))
    shown = run_report("-", text=as_lines([COLD, pull("likely_streamed", 2.0, after_s=700)])).stdout

    assert report["total"]["saving"]["counted_pulls"] == 0
    assert "1 pull likely streamed: never counted as a saving." in shown


def test_pull_by_digest_counts_for_the_tag_that_the_digest_is_known_by() -> None:
    tagged = warmup(300.0, about=subject_with(DIGEST, "anyscale/ray-ml:2.7.0"))
    by_digest = pull(
        "streamed", 5.0, about=subject_with(DIGEST, f"docker.io/anyscale/ray-ml@{DIGEST}")
    )

    report = read_report(as_lines([by_digest, tagged]))

    assert [each["image"] for each in report["images"]] == [RAY]
    assert report["total"]["saving"]["pull_seconds"] == 295.0


def test_image_that_is_named_by_its_mirror_counts_for_its_upstream() -> None:
    by_mirror = pull("streamed", 5.0, about=subject(RAY_MIRROR))

    report = read_report(as_lines([by_mirror, warmup(300.0)]))

    assert [each["image"] for each in report["images"]] == [RAY]


def subject_with(digest: str, image: str) -> Any:
    from shared.domain.fact import Subject

    return Subject(image=image, mirror=RAY_MIRROR, digest=digest, cluster=CLUSTER)


@pytest.mark.parametrize("name", ["gpu", CLUSTER])
def test_report_of_one_cluster_leaves_out_the_others(name: str) -> None:
    other = pull("streamed", 1.0, about=subject(cluster=f"{CLUSTER}-2"))

    report = read_report(as_lines([COLD, other]), "--cluster", name)

    assert report["total"]["pulls"] == 1
    assert report["places"][0]["place"][0] == CLUSTER


def test_since_narrows_files_only_when_it_is_given() -> None:
    text = as_lines(FACTS)

    assert read_report(text)["total"]["pulls"] == 2
    assert read_report(text, "--since", "2026-05-04T12:05:00Z")["total"]["pulls"] == 1
    ages = (datetime.now(UTC) - NOON).days
    assert read_report(text, "--since", f"{max(ages, 0) + 1}d")["total"]["pulls"] == 2


def test_own_prices_replace_list_prices(tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text("accelerator_hour: {nvidia-l4: 3600}\naccelerators_per_node: {l4: 2}\n")

    report = read_report(as_lines(FACTS), "--prices", table)

    assert report["total"]["saving"]["money"] == 584.0
    assert report["prices"]["accelerator_hour"]["nvidia-l4"] == 3600
    assert report["prices"]["accelerator_hour"]["nvidia-tesla-t4"] == 0.54
    assert report["prices"]["source"].startswith("prices.yaml, and list prices")


def test_list_prices_are_not_mixed_with_another_currency(tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text("currency: EUR\naccelerator_hour: {nvidia-tesla-t4: 1}\n")

    report = read_report(as_lines(FACTS), "--prices", table)

    assert report["total"]["saving"]["money"] is None
    assert report["total"]["saving"]["unpriced_seconds"] == 292.0


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("accelerator_hour: {l4: -1}", ">= 0", id="negative"),
        pytest.param("acelerator_hour: {}", "unknown field", id="misspelt"),
        pytest.param("currency: dollars", "regex", id="currency"),
        pytest.param("a: [", "line 1: not YAML", id="no YAML"),
    ],
)
def test_invalid_price_table_is_refused(text: str, word: str, tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text(text)

    ended = run_report("-", "--prices", table, text="")

    assert ended.exit_code == ExitCode.MISCONFIGURED
    assert word in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["no-such-file"], ExitCode.UNREADABLE, id="no file"),
        pytest.param(["-", "--since", "soon"], ExitCode.MISUSED, id="no time"),
        pytest.param(["-", "--since", "999999999d"], ExitCode.MISUSED, id="before all time"),
        pytest.param(["-", "--since", "999999d"], ExitCode.MISUSED, id="before our era"),
        pytest.param(["-", "--cluster", "a b"], ExitCode.MISUSED, id="no cluster"),
        pytest.param(["-", "--prices", "none.yaml"], ExitCode.UNREADABLE, id="no prices"),
        pytest.param(["-", "--csv", "/dev/null/x"], ExitCode.UNREADABLE, id="not writable"),
    ],
)
def test_each_failure_has_its_exit_code(arguments: list[str], code: ExitCode) -> None:
    assert run_report(*arguments, text=as_line(COLD)).exit_code == code


def test_report_without_facts_succeeds() -> None:
    ended = run_report("-", text="")

    assert ended.exit_code == 0
    assert ended.stdout.startswith("No facts were found")


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


def test_figures_of_each_image_are_a_row(tmp_path: Path) -> None:
    run_report("-", "--csv", tmp_path / "figures.csv", text=as_lines(FACTS))

    (row,) = rows(tmp_path / "figures.csv")
    assert row["image"] == RAY
    assert row["cold_median_seconds"] == "300.0"
    assert row["streamed_median_seconds"] == "8.0"
    assert row["accelerator_seconds_saved"] == "292.0"
    assert row["to_warm_median_seconds"] == "350.0"


def test_every_pull_is_a_row_with_the_entries_that_its_verdict_rests_on(tmp_path: Path) -> None:
    facts = [COLD, STREAMED, WARMUP, statement()]

    run_report("-", "--pulls", tmp_path / "pulls.csv", text=as_lines(facts))

    cold, streamed, warmed = rows(tmp_path / "pulls.csv")
    assert (cold["verdict"], streamed["verdict"]) == ("not_streamed", "streamed")
    assert cold["insert_id"] == COLD.insert_id
    assert cold["evidence"].startswith("kubelet-1: ")
    assert warmed["outcome"] == "pulled"


@pytest.mark.parametrize("image_name", ["=cmd|' /C calc'!A0", "+1", "-1", "@a", "\uff1d1"])
def test_no_name_becomes_a_formula_of_a_spreadsheet(image_name: str, tmp_path: Path) -> None:
    fact = pull("streamed", 1.0, about=subject(image_name))

    run_report("-", "--pulls", tmp_path / "pulls.csv", text=as_lines([fact]))

    (row,) = rows(tmp_path / "pulls.csv")
    assert row["image"] == f"'{image_name}"


@pytest.mark.parametrize("image_name", ["\t=1", "\r=1", "\n=1", "a\r=1", "a\r\n=1", "a\x00=1"])
def test_no_name_begins_another_cell_of_a_spreadsheet(image_name: str, tmp_path: Path) -> None:
    fact = pull("streamed", 1.0, about=subject(image_name))

    run_report("-", "--pulls", tmp_path / "pulls.csv", text=as_lines([fact]))

    lines = (tmp_path / "pulls.csv").read_bytes().decode().splitlines()
    assert len(lines) == 2
    assert "=1" in lines[1]
    assert lines[1].isprintable()


def test_output_has_no_control_sequences() -> None:
    fact = pull("not_streamed", 20.0, about=subject("a\x1b[2J[red]b"), hint="c\x1b[2J")

    shown = run_report("-", text=as_lines([fact])).stdout

    assert "\x1b" not in shown
    assert "[red]b" in shown


def findings(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    return [(each["kind"], each["title"]) for each in read_report(as_lines(facts))["findings"]]


def test_most_expensive_cause_comes_first() -> None:
    other = subject("quay.io/a/b:1", "r.io/a/b:1")
    facts = [
        COLD,
        pull("not_streamed", 500.0, about=other, node="n"),
        warmup(None, outcome="pull_failed", streamed=None, about=other, target=None),
        MirrorBypassed(
            subject=subject(), at=NOON, period="1", workloads=("w",), hint="h"
        ).as_fact(),
        MirrorDistrusted(
            subject=subject(), at=NOON, upstream="docker.io", pods=(), reason="403"
        ).as_fact(),
        pull("unknown", 1.0, about=subject("ghcr.io/c/d:1", "r.io/c/d:1"), node="m"),
    ]

    assert findings(facts) == [
        ("mirror_distrusted", "pulls through the mirror of docker.io failed"),
        ("not_streamed", "b:1 was pulled without streaming"),
        ("not_streamed", "ray-ml:2.7.0 was pulled without streaming"),
        ("warmup_failed", "b:1 could not be pulled"),
        ("mirror_bypassed", "ray-ml:2.7.0 is pulled from the upstream, past the mirror"),
        ("unknown", "no evidence shows whether d:1 streams"),
    ]


def test_failure_before_a_successful_warmup_is_not_listed() -> None:
    failed = warmup(None, outcome="no_node", streamed=None, after_s=-100)
    refused = warmup(None, outcome="not_allowed", streamed=None, after_s=-90, target=None)
    distrusted = MirrorDistrusted(
        subject=subject(), at=NOON, upstream="docker.io", pods=(), reason="403"
    ).as_fact()

    assert len(findings([failed, refused, distrusted])) == 3
    assert findings([failed, refused, distrusted, warmup(9.0, after_s=60)]) == []
