"""Pull times, the kubelet's words for them, and the folding of Events."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.catalogue.demo_catalogue import demo_catalogue
from sandbox.gke.container import Wording
from sandbox.gke.event_recorder import COMBINED, Correlator, Occurrence
from sandbox.gke.go_duration import format_duration
from sandbox.gke.image_pull import PullTimes
from sandbox.gke.node import ImageName, ImageStore, PulledImage, is_near
from sandbox.gke.registry_client import make_unfetched, make_unresolved

START = datetime(2024, 10, 3, tzinfo=UTC)
NODE = ("Node", "default", "n1", "uid")
RAY = "us-docker.pkg.dev/p/hub/anyscale/ray-ml:2.7.0"


def streams(image: str) -> Occurrence:
    return Occurrence(NODE, "", "Normal", "ImageStreaming", f"Image {image} is streamed.")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0, "0s", id="zero"),
        pytest.param(0.0004, "0s", id="cut"),
        pytest.param(0.637, "637ms", id="milliseconds"),
        pytest.param(1.5, "1.5s", id="seconds"),
        pytest.param(60, "1m0s", id="minute"),
        pytest.param(317, "5m17s", id="minutes"),
        pytest.param(3723.25, "1h2m3.25s", id="hours"),
    ],
)
def test_durations_read_as_go_prints_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_the_published_case_takes_its_published_times() -> None:
    image = demo_catalogue().fetch("docker.io", "anyscale/ray-ml", "2.7.0")
    times = PullTimes()

    assert times.cold(image.image_bytes, image.layer_count) == pytest.approx(317, abs=1)
    assert times.streamed(image.image_bytes, image.layer_count) == pytest.approx(7.9, abs=0.1)


@pytest.mark.parametrize(
    ("minor", "text"),
    [
        pytest.param(26, f'Successfully pulled image "{RAY}" in 1.5s', id="1.26"),
        pytest.param(
            28,
            f'Successfully pulled image "{RAY}" in 1.5s (2m0.0005s including waiting)',
            id="1.28",
        ),
        pytest.param(
            36,
            f'Successfully pulled image "{RAY}" in 1.5s (2m0s including waiting). '
            "Image size: 9 bytes.",
            id="1.36",
        ),
    ],
)
def test_each_kubelet_reports_a_pull_in_its_own_words(minor: int, text: str) -> None:
    assert Wording(minor).pulled(RAY, 1.5, 120.0005, 9) == text


def test_newer_kubelets_say_who_may_use_what_is_present() -> None:
    assert Wording(30).already_present("a") == 'Container image "a" already present on machine'
    assert Wording(36).already_present("a") == (
        'Container image "a" already present on machine and can be accessed by the pod'
    )


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid kubelet version: 'latest'"):
        Wording.of_version("latest")


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


def test_an_image_that_is_not_found_is_reported_as_containerd_does() -> None:
    error = make_unresolved(ImageName.parse("nginx:1"), 404, "https://x")

    assert str(error) == (
        'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/'
        'nginx:1": failed to resolve reference "docker.io/library/nginx:1": '
        "docker.io/library/nginx:1: not found"
    )


def test_a_limited_pull_carries_what_the_registry_said() -> None:
    body = {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your limit"}]}

    error = make_unfetched(ImageName.parse("nginx:1"), 429, "https://x", body)

    assert str(error).endswith(
        "unexpected status code https://x: 429 Too Many Requests - Server message: "
        "toomanyrequests: You have reached your limit"
    )


def test_a_repository_is_near_in_its_region_and_its_multi_region() -> None:
    name = ImageName.parse(RAY)

    assert name.location == "us"
    assert is_near("us", "us-central1")
    assert is_near("us-central1", "us-central1")
    assert not is_near("us-east1", "us-central1")
    assert ImageName.parse("ghcr.io/a/b").location is None


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
