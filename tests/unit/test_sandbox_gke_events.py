"""Pull times, the kubelet's words for them, and the folding of Events."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.catalogue.demo_catalogue import demo_catalogue
from sandbox.gke.event_recorder import COMBINED, Correlator, Occurrence
from sandbox.gke.image_pull import PullTimes
from sandbox.gke.node import ImageName, ImageStore, PulledImage

START = datetime(2024, 10, 3, tzinfo=UTC)
NODE = ("Node", "default", "n1", "uid")
RAY = "us-docker.pkg.dev/p/hub/anyscale/ray-ml:2.7.0"


def streams(image: str) -> Occurrence:
    return Occurrence(NODE, "", "Normal", "ImageStreaming", f"Image {image} is streamed.")


def test_the_published_case_takes_its_published_times() -> None:
    image = demo_catalogue().fetch("docker.io", "anyscale/ray-ml", "2.7.0")
    times = PullTimes()

    assert times.cold(image.image_bytes, image.layer_count) == pytest.approx(317, abs=1)
    assert times.streamed(image.image_bytes, image.layer_count) == pytest.approx(7.9, abs=0.1)


def test_from_the_tenth_similar_text_on_one_event_is_overwritten() -> None:
    correlator = Correlator()

    verdicts = [
        correlator.correlate(streams(str(number)), START + timedelta(seconds=number))
        for number in range(12)
    ]

    kept = [verdict for verdict in verdicts if verdict is not None]
    assert [verdict.count for verdict in kept] == [1] * 10 + [2, 3]
    assert len({verdict.name for verdict in kept[:10]}) == 10
    assert kept[9].name == kept[11].name
    assert kept[11].message == f"{COMBINED}Image 11 is streamed."
    assert kept[11].first == START + timedelta(seconds=9)


def test_similar_texts_of_another_ten_minutes_are_not_folded() -> None:
    correlator = Correlator()
    for number in range(9):
        correlator.correlate(streams(str(number)), START)

    later = correlator.correlate(streams("9"), START + timedelta(minutes=11))

    assert later is not None
    assert not later.message.startswith(COMBINED)


def test_an_equal_text_only_counts() -> None:
    correlator = Correlator()

    first, second = (
        correlator.correlate(streams("a"), START + timedelta(seconds=number)) for number in (0, 5)
    )

    assert first is not None
    assert second is not None
    assert (second.name, second.count, second.first) == (first.name, 2, START)


def test_what_is_said_too_often_of_one_object_is_dropped() -> None:
    correlator = Correlator()

    burst = [correlator.correlate(streams("a"), START) for _ in range(26)]
    refilled = correlator.correlate(streams("a"), START + timedelta(minutes=5))

    assert [verdict is None for verdict in burst] == [False] * 25 + [True]
    assert refilled is not None


def test_a_node_reports_no_more_than_fifty_images_the_largest_first() -> None:
    store = ImageStore()
    for number in range(60):
        digest = f"sha256:{number:064x}"
        store.add(ImageName.parse(f"ghcr.io/a/b:{number}"), PulledImage(digest, digest, number, 1))

    report = store.report()

    assert len(report) == 50
    assert report[0] == {
        "names": [f"ghcr.io/a/b@sha256:{59:064x}", "ghcr.io/a/b:59"],
        "sizeBytes": 59,
    }


def test_a_tag_that_moved_leaves_the_image_by_its_digest() -> None:
    store, old, new = ImageStore(), "sha256:" + "1" * 64, "sha256:" + "2" * 64
    name = ImageName.parse("ghcr.io/a/b:1")
    for digest in (old, new):
        store.add(name, PulledImage(digest, digest, 1, 1))

    found, kept = store.find(name), store.find(ImageName.parse(f"ghcr.io/a/b@{old}"))

    assert found is not None
    assert found.digest == new
    assert kept is not None
