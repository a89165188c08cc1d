"""The metrics of images in use: each reads one number of the sweep's line."""

import re
from typing import Any

import pytest

from sandbox.log_filter import parse_filter
from shared.domain.json_access import field_at
from tests.contract.terraform_files import find_block, read_local
from tests.fakes.sweeps import TRAINER, SweptWorld

FIELDS: dict[str, str] = read_local("_image_counts")
METRIC = find_block("resource", "google_logging_metric.images")


def make_entry(**labels: str) -> dict[str, Any]:
    """Return the log entry of a sweep of one image."""
    world = SweptWorld()
    world.use(TRAINER)
    resource = {"type": "cloud_run_revision", "labels": labels}
    return {"resource": resource, "jsonPayload": world.sweep().details}


def test_each_number_of_the_line_has_a_metric() -> None:
    line = make_entry()["jsonPayload"]

    assert set(FIELDS.values()) == {
        "jsonPayload.cold.images",
        *(f"jsonPayload.coverage.{state}" for state in line["coverage"]),
    }


@pytest.mark.parametrize(("state", "field"), FIELDS.items())
def test_metric_reads_its_number(state: str, field: str) -> None:
    entry = make_entry(service_name="prestream-scheduled-sweep")
    matches = parse_filter(METRIC["filter"].replace("${each.value}", field).replace('\\"', '"'))

    assert matches(entry)
    assert not matches(make_entry(service_name="prestream-image-reference"))
    assert not matches(entry | {"jsonPayload": {"due": 1}})
    assert field_at(entry, field.split(".")) == int(state == "due")


def test_metrics_have_the_cluster_of_the_line() -> None:
    field = re.fullmatch(r"EXTRACT\((.*)\)", METRIC["label_extractors"]["cluster"])

    assert field is not None
    assert (
        field_at(make_entry(), field[1].split("."))
        == "projects/demo/locations/us-central1/clusters/gpu"
    )


def test_alert_reads_the_images_that_went_cold() -> None:
    assert read_local("_alerts")["cold_images"]["query"] == '${local._images["cold"]} > 0'
