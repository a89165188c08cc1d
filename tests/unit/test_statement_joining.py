"""Statements of the snapshotter and the pulls that they are about: one statement, one pull."""

import itertools
import json
from collections.abc import Iterable

import pytest

from cli.report.entries import ReadFact, parse_fact
from cli.report.facts import Facts
from cli.report.joining import Statement, join_verdict
from shared.domain.fact import Fact
from shared.domain.streaming_verdict import Streamed
from tests.fakes.fact_lines import as_entry, pull, statement, warmup

DIGEST = f"sha256:{'a' * 64}"
TAKEN = Statement("r.io/a:1", 9, is_taken=True)


@pytest.mark.parametrize(
    ("verdict", "said", "expected"),
    [
        pytest.param("unknown", [Statement("r.io/a:1", None)], "streamed", id="plain"),
        pytest.param("not_streamed", [Statement("r.io/a:1", 9)], "streamed", id="figures"),
        pytest.param("likely_streamed", [Statement("r.io/a:1", 9)], "streamed", id="likely"),
        pytest.param("unknown", [Statement("r.io/a:1", 0)], "unknown", id="no layer"),
        pytest.param(
            "unknown",
            [Statement("r.io/a:1", None), Statement("r.io/a:1", 0)],
            "unknown",
            id="figures outweigh",
        ),
        pytest.param("unknown", [Statement("r.io/a:2", 9)], "unknown", id="another tag"),
        pytest.param("unknown", [Statement(f"r.io/a@{DIGEST}", 9)], "streamed", id="digest"),
        pytest.param("cached_on_node", [Statement("r.io/a:1", 9)], "cached_on_node", id="cached"),
        pytest.param("unknown", [], "unknown", id="silence"),
        pytest.param("streamed", [Statement("r.io/a:1", 0)], "streamed", id="streamed"),
        pytest.param("unknown", [TAKEN, Statement("r.io/a:1", 9)], "streamed", id="one is free"),
        pytest.param("unknown", [TAKEN, Statement("r.io/a:1", 0)], "unknown", id="free: no layer"),
        pytest.param("unknown", [TAKEN], "cached_on_node", id="taken"),
        pytest.param("likely_streamed", [TAKEN], "cached_on_node", id="taken though likely"),
        pytest.param("streamed", [TAKEN], "cached_on_node", id="taken though streamed"),
        pytest.param("not_streamed", [TAKEN], "not_streamed", id="taken and slow"),
        pytest.param(None, [Statement("r.io/a:1", 9)], None, id="nothing pulled"),
    ],
)
def test_snapshotter_message_is_joined_to_its_pull(
    verdict: Streamed | None, said: list[Statement], expected: Streamed | None
) -> None:
    joined = join_verdict(verdict, "r.io/a:1", DIGEST, said)

    assert joined.verdict == expected
    assert bool(joined.deciding) == (expected == "streamed" != verdict)


def settle(facts: Iterable[Fact]) -> list[ReadFact]:
    """Return the pulls, oldest first, as a report joins them to the statements."""
    collected = Facts()
    for fact in facts:
        read = parse_fact(json.dumps(as_entry(fact)).encode())
        assert read is not None
        collected.add(read)
    collected.settle()
    found = [*collected.of("pull.observed"), *collected.of("warmup.finished")]
    return sorted(found, key=lambda each: each.at)


FOUR: tuple[Streamed, ...] = ("streamed", "streamed", "unknown", "cached_on_node")


@pytest.mark.parametrize("verdicts", sorted(set(itertools.permutations(FOUR))))
def test_one_of_several_pulls_is_streamed(verdicts: tuple[Streamed, ...]) -> None:
    first, *later = verdicts
    pulls = [pull(first, 7.9, after_s=8.0)]
    pulls += [pull(each, 0.2, after_s=9.0 + n) for n, each in enumerate(later)]

    found = [each.fields.streamed for each in settle([*reversed(pulls), statement(after_s=1.0)])]

    held = "cached_on_node"
    assert found == [held if first == held else "streamed", held, held, held]


def test_pull_that_began_first_takes_the_statement() -> None:
    pulls = [pull("unknown", 0.2, after_s=8.0, pod="b"), pull("unknown", 7.9, after_s=8.5, pod="a")]

    found = {
        each.fields.pull_seconds: each.fields.streamed
        for each in settle([*pulls, statement(after_s=1.0)])
    }

    assert found == {0.2: "cached_on_node", 7.9: "streamed"}


def test_statement_of_a_warmup_is_no_evidence_for_the_workload() -> None:
    facts = [
        warmup(7.9, streamed="streamed", after_s=8.0, node="node-1"),
        pull("streamed", 0.2, after_s=20.0),
        statement(after_s=1.0),
    ]

    assert [each.fields.streamed for each in settle(facts)] == ["streamed", "cached_on_node"]


@pytest.mark.parametrize("node", ["node-1", "node-2"])
def test_each_node_and_each_statement_has_its_first_pull(node: str) -> None:
    later = 0.0 if node == "node-2" else 3600.0
    facts = [
        pull("unknown", 7.9, after_s=8.0),
        pull("unknown", 7.9, after_s=later + 8.0, node=node),
        statement(after_s=1.0),
        statement(after_s=later + 1.0, node=node),
    ]

    assert [each.fields.streamed for each in settle(facts)] == ["streamed", "streamed"]


def test_pull_that_is_no_longer_streamed_quotes_no_statement() -> None:
    facts = [
        pull("unknown", 7.9, after_s=8.0),
        pull("streamed", 0.2, after_s=9.0),
        statement(after_s=1.0),
    ]

    first, second = ([e.kind for e in each.fields.evidence or ()] for each in settle(facts))

    assert (first, second) == (["snapshotter", "pull"], ["node", "pull"])
