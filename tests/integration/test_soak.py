"""References under all faults at once: each ends, and none is lost."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.local_cloud import LocalCloud
from tests.integration.fleets import Fleet
from tests.integration.soaks import CONFIG, Soak

BUILD = Path(__file__).parents[2] / "build"
SCALE = 400.0
QUOTA = 10
"""Pods, by infra/kubernetes/base/quota.yaml."""


def run(
    archives: Path,
    python: Path,
    instances: dict[str, int],
    *,
    back_off: timedelta,
    stall_s: float,
    **fields: Any,
) -> dict[str, Any]:
    cloud = LocalCloud(scale=SCALE, config=CONFIG)
    fleet = Fleet(cloud, archives, python, instances, back_off).start()
    try:
        return Soak(fleet, **fields).run(stall_s)
    finally:
        fleet.stop()


def check(figures: dict[str, Any]) -> None:
    assert figures["lost"] == []
    assert figures["unfinished"] == 0
    assert sum(figures["ends"].values()) == figures["references"]
    assert figures["pods_at_most"] <= QUOTA


def test_no_reference_is_lost_when_everything_fails_now_and_then(
    archives: Path, deployed_python: Path
) -> None:
    instances = {"image_reference": 2, "pull_event": 2, "scheduled_sweep": 1}

    figures = run(
        archives,
        deployed_python,
        instances,
        back_off=timedelta(milliseconds=20),
        stall_s=0.5,
        count=30,
        time_limit_s=60.0,
        tick_s=1.0,
        disturb_every=10,
    )

    check(figures)
    assert figures["faults_hit"] > 0
    assert "Job with its one fact" in figures["ends"]


@pytest.mark.soak
def test_thousand_references_under_all_faults_at_once(
    archives: Path, deployed_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    instances = {"image_reference": 3, "pull_event": 3, "scheduled_sweep": 2}

    figures = run(
        archives,
        deployed_python,
        instances,
        back_off=timedelta(milliseconds=100),
        stall_s=12.0,
        count=1000,
        time_limit_s=600.0,
        tick_s=10.0,
        disturb_every=100,
    )

    write("soak", figures, capsys)
    check(figures)


def write(name: str, figures: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Print a table of figures, and keep them in build/soak.json."""
    path = BUILD / "soak.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, name: figures}, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print(f"\n{name}")  # noqa: T201
        for key, value in figures.items():
            print(f"  {key:<20} {json.dumps(value)}")  # noqa: T201
