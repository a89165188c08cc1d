"""Whether a pull was streamed: the order of the evidence, and what none of it may claim."""

from dataclasses import replace

import pytest

from shared.domain.snapshotter_messages import (
    StreamingStatement,
)
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


class TestOrderOfEvidence:
    @pytest.mark.parametrize(
        "held",
        [
            pytest.param(replace(SLOW, already_present=True), id="present"),
            pytest.param(replace(FAST, node_held_digest=True), id="quick"),
            pytest.param(replace(SLOW, node_held_digest=True, seconds=9.9), id="not-slow"),
            pytest.param(replace(SLOW, node_held_digest=True, seconds=None), id="time-unknown"),
        ],
    )
    @pytest.mark.parametrize("statements", [(), (None,), (9,)])
    def test_image_that_the_node_held_comes_first(
        self, held: PullObservation, statements: tuple[int | None, ...]
    ) -> None:
        words = tuple(statement(streamed=streamed) for streamed in statements)

        verdict = judge_pull(replace(held, statements=words, layer_failures=(layer_failure(),)))

        assert verdict.streamed == "cached_on_node"
        assert verdict.evidence[0].kind != "snapshotter"

    @pytest.mark.parametrize("pull", [SLOW, FAST, replace(FAST, node_held_digest=None)])
    @pytest.mark.parametrize("streamed", [None, 1, 9])
    def test_statement_of_the_snapshotter_comes_before_speed(
        self, pull: PullObservation, streamed: int | None
    ) -> None:
        word = statement(streamed=streamed)

        verdict = judge_pull(replace(pull, statements=(word,), layer_failures=(layer_failure(),)))

        assert verdict.streamed == "streamed"
        assert verdict.evidence[0] == Evidence("snapshotter", word.text, "log", "st1")

    def test_pull_too_fast_for_its_size_was_likely_streamed(self) -> None:
        verdict = judge_pull(FAST)

        assert verdict.streamed == "likely_streamed"
        assert [each.kind for each in verdict.evidence] == ["pull", "node"]
        assert verdict.evidence[0] == EVENT

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(replace(FAST, node_streams=False), id="streaming-is-off"),
            pytest.param(replace(FAST, node_streams=None), id="streaming-unknown"),
            pytest.param(replace(FAST, node_held_digest=None), id="node-unknown"),
            pytest.param(replace(FAST, node_held_version=True), id="next-version"),
            pytest.param(replace(FAST, node_held_version=None), id="other-versions-unknown"),
            pytest.param(replace(FAST, ineligible="it has duplicate layers"), id="ineligible"),
            pytest.param(replace(FAST, image_bytes=None), id="size-unknown"),
            pytest.param(replace(FAST, seconds=None), id="time-unknown"),
            pytest.param(replace(FAST, statements=(statement(streamed=0),)), id="word-against-it"),
        ],
    )
    def test_speed_alone_proves_nothing(self, changed: PullObservation) -> None:
        assert judge_pull(changed).streamed == "unknown"

    def test_present_image_was_cached_on_the_node(self) -> None:
        verdict = judge_pull(PullObservation(image="r.io/a:1", already_present=True, pull=EVENT))

        assert verdict.streamed == "cached_on_node"
        assert verdict.evidence == (EVENT,)

    def test_present_image_was_not_streamed_however_fast_it_was_there(self) -> None:
        assert judge_pull(replace(FAST, already_present=True)).streamed == "cached_on_node"

    @pytest.mark.parametrize("seconds", [0.4, 2.0])
    def test_quick_pull_of_what_the_node_held_was_cached(self, seconds: float) -> None:
        pull = replace(FAST, node_held_digest=True, seconds=seconds, image_bytes=3_000_000)

        verdict = judge_pull(pull)

        assert verdict.streamed == "cached_on_node"
        assert Evidence("node", "the node held the digest before") in verdict.evidence

    def test_image_on_the_boot_disk_was_held_by_the_node(self) -> None:
        on_disk = statement(streamed=0, disk=9)

        verdict = judge_pull(replace(FAST, statements=(on_disk,)))

        assert verdict.streamed == "cached_on_node"
        assert verdict.evidence[0].text == on_disk.text

    def test_failed_layer_means_that_it_was_not_streamed(self) -> None:
        pull = replace(FAST, seconds=5.0, layer_failures=(layer_failure(),))

        verdict = judge_pull(pull)

        assert verdict.streamed == "not_streamed"
        assert verdict.evidence[0].kind == "layer_failure"
        assert verdict.evidence[0].insert_id == "lf1"

    def test_slow_pull_was_not_streamed(self) -> None:
        verdict = judge_pull(SLOW)

        assert verdict.streamed == "not_streamed"
        assert verdict.evidence == (EVENT,)

    @pytest.mark.parametrize("statements", [(), (statement(streamed=9),)])
    def test_slow_pull_shows_that_the_node_lost_the_image(
        self, statements: tuple[StreamingStatement, ...]
    ) -> None:
        pull = replace(SLOW, node_held_digest=True, statements=statements)

        assert judge_pull(pull).streamed == "not_streamed"

    def test_pull_without_evidence_is_unknown(self) -> None:
        verdict = judge_pull(PullObservation(image="r.io/a:1"))

        assert verdict.streamed == "unknown"
        assert verdict.evidence == ()
        assert verdict.hint is None


class TestThresholds:
    @pytest.mark.parametrize(
        ("image_bytes", "seconds", "expected"),
        [
            pytest.param(477_318_353, 1.324, "likely_streamed", id="measured-streamed"),
            pytest.param(477_318_353, 36.775, "not_streamed", id="measured-first-use"),
            pytest.param(400_000_000, 12.7, "not_streamed", id="measured-without-streaming"),
            pytest.param(8_000_000_000, 200.0, "not_streamed", id="published-8-gb"),
            pytest.param(3_369_495, 0.637, "unknown", id="measured-small"),
            pytest.param(20_790_177, 150.462, "not_streamed", id="measured-many-layers"),
            pytest.param(100_000_000, 0.3333, "likely_streamed", id="smallest-that-tells"),
            pytest.param(99_999_999, 0.1, "unknown", id="too-small-to-tell"),
            pytest.param(300_000_000, 1.0, "unknown", id="exactly-300-mb-per-second"),
            pytest.param(1_000_000_000, 5.0, "unknown", id="between"),
            pytest.param(100_000_000, 9.9, "unknown", id="slow-but-short"),
            pytest.param(1_000_000_000, 10.0, "unknown", id="exactly-100-mb-per-second"),
            pytest.param(999_999_999, 10.0, "not_streamed", id="just-below"),
            pytest.param(500_000_000, 0.0, "likely_streamed", id="no-time-at-all"),
            pytest.param(0, 20.0, "unknown", id="no-size"),
        ],
    )
    def test_speed_is_weighed(self, image_bytes: int, seconds: float, expected: str) -> None:
        pull = replace(SLOW, image_bytes=image_bytes, seconds=seconds)

        assert judge_pull(pull).streamed == expected


class TestStatementsOfOtherImages:
    @pytest.mark.parametrize("image", [f"{MIRROR}:2.8.0", f"{MIRROR}@{OTHER}", f"{MIRROR}-x:2.7.0"])
    def test_statements_of_other_images_are_ignored(self, image: str) -> None:
        pull = replace(
            SLOW,
            seconds=5.0,
            statements=(statement(image), statement(image, streamed=0)),
            layer_failures=(layer_failure(image),),
        )

        verdict = judge_pull(pull)

        assert verdict.streamed == "unknown"
        assert [each.kind for each in verdict.evidence] == ["pull", "node_without_image"]

    def test_both_forms_of_one_pull_count(self) -> None:
        by_digest = statement(f"{MIRROR}@{DIGEST}", streamed=9)

        assert judge_pull(replace(SLOW, statements=(by_digest,))).streamed == "streamed"


class TestFigures:
    def test_no_streamed_layer_is_no_success(self) -> None:
        verdict = judge_pull(replace(SLOW, seconds=5.0, statements=(statement(streamed=0),)))

        assert verdict.streamed == "unknown"
        assert verdict.hint is not None

    def test_figures_outweigh_the_short_statement(self) -> None:
        pull = replace(SLOW, statements=(statement(), statement(streamed=0)))

        assert judge_pull(pull).streamed == "not_streamed"

    def test_short_statement_with_matching_figures_is_a_success(self) -> None:
        pull = replace(SLOW, statements=(statement(), statement(streamed=9)))

        verdict = judge_pull(pull)

        assert verdict.streamed == "streamed"
        assert [each.kind for each in verdict.evidence] == ["snapshotter", "snapshotter", "pull"]

    @pytest.mark.parametrize(
        ("streamed", "disk", "hint"),
        [
            pytest.param(9, 0, None, id="all"),
            pytest.param(4, 5, None, id="the-rest-on-the-disk"),
            pytest.param(4, 0, "5 of 9 layers", id="some"),
        ],
    )
    def test_layers_that_were_not_streamed_are_counted(
        self, streamed: int, disk: int, hint: str | None
    ) -> None:
        word = statement(streamed=streamed, disk=disk)

        verdict = judge_pull(replace(SLOW, statements=(word,)))

        assert verdict.streamed == "streamed"
        assert (verdict.hint or "").startswith(hint or "")
        assert (verdict.hint is None) == (hint is None)
