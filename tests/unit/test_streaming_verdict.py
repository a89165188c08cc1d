"""Whether a pull was streamed: the order of the evidence, and what none of it may claim."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.snapshotter_messages import (
    LayerFailure,
    StreamingStatement,
    parse_layer_failure,
    parse_statement,
)
from shared.domain.streaming_verdict import Evidence, PullObservation, judge_pull

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/anyscale/ray-ml"
DIGEST = "sha256:" + "5f2d" * 16
OTHER = "sha256:" + "0bad" * 16
EVENT = Evidence("pull", "Successfully pulled image", "projects/demo/logs/events", "ev1")

SLOW = PullObservation(
    image=f"{MIRROR}:2.7.0",
    digest=DIGEST,
    seconds=36.775,
    image_bytes=477_318_353,
    node_streams=True,
    node_held_digest=False,
    node_held_version=False,
    pull=EVENT,
)
FAST = replace(SLOW, seconds=1.324)


def said(image: str, streamed: int | None = None, layers: int = 9, disk: int = 0) -> str:
    if streamed is None:
        return f"Image {image} is backed by image streaming."
    return (
        f"Image {image} is backed by secondary boot disk caching by 1.0% ({disk}/{layers} layers),"
        f" by image streaming by 1.0% ({streamed}/{layers} layers)."
    )


def statement(
    image: str = f"{MIRROR}:2.7.0", streamed: int | None = None, layers: int = 9, disk: int = 0
) -> StreamingStatement:
    found = parse_statement(said(image, streamed, layers, disk), log="log", insert_id="st1")
    assert found is not None
    return found


def layer_failure(image: str = f"{MIRROR}:2.7.0") -> LayerFailure:
    text = f'Layer download failed. Layer id: "sha256:0", image: "{image}"'
    found = parse_layer_failure(text, log="log", insert_id="lf1")
    assert found is not None
    return found


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
            pytest.param(replace(FAST, in_artifact_registry=False), id="another-registry"),
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


class TestHints:
    @pytest.mark.parametrize(
        ("pull", "words"),
        [
            pytest.param(replace(SLOW, is_warmup=True), "expected to be slow", id="warmup"),
            pytest.param(replace(SLOW, node_streams=False), "streaming is off", id="off"),
            pytest.param(replace(SLOW, node_streams=None), "Check that", id="perhaps-off"),
            pytest.param(
                replace(SLOW, in_artifact_registry=False), "name its mirror", id="upstream"
            ),
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
    in_artifact_registry=st.booleans(),
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
