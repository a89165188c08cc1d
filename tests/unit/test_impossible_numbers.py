"""Endless numbers and depths in texts of others are not a crash."""

import json
import math

import pytest

from shared.domain.json_access import number_of
from shared.domain.kubelet_messages import parse_pulled
from shared.domain.request import Cause
from shared.domain.snapshotter_messages import parse_statement
from shared.domain.warmup_job import CAUSE_ANNOTATION, SIZE_ANNOTATION
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION, read_refusal
from shared.domain.workload import ORIGINALS_ANNOTATION, read_originals
from tests.fakes.warmings import Scene
from tests.fakes.warmups import make_node

# Python reads no number of more than 4300 digits.
HUGE = "9" * 6_000
DEEP = "[" * 200_000


@pytest.mark.parametrize("size", [HUGE, "9" * 400, "9" * 19])
def test_impossible_size_of_a_pull_is_dropped(size: str) -> None:
    how_long = "in 1.5s (2s including waiting)"
    pulled = parse_pulled(f'Successfully pulled image "a:1" {how_long}. Image size: {size} bytes.')

    assert pulled is not None
    assert (pulled.image, pulled.seconds, pulled.image_bytes) == ("a:1", 1.5, None)


@pytest.mark.parametrize("amount", [f"{HUGE}h", f"{'9' * 400}h", f"1.{HUGE}s", f"{HUGE}ns"])
def test_impossible_duration_of_a_pull_is_dropped(amount: str) -> None:
    pulled = parse_pulled(f'Successfully pulled image "a:1" in {amount} (2s including waiting).')

    assert pulled is not None
    assert pulled.seconds is None or math.isfinite(pulled.seconds)


@pytest.mark.parametrize("layers", [f"{HUGE}/9", f"9/{HUGE}"])
def test_statement_about_an_impossible_number_of_layers_states_nothing(layers: str) -> None:
    text = f"Image r/a:1 is backed by image streaming by 100.0% ({layers} layers)."

    assert parse_statement(text) is None


@pytest.mark.parametrize("text", [HUGE, "9" * 19, "-1", "1e9", "²", "\u0661", "1.5", "", None, 7])
def test_number_beyond_64_bits_is_unknown(text: object) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize("size", [HUGE, "-1", "x"])
def test_warmup_with_a_changed_size_is_still_recognized(size: str) -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    scene.warm()
    scene.job["metadata"]["annotations"][SIZE_ANNOTATION] = size
    scene.restart()

    outcome = scene.warm(message_id="again")

    assert outcome.details["known"] == [scene.job["metadata"]["name"]]


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 200_000, HUGE, json.dumps({"kind": 7}), "null"])
def test_broken_annotations_are_ignored(text: str) -> None:
    annotations = {CAUSE_ANNOTATION: text, REFUSAL_ANNOTATION: text, ORIGINALS_ANNOTATION: text}
    body = {"metadata": {"name": "warm-a", "annotations": annotations}}

    assert Cause.from_text(text) is None
    assert read_refusal(body, cluster="c") == []
    assert read_originals(body) == {}
