"""Saved facts as the report reads them: every form, copies, and malformed lines."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.exits import ExitCode
from cli.report.saved_facts import MAX_LINE_BYTES
from shared.domain.fact import Fact
from tests.fakes.fact_lines import (
    as_entry,
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
    read_report,
    run_report,
)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(as_lines, id="lines"),
        pytest.param(lambda facts: json.dumps([*map(as_entry, facts)]), id="list on one line"),
        pytest.param(
            lambda facts: json.dumps([*map(as_entry, facts)], indent=2), id="gcloud's list"
        ),
        pytest.param(
            lambda facts: "".join(json.dumps(as_entry(each)) + "\n" for each in facts),
            id="entries by line",
        ),
        pytest.param(lambda facts: as_lines(facts).replace("\n", "\r\n\r\n"), id="Windows lines"),
        pytest.param(lambda facts: f"\ufeff{as_lines(facts)}", id="byte order mark"),
        pytest.param(
            lambda facts: as_line(facts[0]) + "\n" + json.dumps([*map(as_entry, facts[1:])]),
            id="both after another",
        ),
    ],
)
def test_every_form_of_the_facts_gives_the_same_report(write: Any) -> None:
    plain, other = read_report(as_lines(FACTS)), read_report(write(FACTS))

    assert other["images"] == plain["images"]
    assert other["total"] == plain["total"]
    assert other["malformed"] == 0


def many_facts() -> list[Fact]:
    facts: list[Fact] = []
    for number in range(60):
        about = subject(f"quay.io/a/b:{number % 3}", f"r-docker.pkg.dev/p/m/a/b:{number % 3}")
        verdict: Any = ("not_streamed", "unknown", "streamed", "cached_on_node")[number % 4]
        facts.append(
            pull(
                verdict,
                1.1**number / 3,
                after_s=number * 7,
                about=about,
                node=f"node-{number % 5}",
                pod=f"pod-{number}",
            )
        )
        facts.append(
            statement(
                after_s=number * 11, about=about, node=f"node-{number % 5}", layers=number % 2
            )
        )
    facts += [warmup(200.0 + number, after_s=number, target=str(number)) for number in range(9)]
    return facts


@pytest.mark.parametrize("seed", range(5))
def test_neither_order_nor_copies_change_the_report(seed: int, tmp_path: Path) -> None:
    facts = many_facts()
    shuffled = [*facts, *facts[::2], *facts[::3]]
    random.Random(seed).shuffle(shuffled)  # noqa: S311  # an order, no secret

    one = read_report(as_lines(facts), "--html", tmp_path / "1.html", "--csv", tmp_path / "1.csv")
    other = read_report(
        as_lines(shuffled), "--html", tmp_path / "2.html", "--csv", tmp_path / "2.csv"
    )

    assert other == one
    for kind in ("html", "csv"):
        assert (tmp_path / f"2.{kind}").read_bytes() == (tmp_path / f"1.{kind}").read_bytes()


def test_more_complete_of_two_copies_counts() -> None:
    short, long = (pull(verdict, 8.0, pod="p", hint=hint) for verdict, hint in SAYINGS)

    forth, back = read_report(as_lines([short, long])), read_report(as_lines([long, short]))

    assert forth == back
    assert forth["total"]["pulls"] == 1
    assert forth["total"]["verdicts"]["not_streamed"] == 1


SAYINGS: Sequence[tuple[Any, str | None]] = (
    ("unknown", None),
    ("not_streamed", "A hint makes it say more."),
)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param("{", "not JSON", id="begun"),
        pytest.param(as_line(STREAMED)[:80], "not JSON", id="cut off"),
        pytest.param("nonsense", "not JSON", id="text"),
        pytest.param("17", "no fact: Expected `object`", id="a number"),
        pytest.param('"a"', "no fact: Expected `object`", id="a string"),
        pytest.param('{"event": "pull.observed"}', "it names no image", id="no image"),
        pytest.param(as_line(STREAMED).replace("8.0", "-1"), "pull_seconds is -1", id="negative"),
        pytest.param(as_line(STREAMED).replace("8.0", '"8"'), "Expected `float", id="a text"),
        pytest.param(
            as_line(STREAMED).replace('"streamed": "streamed"', '"streamed": "yes"'),
            "Invalid enum value 'yes'",
            id="no verdict",
        ),
        pytest.param(
            as_line(STREAMED).replace("2026-05-04T12:10:00Z", "noon"),
            "its timestamp is 'noon'",
            id="no time",
        ),
        pytest.param(as_line(WARMUP).replace('"pulled"', "null"), "no outcome", id="no outcome"),
    ],
)
def test_malformed_lines_are_counted_and_named_and_never_fatal(
    broken: str, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(f"{as_line(COLD)}\n{broken}\n{as_line(STREAMED)}\n", encoding="utf-8")

    ended = run_report(file, "--json")

    report = json.loads(ended.stdout)
    assert ended.exit_code == 0
    assert report["total"]["pulls"] == 2
    assert report["malformed"] == 1
    assert report["named"][0]["line"] == 2
    assert report["named"][0]["source"] == str(file)
    assert f"{file}:2: " in ended.stderr
    assert reason in report["named"][0]["reason"]


def test_lines_that_are_not_utf8_are_malformed_too() -> None:
    text = f"{as_line(COLD)}\n".encode()

    report = read_report(text + b'{"event": "pull.observed", "image": "\xff"}\n' + text)

    assert (report["malformed"], report["total"]["pulls"]) == (1, 1)


def test_many_malformed_lines_are_all_counted() -> None:
    ended = run_report("-", "--json", text=as_line(COLD) + "\n" + "x\n" * 1_500)

    assert json.loads(ended.stdout)["malformed"] == 1_500
    assert "1500 malformed lines" in ended.stderr
    assert "and 1480 more" in ended.stderr


def test_valid_entry_without_a_fact_is_counted_apart() -> None:
    other = {"severity": "INFO", "jsonPayload": {"event": "handled", "image": {"name": "x"}}}
    text = f"{as_line(COLD)}\n{json.dumps(other)}\n{json.dumps({'textPayload': 'a'})}\n"

    ended = run_report("-", "--json", text=text)

    assert json.loads(ended.stdout)["malformed"] == 0
    assert "read 3 entries; not counted: 2 entries that are not facts" in ended.stderr


def test_fact_about_a_cluster_is_not_malformed() -> None:
    payload = {"event": "cluster.not_onboarded", "image": None, "cluster": "gpu", "reason": "403"}
    entry = {"insertId": "a", "timestamp": "2026-11-24T00:00:00Z", "jsonPayload": payload}

    ended = run_report("-", "--json", text=f"{as_line(COLD)}\n{json.dumps(entry)}\n")

    assert ended.exit_code == ExitCode.DONE
    assert json.loads(ended.stdout)["malformed"] == 0


def test_list_longer_than_a_line_may_be_is_read_in_pieces() -> None:
    facts = [pull("streamed", 1.0, after_s=number, pod=str(number)) for number in range(2_000)]
    text = json.dumps([*map(as_entry, facts)])
    assert len(text) > MAX_LINE_BYTES

    assert read_report(text)["total"]["pulls"] == 2_000


def test_entry_without_an_insert_id_counts_once() -> None:
    bare = json.dumps({**STREAMED.payload, "timestamp": "2026-05-04T12:10:00Z"})

    assert read_report(f"{bare}\n{bare}\n")["total"]["pulls"] == 1


def test_utf_16_is_refused_with_what_to_do() -> None:
    ended = run_report("-", text=as_line(COLD).encode("utf-16"))

    assert ended.exit_code == ExitCode.UNREADABLE
    assert "save it as UTF-8" in ended.stderr
