"""The Cloud Logging query language: which filters are accepted, and which entries they match."""

from typing import Any

import pytest

from sandbox.log_filter import parse_filter

ENTRY: dict[str, Any] = {
    "insertId": "abc-1",
    "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
    "resource": {"type": "k8s_cluster", "labels": {"location": "us-west1"}},
    "labels": {"authorization.k8s.io/decision": "allow"},
    "severity": "WARNING",
    "timestamp": "2026-05-04T09:30:11.123456Z",
    "protoPayload": {
        "methodName": "io.k8s.core.v1.pods.create",
        "status": {"code": 7, "message": "Denied by policy a--b"},
        "authorizationInfo": [{"permission": "pods.create"}, {"permission": "pods.list"}],
    },
    "textPayload": 'the "end"',
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("  -- only a comment", id="comment"),
        pytest.param('resource.type="k8s_cluster"', id="equal"),
        pytest.param("resource.type=k8s_cluster", id="unquoted"),
        pytest.param('resource.type = "K8S_Cluster"', id="equality-ignores-case"),
        pytest.param('protoPayload.methodName:"PODS"', id="containment-ignores-case"),
        pytest.param('labels."authorization.k8s.io/decision"="allow"', id="dots-in-a-segment"),
        pytest.param('protoPayload.methodName=~"[.]pods[.](create|patch)$$"', id="regex"),
        pytest.param(r'protoPayload.methodName=~"\.pods\."', id="regex-keeps-its-escapes"),
        pytest.param(r'textPayload=~"\"end\"$"', id="quotes-in-a-regex"),
        pytest.param('protoPayload.methodName!~"^pods"', id="regex-does-not-match"),
        pytest.param('resource.type!="gce_instance"', id="unequal"),
        pytest.param("protoPayload.status.code=7", id="number"),
        pytest.param("protoPayload.status.code>6", id="greater"),
        pytest.param("protoPayload.status.code<=7", id="at-most"),
        pytest.param("severity>=NOTICE severity<ERROR", id="order-of-severities"),
        pytest.param('timestamp>"2026-05-04T09:30:11Z"', id="time"),
        pytest.param('timestamp<"2026-05-04T11:30:12+02:00"', id="time-in-another-zone"),
        pytest.param('log_id("cloudaudit.googleapis.com/activity")', id="log-id"),
        pytest.param('protoPayload.authorizationInfo.permission="pods.list"', id="any-element"),
        pytest.param('resource.labels.location=("us-east1" OR "us-west1")', id="list-of-values"),
        pytest.param('protoPayload.status.message:"a--b"', id="dashes-in-quotes"),
        pytest.param(r'textPayload="the \"end\""', id="quotes-in-quotes"),
    ],
)
def test_filter_matches_entry(text: str) -> None:
    assert parse_filter(text)(ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('resource.type="k8s"', id="part-of-a-value"),
        pytest.param('protoPayload.methodName=~"PODS"', id="regex-minds-case"),
        pytest.param("protoPayload.status.code=8", id="other-number"),
        pytest.param("protoPayload.status.code>six", id="order-of-number-and-text"),
        pytest.param("severity>=ERROR", id="severity-too-low"),
        pytest.param('timestamp<"2026-05-04T09:30:11Z"', id="later"),
        pytest.param('log_id("cloudaudit.googleapis.com/data_access")', id="other-log"),
    ],
)
def test_filter_does_not_match_entry(text: str) -> None:
    assert not parse_filter(text)(ENTRY)


@pytest.mark.parametrize("sign", ["=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"])
def test_comparison_with_a_missing_field_is_false_and_its_negation_true(sign: str) -> None:
    assert not parse_filter(f'labels.absent{sign}"0"')(ENTRY)
    assert parse_filter(f'NOT labels.absent{sign}"0"')(ENTRY)
    assert parse_filter(f'-labels.absent{sign}"0"')(ENTRY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("T OR F F", False, id="or-binds-stronger-than-juxtaposition"),
        pytest.param("T OR F AND F", False, id="or-binds-stronger-than-and"),
        pytest.param("T OR (F AND F)", True, id="parentheses"),
        pytest.param("NOT F OR T AND T", True, id="not-binds-strongest"),
        pytest.param("NOT T OR T", True, id="not-takes-one-term"),
        pytest.param("NOT (T OR T)", False, id="not-of-parentheses"),
        pytest.param("NOT NOT T", True, id="twice"),
        pytest.param("T\nT\n\nF", False, id="lines-are-joined-by-and"),
        pytest.param("T -- F\n-- F\nT", True, id="comments"),
    ],
)
def test_precedence(text: str, *, expected: bool) -> None:
    spelt = text.replace("T", 'insertId="abc-1"').replace("F", 'insertId="abc-2"')
    # The words themselves hold both letters.
    spelt = spelt.replace('NOinsertId="abc-1"', "NOT")

    assert parse_filter(spelt)(ENTRY) is expected


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        pytest.param("resource.type=", "line 1, column 15", "value", id="no-value"),
        pytest.param('=~ "x"', "line 1, column 1", "field", id="no-field"),
        pytest.param("(severity>=INFO", "line 1, column 16", r"'\)'", id="unclosed"),
        pytest.param("severity>=INFO)", "line 1, column 15", "unexpected", id="unopened"),
        pytest.param('severity=("A', "line 1, column 11", "character", id="open-quote"),
        pytest.param('severity=("INFO"', "line 1, column 17", r"'\)'", id="open-list"),
        pytest.param("severity", "line 1, column 9", "comparison", id="no-comparison"),
        pytest.param('trace="a"\n  foo="b"', "line 2, column 3", "unknown field", id="misspelt"),
        pytest.param('textPayload=~"a("', "line 1, column 14", "regular", id="regex"),
        pytest.param("sample(insertId, 0.1)", "line 1, column 16", "character", id="function"),
        pytest.param("NOT", "line 1, column 4", "value", id="nothing-after-not"),
    ],
)
def test_invalid_filter_is_refused_with_its_place_and_text(
    text: str, place: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=f"{place}.*{problem}") as refused:
        parse_filter(text)

    assert repr(text.splitlines()[-1]) in str(refused.value)
