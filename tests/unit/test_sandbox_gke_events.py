"""Pull times, images of a node, and combined Events."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.catalogue.demo_catalogue import demo_catalogue
from sandbox.gke.event_recorder import COMBINED, Correlator, FoldedEvent
from sandbox.gke.image_pull import PullTimes
from sandbox.gke.node import ImageName, ImageStore, PulledImage

START = datetime(2024, 10, 3, tzinfo=UTC)
NODE = ("n1", "uid", "")
RAY = "us-docker.pkg.dev/p/hub/anyscale/ray-ml:2.7.0"


def streams(correlator: Correlator, image: str, second: float) -> FoldedEvent:
    text = f"Image {image} is streamed."
    return correlator.correlate(NODE, "ImageStreaming", text, START + timedelta(seconds=second))


def test_published_case_takes_its_published_times() -> None:
    image = demo_catalogue().fetch("docker.io", "anyscale/ray-ml", "2.7.0")
    times = PullTimes()

    assert times.cold(image.image_bytes, image.layer_count) == pytest.approx(317, abs=1)
    assert times.streamed(image.image_bytes, image.layer_count) == pytest.approx(7.9, abs=0.1)


def test_similar_texts_share_an_event_from_the_tenth_on() -> None:
    correlator = Correlator()

    events = [streams(correlator, str(number), number) for number in range(12)]

    assert [event.count for event in events] == [1] * 10 + [2, 3]
    assert len({event.name for event in events[:10]}) == 10
    assert events[9].name == events[11].name
    assert events[11].message == f"{COMBINED}Image 11 is streamed."
    assert events[11].first == START + timedelta(seconds=9)


def test_similar_texts_of_another_ten_minutes_are_not_combined() -> None:
    correlator = Correlator()
    for number in range(9):
        streams(correlator, str(number), 0)

    later = streams(correlator, "9", 660)

    assert not later.message.startswith(COMBINED)


def test_equal_text_only_counts() -> None:
    correlator = Correlator()

    first, second = streams(correlator, "a", 0), streams(correlator, "a", 5)

    assert (second.name, second.count, second.first) == (first.name, 2, START)


def test_node_reports_its_fifty_largest_images() -> None:
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


def test_moved_tag_leaves_the_old_image_by_its_digest() -> None:
    store, old, new = ImageStore(), "sha256:" + "1" * 64, "sha256:" + "2" * 64
    name = ImageName.parse("ghcr.io/a/b:1")
    for digest in (old, new):
        store.add(name, PulledImage(digest, digest, 1, 1))

    found, kept = store.find(name), store.find(ImageName.parse(f"ghcr.io/a/b@{old}"))

    assert found is not None
    assert found.digest == new
    assert kept is not None
