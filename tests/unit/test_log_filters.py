"""The Cloud Logging query language: what a filter accepts, and what it lets through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.log_filter import parse_filter

ENTRY: dict[str, Any] = {
    "insertId": "abc-1",
    "logName": "projects/demo/logs/cloudaudit.googleapis.com%2Factivity",
    "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "gpu", "location": "us-west1"}},
    "labels": {"authorization.k8s.io/decision": "allow", "empty": ""},
    "severity": "WARNING",
    "timestamp": "2026-05-04T09:30:11.123456789Z",
    "traceSampled": True,
    "protoPayload": {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "methodName": "io.k8s.core.v1.pods.create",
        "status": {"code": 7, "message": "Denied by policy"},
        "authorizationInfo": [
            {"permission": "pods.create", "granted": True},
            {"permission": "pods.list", "granted": False},
        ],
        "request": {"spec": {"replicas": 3, "ratio": 0.5, "paused": False, "owner": None}},
        "numbers": ["10", "9"],
    },
}


def matches(text: str, entry: dict[str, Any] = ENTRY) -> bool:
    return parse_filter(text).matches(entry)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("  -- only a comment", id="comment"),
        pytest.param('resource.type="k8s_cluster"', id="equal"),
        pytest.param("resource.type=k8s_cluster", id="unquoted"),
        pytest.param("resource.type='k8s_cluster'", id="single-quotes"),
        pytest.param('resource.type = "K8S_Cluster"', id="equality-ignores-case"),
        pytest.param('protoPayload.methodName:"PODS"', id="containment-ignores-case"),
        pytest.param('protoPayload."@type":"AuditLog"', id="quoted-segment"),
        pytest.param('protoPayload.@type:"AuditLog"', id="at-sign"),
        pytest.param('labels."authorization.k8s.io/decision"="allow"', id="dots-in-a-segment"),
        pytest.param('protoPayload.methodName=~"[.]pods[.](create|patch)$"', id="regex-searches"),
        pytest.param(r'protoPayload.methodName=~"\.pods\."', id="regex-keeps-its-escapes"),
        pytest.param('protoPayload.methodName!~"^pods"', id="regex-does-not-match"),
        pytest.param('resource.type!="gce_instance"', id="unequal"),
        pytest.param("protoPayload.status.code=7", id="number"),
        pytest.param("protoPayload.status.code=7.0", id="number-in-another-form"),
        pytest.param("protoPayload.status.code>6", id="greater"),
        pytest.param("protoPayload.status.code<=7", id="at-most"),
        pytest.param("protoPayload.status.code>-1", id="negative-number"),
        pytest.param("protoPayload.request.spec.ratio<1", id="fraction"),
        pytest.param("protoPayload.request.spec.paused=false", id="boolean"),
        pytest.param("protoPayload.request.spec.owner=NULL_VALUE", id="null"),
        pytest.param("traceSampled=true", id="boolean-of-the-entry"),
        pytest.param("severity>=NOTICE severity<ERROR", id="order-of-severities"),
        pytest.param("severity=warning", id="severity-ignores-case"),
        pytest.param('timestamp>"2026-05-04T09:30:11Z"', id="time"),
        pytest.param('timestamp<"2026-05-04T11:30:12+02:00"', id="time-in-another-zone"),
        pytest.param('timestamp>="2026-05-04"', id="date"),
        pytest.param('log_id("cloudaudit.googleapis.com/activity")', id="log-id"),
        pytest.param('protoPayload.authorizationInfo.permission="pods.list"', id="any-element"),
        pytest.param('protoPayload.authorizationInfo:"pods.list"', id="has-within-messages"),
        pytest.param("protoPayload.numbers>9", id="numbers-as-text"),
        pytest.param("protoPayload.status.code:*", id="present"),
        pytest.param("labels.empty:*", id="present-and-empty"),
        pytest.param('resource.labels.location=("us-east1" OR "us-west1")', id="list-of-values"),
        pytest.param('protoPayload.status.message:("denied" AND "policy")', id="all-of-a-list"),
        pytest.param('insertId=(NOT "abc-2")', id="not-in-a-list"),
        pytest.param('"denied by POLICY"', id="global"),
        pytest.param("denied", id="global-word"),
        pytest.param('NOT "nowhere"', id="not-global"),
    ],
)
def test_comparison_passes_matching_entries(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('resource.type="k8s"', id="part-of-a-value"),
        pytest.param('protoPayload.methodName=~"PODS"', id="regex-minds-case"),
        pytest.param('protoPayload.methodName=~"^pods"', id="anchored"),
        pytest.param("protoPayload.status.code=8", id="other-number"),
        pytest.param("protoPayload.status.code=seven", id="number-and-text"),
        pytest.param("protoPayload.status.code>six", id="order-of-number-and-text"),
        pytest.param('protoPayload.status.code=~"7"', id="regex-on-a-number"),
        pytest.param("severity>=ERROR", id="severity-too-low"),
        pytest.param('timestamp<"2026-05-04T09:30:11Z"', id="later"),
        pytest.param('log_id("cloudaudit.googleapis.com/data_access")', id="other-log"),
        pytest.param('log_id("CLOUDAUDIT.googleapis.com/activity")', id="log-id-minds-case"),
        pytest.param("protoPayload.response:*", id="absent"),
        pytest.param('protoPayload="AuditLog"', id="message-equals-nothing"),
        pytest.param("nowhere", id="global-word"),
    ],
)
def test_comparison_drops_other_entries(text: str) -> None:
    assert not matches(text)


@pytest.mark.parametrize("sign", ["=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"])
@pytest.mark.parametrize("field", ["protoPayload.response.kind", "labels.absent", "jsonPayload.x"])
def test_every_comparison_with_a_missing_field_is_false_and_its_negation_true(
    field: str, sign: str
) -> None:
    assert not matches(f'{field}{sign}"0"')
    assert matches(f'NOT {field}{sign}"0"')
    assert matches(f'-{field}{sign}"0"')


@pytest.mark.parametrize(
    "text",
    ['trace=""', "severity=DEFAULT", "operation.first=false", "split.index=0", "severity<DEBUG"],
)
def test_field_of_the_entry_itself_that_is_absent_has_its_default(text: str) -> None:
    assert matches(text, {})
    assert not matches("trace:*", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("T OR F F", False, id="or-binds-stronger-than-juxtaposition"),
        pytest.param("F F OR T", False, id="on-either-side"),
        pytest.param("T OR F AND F", False, id="or-binds-stronger-than-and"),
        pytest.param("T OR (F AND F)", True, id="parentheses"),
        pytest.param("NOT F OR T AND T", True, id="not-binds-strongest"),
        pytest.param("NOT T OR T", True, id="not-takes-one-term"),
        pytest.param("NOT (T OR T)", False, id="not-of-parentheses"),
        pytest.param("NOT NOT T", True, id="twice"),
        pytest.param("-F T", True, id="minus"),
        pytest.param("T\nT\n\nF", False, id="lines-are-joined-by-and"),
        pytest.param("T -- F\n-- F\nT", True, id="comments"),
        pytest.param("T OR NOT F AND NOT T OR F", False, id="the-documentation's-example"),
    ],
)
def test_precedence(text: str, *, expected: bool) -> None:
    spelt = text.replace("T", 'insertId="abc-1"').replace("F", 'insertId="abc-2"')
    # The words themselves hold both letters.
    spelt = spelt.replace('NOinsertId="abc-1"', "NOT")

    assert matches(spelt) is expected


def test_two_dashes_within_quotes_are_no_comment() -> None:
    assert matches('insertId="abc-1" AND NOT protoPayload.status.message:"a--b"')


def test_any_element_of_a_repeated_field_can_differ() -> None:
    assert matches('protoPayload.authorizationInfo.permission!="pods.list"')
    assert not matches('NOT protoPayload.authorizationInfo.permission="pods.list"')


def test_escapes_are_read_in_strings() -> None:
    entry = {"textPayload": 'say "hé"\tnow'}

    assert matches(r'textPayload="say \"h\u00e9\"\tnow"', entry)
    assert matches(r'textPayload=~"\"h.\"\snow$"', entry)


def test_dollar_sign_is_the_end_of_the_text_and_may_be_doubled() -> None:
    for anchor in ("$", "$$", r"\z"):
        assert matches(f'textPayload=~"end{anchor}"', {"textPayload": "the end"})
        assert not matches(f'textPayload=~"end{anchor}"', {"textPayload": "the end\n"})
    assert matches('textPayload=~"[$]5"', {"textPayload": "$5"})


@pytest.mark.parametrize("time", ["yesterday", "", 5, None])
def test_entry_without_a_time_is_dropped(time: object) -> None:
    assert not matches('timestamp>"2020-01-01T00:00:00Z"', {"timestamp": time})


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        pytest.param("resource.type=", "line 1, column 15", "value", id="no-value"),
        pytest.param('=~ "x"', "line 1, column 1", "field", id="no-field"),
        pytest.param("(severity>=INFO", "line 1, column 16", r"'\)'", id="unclosed"),
        pytest.param("severity>=INFO)", "line 1, column 15", "unexpected", id="unopened"),
        pytest.param('severity=("A', "line 1, column 11", "character", id="open-quote"),
        pytest.param('severity=("INFO"', "line 1, column 17", r"'\)'", id="open-list"),
        pytest.param('resourse.type="x"', "line 1, column 1", "unknown field", id="misspelt"),
        pytest.param('trace="a"\n  foo="b"', "line 2, column 3", "unknown field", id="line-2"),
        pytest.param('textPayload=~"a("', "line 1, column 14", "regular", id="regex"),
        pytest.param('textPayload=~"a(?=b)"', "line 1, column 14", "RE2", id="lookahead"),
        pytest.param(r'textPayload=~"(a)\1"', "line 1, column 14", "RE2", id="back-reference"),
        pytest.param('textPayload=~"a++"', "line 1, column 14", "RE2", id="possessive"),
        pytest.param('textPayload=~"[[:alpha:]]"', "column 14", "class", id="posix-class"),
        pytest.param("severity>=LOUD", "line 1, column 11", "severity", id="severity"),
        pytest.param('timestamp>"soon"', "line 1, column 11", "time", id="time"),
        pytest.param("sample(insertId, 0.1)", "line 1, column 1", "function", id="function"),
        pytest.param("trace=a OR", "line 1, column 11", "value", id="nothing-after-or"),
        pytest.param("NOT", "line 1, column 4", "value", id="nothing-after-not"),
    ],
)
def test_invalid_filter_is_refused_with_its_place_and_text(
    text: str, place: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=f"{place}.*{problem}") as refused:
        parse_filter(text)

    line = text.splitlines()[-1]
    assert repr(line) in str(refused.value)


@pytest.mark.parametrize("pattern", ["[*+]", r"\*+", r"a\\+", "[]+]", "[^]]*", "(?i)ABC"])
def test_text_like_python_is_accepted(pattern: str) -> None:
    assert parse_filter(f'textPayload=~"{pattern}"').matches({"textPayload": r"a\*abc]"})


@given(st.text())
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        parsed = parse_filter(text)
    except ValueError:
        return

    assert parsed.matches(ENTRY) in {True, False}


@given(st.text(min_size=1))
def test_any_quoted_text_equals_itself(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')

    assert matches(f'textPayload="{quoted}"', {"textPayload": value})
