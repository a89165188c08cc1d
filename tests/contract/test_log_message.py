"""The message of a log line: one sentence of bounded length on the outcome of a delivery."""

import json
from typing import Any

import pytest

from shared.domain.disposition import Outcome, ignored
from tests.fakes.wired_functions import REFERENCE, Lines, Serve, Wired


@pytest.mark.parametrize(
    ("details", "message"),
    [
        pytest.param(
            {"created": ["warm-a-1"], "resumed": [], "image": "a:1"},
            "event handled: created Job warm-a-1 for a:1",
            id="created",
        ),
        pytest.param(
            {"created": ["warm-a-1"], "resumed": ["warm-a-1"], "image": "a:1"},
            "event handled: created Job warm-a-1 for a:1; resumed Job warm-a-1",
            id="resumed",
        ),
        pytest.param(
            {"waiting": ["warm-a-1"], "image": "a:1"},
            "event handled: queued Job warm-a-1 for a:1",
            id="waiting",
        ),
        pytest.param(
            {"outcome": "pull_failed", "reason": "there is no image a:1", "image": "a:1"},
            "event handled: pull_failed: there is no image a:1",
            id="failed",
        ),
        pytest.param(
            {
                "created": ["warm-a-1"],
                "image": "a:1",
                "failures": [
                    {"outcome": "no_node", "reason": "no ready node", "target": "t"},
                    {"outcome": "pull_failed", "reason": "no manifest", "target": "u"},
                ],
            },
            "event handled: no_node: no ready node for a:1; pull_failed: no manifest;"
            " created Job warm-a-1",
            id="several-targets",
        ),
        pytest.param(
            {"published": ["a:1", "b:1", "c:1", "d:1", "e:1"]},
            "event handled: published a:1, b:1, c:1 and 2 more",
            id="published",
        ),
        pytest.param(
            {"fact": "stream.observed", "image": "a:1"},
            "event handled: stream.observed for a:1",
            id="fact",
        ),
        pytest.param(
            {"fact": "pull.observed", "streamed": "not_streamed", "image": "a:1"},
            "event handled: not_streamed for a:1",
            id="verdict",
        ),
        pytest.param(
            {"job": "warm-a-1", "reason": "its fact was written before", "resumed": ["w-2"]},
            "event handled: its fact was written before (warm-a-1); resumed Job w-2",
            id="written-before",
        ),
        pytest.param(
            {"job": "warm-a-1", "outcome": "pulled", "streamed": "streamed", "image": "a:1"},
            "event handled: pulled, streamed for a:1",
            id="warmed",
        ),
        pytest.param(
            {"due": 3, "reported": 1, "removed": 0, "cluster": "gpu"},
            "event handled: warmups due: 3 for gpu; warmups reported late: 1",
            id="swept",
        ),
        pytest.param({"image": "a:1"}, "event handled: a:1", id="an-image-alone"),
        pytest.param({}, "event handled", id="nothing-to-tell"),
    ],
)
def test_log_line_of_a_handled_delivery(
    serve: Serve, wired: Wired, lines: Lines, details: dict[str, Any], message: str
) -> None:
    wired.outcome = Outcome("handled", details)

    serve("image_reference").push(REFERENCE)

    (line,) = lines()
    assert line["message"] == message
    assert line.items() >= {k: v for k, v in details.items() if v}.items()


def test_log_line_of_an_ignored_delivery(serve: Serve, wired: Wired, lines: Lines) -> None:
    wired.outcome = ignored("the image is excluded by the configuration", image="a:1")

    serve("image_reference").push(REFERENCE)

    (line,) = lines()
    assert line["message"] == ("event ignored: the image is excluded by the configuration (a:1)")


def test_long_text_is_cut_at_any_depth(serve: Serve, wired: Wired, lines: Lines) -> None:
    long = "x" * 1_000_000
    wired.outcome = Outcome(
        "handled",
        {"reason": long, "cause": {"resource": long}, "published": [long] * 1_000, "due": 7},
    )

    serve("image_reference").push(REFERENCE, messageId=long)

    (line,) = lines()
    assert len(json.dumps(line)) < 200_000
    assert line["reason"].startswith("xxx")
    assert len(line["reason"]) + len(line["message"]) < 10_000
    assert line["cause"]["resource"].startswith("xxx")
    assert line["published"][-1] == "… and 950 more"
    assert line["due"] == 7


def test_detail_does_not_replace_the_disposition(serve: Serve, wired: Wired, lines: Lines) -> None:
    wired.outcome = Outcome(
        "handled", {"disposition": "failed", "severity": "ERROR", "message": "x", "time": "y"}
    )

    serve("image_reference").push(REFERENCE)

    (line,) = lines()
    assert (line["disposition"], line["severity"]) == ("handled", "INFO")
    assert line["message"].startswith("event handled")
