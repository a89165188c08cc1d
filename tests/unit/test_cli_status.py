"""prestream status: a table for each cluster, and one image in detail."""

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from typer.testing import Result

from cli.exits import ExitCode
from cli.status import status as command
from cli.status.cluster_groups import ClusterGroup, ClusterGroups
from cli.status.warmup_reader import WarmupReader
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.timestamp import format_time
from shared.errors import ConfigurationError
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.command_line import run_command
from tests.fakes.mirrors import Deployment
from tests.fakes.node_reports import mark, place_warmup
from tests.fakes.warmups import DIGEST, HELPER_DIGEST, MIRRORS

TWIN = ClusterName("demo", "europe-west4", "twin")
Run = Callable[..., Result]


@pytest.fixture
def clusters() -> list[FakeCluster]:
    return [FakeCluster(GPU_CLUSTER), FakeCluster(TWIN)]


@pytest.fixture
def run(
    clusters: list[FakeCluster], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return a function that runs the command on these clusters."""

    def reach(*_: Any, **__: Any) -> Any:
        groups = tuple(ClusterGroup(str(each.name), (each.name,)) for each in clusters)
        return ClusterGroups(groups, tuple(clusters))

    monkeypatch.setattr(command, "reach_groups", reach)
    monkeypatch.setattr(
        command, "make_warmup_reader", lambda _, values: WarmupReader(values, facts=None)
    )
    monkeypatch.setattr(command, "make_mirrors", lambda *_: Deployment({"dry_run": True}).mirrors)
    return functools.partial(run_command, environ, "status")


def place(
    cluster: FakeCluster,
    image: str,
    condition: str | None = None,
    *,
    hours: float = 1.0,
    digest: Digest = DIGEST,
    fills_cache: bool = True,
) -> None:
    """Put a warmup of an image into a cluster that ended, or was made, some hours ago."""
    name = f"warm-{image.replace('/', '-').replace(':', '-').replace('.', '-')}"
    mirror = parse_reference(f"{MIRRORS}/{image.partition(':')[0]}@{digest}")
    job = place_warmup(cluster, name, image=image, mirror=mirror, digest=digest)
    time = format_time(datetime.now(UTC) - timedelta(hours=hours))
    job["metadata"]["creationTimestamp"] = time
    if condition is not None:
        ended = {"type": condition, "status": "True", "reason": "x", "lastTransitionTime": time}
        job["status"] = {"conditions": [ended]}
    if condition == "Complete":
        mark(job, fills_cache=fills_cache)


def test_each_cluster_has_a_table_of_states(run: Run, clusters: list[FakeCluster]) -> None:
    place(clusters[0], "team/warm:1", "Complete")
    place(clusters[0], "team/due:1", "Complete", hours=50)
    place(clusters[0], "team/broken:1", "Failed", hours=5)
    place(clusters[0], "team/running:1")
    place(clusters[0], "team/held:1", "Complete", fills_cache=False)

    result = run()

    first, second = result.stdout.split(str(TWIN))
    states = {line.split()[0]: line.split()[3] for line in first.splitlines() if "team/" in line}
    assert result.exit_code == 0, result.stderr
    assert states == {
        "team/broken:1": "failed",
        "team/held:1": "held",
        "team/running:1": "warming",
        "team/due:1": "due",
        "team/warm:1": "warm",
    }
    assert "5 images: 1 warm, 1 held, 1 warming, 1 failed, 1 due" in first
    assert "failed, why is not known" in first
    assert "nothing was warmed here" in second


def test_narrow_terminal_shows_each_name_whole(
    run: Run, clusters: list[FakeCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"team/{'long-' * 9}name:1"
    place(clusters[0], name, "Complete")
    place(clusters[0], "team/broken:1", "Failed", hours=5)
    monkeypatch.setattr(command, "make_console", lambda: Console(width=80))

    lines = run().stdout.splitlines()

    assert f"warm     {name}" in lines
    assert lines[lines.index("failed   team/broken:1") + 2].strip() == "failed, why is not known"
    assert all(len(each) <= 80 for each in lines)


def test_as_json_everything_is_one_object(run: Run, clusters: list[FakeCluster]) -> None:
    place(clusters[1], "team/warm:1", "Complete")

    body = json.loads(run("--json").stdout)

    (warmup,) = body["standings"]
    assert (warmup["state"], warmup["cluster"]) == ("warm", str(TWIN))
    assert warmup["last_outcome"] == "pulled"
    assert warmup["next_due"] > warmup["since"]
    assert (body["unreached"], body["problems"]) == ([], [])
    none = {"warm": 0, "held": 0, "warming": 0, "failed": 0, "not_eligible": 0, "due": 0}
    assert body["coverage"] == {str(GPU_CLUSTER): none, str(TWIN): none | {"warm": 1}}


def test_output_has_no_control_sequences(run: Run, clusters: list[FakeCluster]) -> None:
    place(clusters[0], "team/warm:\x1b[2J1", "Complete")

    assert "\x1b" not in run().stdout


def test_known_states_are_shown_although_a_cluster_cannot_be_read(
    run: Run, clusters: list[FakeCluster]
) -> None:
    place(clusters[0], "team/warm:1", "Complete")
    clusters[1].fail("list_jobs", ConfigurationError("403 jobs"))

    result = run()

    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "team/warm:1" in result.stdout
    assert "403 jobs" in result.stderr
    assert "nothing was warmed here" not in result.stdout


def test_image_is_shown_in_detail_in_all_its_versions(
    run: Run, clusters: list[FakeCluster]
) -> None:
    place(clusters[0], "anyscale/ray-ml:2.7.0", "Complete")
    place(clusters[0], "anyscale/ray-ml:2.8.0", "Complete", digest=HELPER_DIGEST)

    result = run("docker.io/anyscale/ray-ml:2.7.0")

    assert result.exit_code == 0, result.stderr
    assert "means now   not known: its mirror does not exist yet" in result.stdout
    assert "by Job warm-anyscale-ray-ml-2-7-0" in result.stdout
    assert "by Job warm-anyscale-ray-ml-2-8-0" in result.stdout
