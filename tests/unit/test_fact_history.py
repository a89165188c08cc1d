"""Checks of what became of an image lately."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.doctor.check import Check
from cli.doctor.checks.fact_history import check_history, filter_of
from cli.doctor.response import Unavailable
from shared.domain.image_reference import parse_reference
from shared.domain.mirror import Source

TEXT = "vllm/vllm-openai:v0.6.3"
NOW = datetime(2026, 1, 10, tzinfo=UTC)
PERIOD = timedelta(hours=48)


def entry(event: str, at: str = "2026-01-09T12:00:00Z", **payload: Any) -> dict[str, Any]:
    return {"timestamp": at, "jsonPayload": {"event": event, **payload}}


def warmed(outcome: str, at: str = "2026-01-09T12:00:00Z", **payload: Any) -> dict[str, Any]:
    return entry("warmup.finished", at, outcome=outcome, **payload)


def pulled(streamed: str, **payload: Any) -> dict[str, Any]:
    return entry("pull.observed", streamed=streamed, **payload)


def check(*entries: dict[str, Any]) -> dict[str, Check]:
    return {each.name: each for each in check_history(TEXT, entries, NOW, PERIOD)}


def test_image_that_was_warmed_and_streamed_is_ok() -> None:
    found = check(
        warmed("pulled", streamed="not_streamed"), pulled("streamed", pull_seconds=0.8, node="n")
    )

    assert {each.verdict for each in found.values()} == {"ok"}
    assert "streamed in 0.8 s on n" in found["last-pull"].finding


@pytest.mark.parametrize(
    ("entries", "verdict"),
    [
        pytest.param([], "warning", id="never"),
        pytest.param([warmed("pulled", "2026-01-01T00:00:00Z")], "warning", id="long-ago"),
        pytest.param([warmed("already_present")], "warning", id="node-held-it"),
        pytest.param([warmed("pulled", streamed="unknown")], "warning", id="nothing-known"),
        pytest.param([warmed("pulled"), warmed("pull_failed")], "failed", id="failed"),
        pytest.param([warmed("pull_failed"), warmed("prewarmed")], "ok", id="failed-before"),
    ],
)
def test_last_warmup_counts(entries: list[dict[str, Any]], verdict: str) -> None:
    found = check(*entries)["last-warmup"]

    assert found.verdict == verdict
    assert (found.fix is None) == (verdict == "ok")


def test_failed_warmup_has_a_reason_and_a_hint() -> None:
    found = check(warmed("pull_failed", reason="there is no image", hint="Check the name."))

    assert found["last-warmup"].finding.endswith("there is no image. Check the name.")
    assert found["last-warmup"].fix == f"prestream warm {TEXT} --force --wait"


def test_pull_that_was_not_streamed_fails_with_its_evidence() -> None:
    seen = [{"kind": "layer_failure", "text": "Layer download failed"}]

    found = check(pulled("not_streamed", evidence=seen, hint="Warm it again."))["last-pull"]

    assert found.verdict == "failed"
    assert "Layer download failed. Warm it again." in found.finding


@pytest.mark.parametrize("entries", [[], [pulled("unknown")]])
def test_pull_without_evidence_is_unknown(entries: list[dict[str, Any]]) -> None:
    assert check(*entries)["last-pull"].verdict == "unknown"


def test_history_without_the_log_is_unknown() -> None:
    found = check_history(TEXT, Unavailable("log", "403"), NOW, PERIOD)

    assert [each.verdict for each in found] == ["unknown", "unknown"]


def test_log_is_queried_for_all_names_of_the_image() -> None:
    mirror = parse_reference("us-docker.pkg.dev/demo/hub/vllm/vllm-openai:v0.6.3")
    asked = filter_of(TEXT, Source(parse_reference(TEXT), mirror), "sha256:1")

    assert 'jsonPayload.image="docker.io/vllm/vllm-openai:v0.6.3"' in asked
    assert 'jsonPayload.mirror="us-docker.pkg.dev/demo/hub/vllm/vllm-openai@sha256:1"' in asked
