"""Events that an API server admits from a person who may create events in one namespace."""

import json
from typing import Any

import pytest

from shared.domain.disposition import Irrelevant
from shared.messages.kubernetes_event import is_object_name
from shared.messages.node_event import parse_event, parse_log_entry
from tests.fakes.node_entries import CLUSTER, Change, load_entry, parse
from tests.fakes.node_reports import STATEMENT, snapshotter_line

ELSEWHERE = "kept in another namespace"
IMPOSSIBLE = "a name that no object can have"


def change_object(**fields: Any) -> Change:
    return lambda entry: entry["jsonPayload"]["involvedObject"].update(fields)


def change_metadata(**fields: Any) -> Change:
    return lambda entry: entry["jsonPayload"]["metadata"].update(fields)


def change_host(host: str) -> Change:
    return lambda entry: entry["jsonPayload"]["source"].update(host=host)


def keep_at_path(entry: dict[str, Any]) -> None:
    change_metadata(namespace="..")(entry)
    change_object(namespace="..")(entry)


def keep_nowhere(entry: dict[str, Any]) -> None:
    change_metadata(namespace="")(entry)
    change_object(namespace="")(entry)


POD, JOB, NODE = "pulled-v1.30", "job-completed", "streaming-plain"

FORGED = [
    pytest.param(POD, change_metadata(namespace="evil"), ELSEWHERE, id="pod-of-others"),
    pytest.param("pull-failed-not-found", change_metadata(namespace="evil"), ELSEWHERE, id="pull"),
    pytest.param(JOB, change_metadata(namespace="evil"), ELSEWHERE, id="job-of-others"),
    pytest.param(NODE, change_metadata(namespace="evil"), ELSEWHERE, id="node"),
    pytest.param(NODE, change_object(namespace="evil"), ELSEWHERE, id="node-in-a-namespace"),
    pytest.param(POD, keep_nowhere, ELSEWHERE, id="no-namespace"),
    *(
        pytest.param(POD, change_host(host), IMPOSSIBLE, id=f"host-{name}")
        for name, host in {
            "dot": ".",
            "dots": "..",
            "path": "../secrets",
            "query": "a?b",
            "upper-case": "Node",
            "long": "a" * 254,
            "very-long": "a" * 70_000,
        }.items()
    ),
    pytest.param(POD, keep_at_path, IMPOSSIBLE, id="namespace-dots"),
    pytest.param(NODE, change_object(name=".."), IMPOSSIBLE, id="node-dots"),
    pytest.param(POD, change_object(name="."), IMPOSSIBLE, id="pod-dot"),
    pytest.param(JOB, change_object(name=""), IMPOSSIBLE, id="job-empty"),
]


@pytest.mark.parametrize(("name", "change", "reason"), FORGED)
def test_forged_event_is_ignored(name: str, change: Change, reason: str) -> None:
    report = parse(name, change)

    assert isinstance(report, Irrelevant)
    assert reason in report.reason
    assert len(report.reason) < 100


@pytest.mark.parametrize(("name", "change", "reason"), FORGED)
def test_forged_event_that_the_api_lists_is_ignored(name: str, change: Change, reason: str) -> None:
    entry = load_entry(name)
    change(entry)

    report = parse_event(entry["jsonPayload"], cluster=CLUSTER)

    assert isinstance(report, Irrelevant)
    assert reason in report.reason


@pytest.mark.parametrize("namespace", ["default", "kube-system"])
def test_event_of_a_node_is_kept_in_a_namespace_of_the_cluster(namespace: str) -> None:
    assert not isinstance(parse(NODE, change_metadata(namespace=namespace)), Irrelevant)


@pytest.mark.parametrize("node", ["..", "a/b", ""])
def test_line_of_a_node_with_an_impossible_name_is_ignored(node: str) -> None:
    entry = snapshotter_line(STATEMENT, node=node)

    assert isinstance(parse_log_entry(json.dumps(entry).encode()), Irrelevant)


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("gke-gpu-l4-spot-7c1e44d0-x2bq", True),
        ("ip-10-0-0-1.ec2.internal", True),
        ("0", True),
        ("a" * 253, True),
        ("a" * 254, False),
        ("a.", False),
        ("a..b", False),
        ("-a", False),
        ("a-", False),
        ("a\n", False),
        ("", False),
    ],
)
def test_name_of_an_object_is_a_subdomain(text: str, *, is_name: bool) -> None:
    assert is_object_name(text) is is_name
