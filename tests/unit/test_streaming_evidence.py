"""The evidence of a verdict, its hint, and laws of all verdicts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.streaming_verdict import Evidence, PullObservation, judge_pull
from tests.fakes.pull_observations import (
    DIGEST,
    EVENT,
    FAST,
    MIRROR,
    OTHER,
    SLOW,
    layer_failure,
    statement,
)


class TestHints:
    @pytest.mark.parametrize(
        ("pull", "words"),
        [
            pytest.param(replace(SLOW, is_warmup=True), "expected to be slow", id="warmup"),
            pytest.param(replace(SLOW, node_streams=False), "streaming is off", id="off"),
            pytest.param(replace(SLOW, node_streams=None), "Check that", id="perhaps-off"),
            pytest.param(replace(SLOW, bypasses_mirror=True), "from the mirror", id="upstream"),
            pytest.param(
                replace(SLOW, ineligible="it has duplicate layers"),
                "since it has duplicate layers",
                id="ineligible",
            ),
            pytest.param(SLOW, "serviceUsageConsumer", id="slow-though-on"),
            pytest.param(
                replace(SLOW, layer_failures=(layer_failure(),)), "gcfsd log", id="layers"
            ),
            pytest.param(
                replace(SLOW, statements=(statement(),), layer_failures=(layer_failure(),)),
                "gcfsd log",
                id="layers-though-streamed",
            ),
            pytest.param(
                replace(SLOW, is_warmup=True, node_streams=False),
                "streaming is off",
                id="warmup-on-a-node-without-streaming",
            ),
            pytest.param(
                replace(SLOW, is_warmup=True, already_present=True),
                "does not hold it",
                id="warmup-of-what-was-there",
            ),
        ],
    )
    def test_verdict_has_a_hint(self, pull: PullObservation, words: str) -> None:
        hint = judge_pull(pull).hint

        assert hint is not None
        assert words in hint
        assert hint.endswith(".")
        assert "\n" not in hint

    @pytest.mark.parametrize(
        "pull",
        [
            pytest.param(FAST, id="likely-streamed"),
            pytest.param(replace(SLOW, statements=(statement(),)), id="streamed"),
            pytest.param(replace(SLOW, already_present=True), id="present"),
            pytest.param(replace(SLOW, seconds=5.0), id="nothing-known"),
        ],
    )
    def test_verdict_without_a_remedy_has_no_hint(self, pull: PullObservation) -> None:
        assert judge_pull(pull).hint is None


class TestEvidence:
    @pytest.mark.parametrize(
        ("pull", "text"),
        [
            (replace(SLOW, pull=None), "the pull took 36.775 s for 477318353 bytes"),
            (replace(SLOW, pull=None, image_bytes=None), "the pull took 36.775 s"),
            (
                replace(SLOW, pull=None, already_present=True),
                "the image was already present on the node",
            ),
        ],
    )
    def test_figures_replace_a_missing_message(self, pull: PullObservation, text: str) -> None:
        assert judge_pull(pull).evidence[0] == Evidence("pull", text)

    def test_evidence_has_four_fields(self) -> None:
        assert EVENT.as_json() == {
            "kind": "pull",
            "text": "Successfully pulled image",
            "log": "projects/demo/logs/events",
            "insert_id": "ev1",
        }


maybe = st.sampled_from([True, False, None])
statements = st.builds(
    statement,
    st.sampled_from([f"{MIRROR}:2.7.0", f"{MIRROR}@{DIGEST}", f"{MIRROR}@{OTHER}", f"{MIRROR}:2"]),
    st.sampled_from([None, 0, 3, 9]),
    disk=st.sampled_from([0, 6, 9]),
)
observations = st.builds(
    PullObservation,
    image=st.just(f"{MIRROR}:2.7.0"),
    digest=st.sampled_from([None, DIGEST]),
    seconds=st.none() | st.floats(0, 600),
    image_bytes=st.none() | st.integers(0, 10**10),
    already_present=st.booleans(),
    node_streams=maybe,
    bypasses_mirror=st.booleans(),
    node_held_digest=maybe,
    node_held_version=maybe,
    is_warmup=st.booleans(),
    pull=st.none() | st.just(EVENT),
    statements=st.lists(statements, max_size=3).map(tuple),
    layer_failures=st.lists(st.just(layer_failure()), max_size=1).map(tuple),
)


class TestLaws:
    @given(observations)
    def test_streamed_needs_a_statement_of_the_snapshotter(self, pull: PullObservation) -> None:
        silent = replace(pull, statements=())

        assert judge_pull(silent).streamed != "streamed"

    @given(observations)
    def test_likely_streamed_needs_a_streaming_node_that_lacked_the_image(
        self, pull: PullObservation
    ) -> None:
        if judge_pull(pull).streamed == "likely_streamed":
            assert pull.node_streams is True
            assert pull.node_held_digest is False
            assert pull.node_held_version is False
            assert not pull.already_present

    @given(observations)
    def test_pull_of_what_the_node_held_was_not_streamed(self, pull: PullObservation) -> None:
        verdict = judge_pull(replace(pull, node_held_digest=True))

        assert verdict.streamed in {"cached_on_node", "not_streamed"}

    @given(observations)
    def test_every_decided_verdict_has_its_evidence(self, pull: PullObservation) -> None:
        verdict = judge_pull(pull)

        assert verdict.evidence or verdict.streamed == "unknown"

    @given(observations)
    def test_order_of_the_reports_does_not_matter(self, pull: PullObservation) -> None:
        turned = replace(pull, statements=pull.statements[::-1])

        assert judge_pull(turned).streamed == judge_pull(pull).streamed


def test_evidence_repeats_no_login_and_no_signature_of_an_address() -> None:
    text = (
        'Failed to pull image "r.io/a:1": Get "https://me:hunter2@cdn.example/v2/blob?sig=hunter2":'
        " http://other.example/token?key=hunter2&scope=a: EOF"
    )

    said = Evidence("pull", text).as_json()["text"]

    assert said == (
        'Failed to pull image "r.io/a:1": Get "https://cdn.example/v2/blob?…":'
        " http://other.example/token?… EOF"
    )
