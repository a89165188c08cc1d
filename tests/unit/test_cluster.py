"""The names of clusters, and which of them are watched."""

import pytest

from shared.domain.cluster import ClusterName, is_listed

TEXT = "projects/demo/locations/us-central1/clusters/gpu"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "projects/demo/locations/us-central1-a/clusters/gpu-1",
        "projects/example.com:ml/locations/europe-west4/clusters/a",
    ],
)
def test_name_is_written_as_it_was_read(text: str) -> None:
    assert str(ClusterName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("gpu", id="last-part-alone"),
        pytest.param(f"{TEXT}/nodePools/a", id="longer"),
        pytest.param(f"//container.googleapis.com/{TEXT}", id="with-the-service"),
        pytest.param("projects/demo/zones/us-central1-a/clusters/gpu", id="zones"),
        pytest.param("projects//locations/us-central1/clusters/gpu", id="no-project"),
        pytest.param("projects/demo/locations/-/clusters/gpu", id="any-location"),
        pytest.param("projects/demo/locations/evil.example?x=/clusters/gpu", id="another-host"),
        pytest.param("projects/demo/locations/us-central1/clusters/..", id="another-path"),
        pytest.param("projects/../locations/us-central1/clusters/gpu", id="upwards"),
        pytest.param("projects/demo/locations/us-central1/clusters/a%2Fb", id="escaped"),
        pytest.param(f"{TEXT}\n", id="line-break"),
    ],
)
def test_invalid_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not projects/P/locations/L/clusters/C"):
        ClusterName.parse(text)


def test_context_has_the_name_that_gcloud_gives() -> None:
    assert ClusterName.parse(TEXT).context == "gke_demo_us-central1_gpu"


@pytest.mark.parametrize(
    ("location", "region"),
    [("us-central1", "us-central1"), ("us-central1-a", "us-central1")],
)
def test_cache_is_that_of_the_region(location: str, region: str) -> None:
    assert ClusterName("demo", location, "gpu").region == region


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        pytest.param("auto", True, id="all"),
        pytest.param(("gpu",), True, id="last-part"),
        pytest.param((TEXT,), True, id="full"),
        pytest.param(("batch", TEXT), True, id="one-of-several"),
        pytest.param(("gp",), False, id="beginning"),
        pytest.param(("projects/demo/locations/us-east1/clusters/gpu",), False, id="elsewhere"),
    ],
)
def test_clusters_are_listed_by_their_full_name_or_its_last_part(
    clusters: str | tuple[str, ...], *, expected: bool
) -> None:
    assert is_listed(TEXT, clusters) is expected
