"""Pulls of docker.io images by their own names, in the report and in status."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pytest

from cli.connect.hub_pulls import HUB_FACTS, HubPulls, count_hub_pulls, read_hub_pulls
from cli.exits import ExitCode
from cli.status import status as command
from cli.status.cluster_groups import ClusterGroup, ClusterGroups
from cli.status.warmup_reader import WarmupReader
from shared.domain.fact import Fact
from shared.errors import TransientError
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.command_line import run_command
from tests.fakes.fact_lines import as_entry, as_lines, pull, statement, subject
from tests.fakes.report_command import read_report, run_report

HUB = subject("nginx:1", "docker.io/library/nginx:1")
TWIN = subject(
    "nginx:1", "docker.io/library/nginx:1", "projects/demo/locations/europe-west4-a/clusters/twin"
)
MIRRORED = subject()


def pulls_on_nodes(streamed: int, cold: int) -> list[Fact]:
    """Return pulls from Docker Hub, each on a node of its own."""
    verdicts = ["streamed"] * streamed + ["not_streamed"] * cold
    return [
        pull(verdict, 30.0, about=HUB, node=f"node-{number}")  # type: ignore[arg-type]
        for number, verdict in enumerate(verdicts)
    ]


@pytest.mark.parametrize(
    ("streamed", "cold", "advice"),
    [
        pytest.param(5, 5, "never", id="half"),
        pytest.param(9, 1, "never", id="most"),
        pytest.param(0, 5, "always", id="none"),
        pytest.param(4, 0, None, id="too-few"),
        pytest.param(0, 4, None, id="too-few-cold"),
        pytest.param(5, 6, None, id="less-than-half"),
        pytest.param(1, 20, None, id="one"),
    ],
)
def test_facts_decide_which_setting_is_recommended(
    streamed: int, cold: int, advice: str | None
) -> None:
    (found,) = read_report(as_lines(pulls_on_nodes(streamed, cold)))["hub_pulls"]

    assert found == {
        "region": "us-central1",
        "pulls": streamed + cold,
        "streamed": streamed,
        "not_streamed": cold,
        "advice": advice,
    }


FACTS = [
    *pulls_on_nodes(1, 2),
    pull("cached_on_node", 0.1, about=HUB, node="node-8"),
    pull("unknown", 1.0, about=HUB, node="node-9"),
    pull("not_streamed", 30.0, about=TWIN),
    pull("streamed", 8.0, about=MIRRORED, node="node-7"),
]
COUNTED = [("europe-west4", 1, 0), ("us-central1", 4, 1)]


def test_report_states_pulls_by_region() -> None:
    report = read_report(as_lines(FACTS))
    shown = run_report("-", text=as_lines(FACTS)).stdout

    assert [(each["region"], each["pulls"], each["streamed"]) for each in report["hub_pulls"]] == (
        COUNTED
    )
    words = " ".join(shown.split())
    assert "docker.io images streamed in place in us-central1: 1 of 4 pulls" in words


class Log:
    """The log of facts."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.entries = [as_entry(fact) for fact in facts]

    def read(self, since: datetime, more: str = "") -> list[Mapping[str, Any]]:
        assert since.tzinfo is not None
        return list(self.entries) if more == HUB_FACTS else []


class SilentLog(Log):
    def read(self, since: datetime, more: str = "") -> list[Mapping[str, Any]]:
        raise TransientError(f"no answer since {since} {more}")


def show_status(
    log: Log, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> Any:
    cluster = FakeCluster(GPU_CLUSTER)
    groups = (ClusterGroup(str(GPU_CLUSTER), (GPU_CLUSTER,)),)
    reached = ClusterGroups(groups, (cluster,))
    monkeypatch.setattr(command, "reach_groups", lambda *_, **__: reached)
    monkeypatch.setattr(
        command, "make_warmup_reader", lambda _, values: WarmupReader(values, facts=log)
    )
    return run_command(environ, "status", *arguments)


def test_status_states_pulls_by_region(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = show_status(Log(FACTS), environ, monkeypatch)
    body = json.loads(show_status(Log(FACTS), environ, monkeypatch, "--json").stdout)

    assert "docker.io images streamed in place in us-central1: 1 of 4 pulls" in shown.stdout
    found = [(each["region"], each["pulls"], each["streamed"]) for each in body["hub_pulls"]]
    assert found == COUNTED


def test_status_is_shown_without_the_log(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = show_status(SilentLog(()), environ, monkeypatch)

    assert result.exit_code == ExitCode.DONE
    assert "streamed in place" not in result.stdout


@pytest.mark.parametrize(
    ("facts", "streamed"),
    [
        pytest.param([statement(about=HUB, after_s=200)], 1, id="soon-after"),
        pytest.param([statement(about=HUB, after_s=-80)], 1, id="while-it-was-pulled"),
        pytest.param([statement(about=HUB, after_s=400)], 0, id="much-later"),
        pytest.param([statement(about=HUB, after_s=-120)], 0, id="before"),
        pytest.param([statement(about=HUB, node="node-2")], 0, id="another-node"),
        pytest.param([statement(about=MIRRORED)], 0, id="another-image"),
        pytest.param([pull("unknown", 1.0, about=HUB), statement(about=HUB)], 1, id="used-once"),
    ],
)
def test_later_statement_of_the_node_is_evidence(facts: list[Fact], streamed: int) -> None:
    entries = [as_entry(each) for each in (pull("unknown", 30.0, about=HUB), *facts)]

    (found,) = count_hub_pulls(read_hub_pulls(entries))

    assert (found.region, found.streamed) == ("us-central1", streamed)


def test_sentence_names_the_setting_only_with_enough_pulls() -> None:
    assert "mirror: never" in str(HubPulls("us-central1", 5, 5, 0))
    assert "not enough to recommend" in str(HubPulls("us-central1", 2, 1, 1))
