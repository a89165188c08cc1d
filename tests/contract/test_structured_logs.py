"""Our log lines, compared with those of the handler of google-cloud-logging."""

import io
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import flask
import google.cloud.logging_v2
import pytest
from google.cloud.logging_v2.handlers import StructuredLogHandler
from google.cloud.logging_v2.handlers.structured_log import GCP_STRUCTURED_LOGGING_FIELDS

from shared.runtime.log_line import StructuredFormatter, configure_logs

PROJECT = "starling-lab"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PREFIX = "logging.googleapis.com/"

ONLY_THEIRS = {
    # The request is always that of Pub/Sub, and all lines have the same source location and logger.
    "httpRequest",
    f"{PREFIX}labels",
    f"{PREFIX}sourceLocation",
}
ONLY_OURS = {
    # Without it, Cloud Logging uses the time at which it reads the line.
    "time"
}
EMPTY = {f"{PREFIX}trace": "", f"{PREFIX}spanId": "", f"{PREFIX}trace_sampled": False}
"""Fields of theirs without a trace; ours has none of them."""


@pytest.fixture(autouse=True)
def _no_diagnostic_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the entry about itself that the library writes first."""
    monkeypatch.setattr(google.cloud.logging_v2, "_instrumentation_emitted", True)


@pytest.fixture
def app() -> flask.Flask:
    return flask.Flask("function")


def make_record(
    message: object = "event handled",
    *args: object,
    level: int = logging.INFO,
    fields: Mapping[str, Any] | None = None,
    error: BaseException | None = None,
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("shared.x", level, "x.py", 1, message, args, exc_info)
    if fields is not None:
        record.json_fields = dict(fields)
    return record


def ours(record: logging.LogRecord, project: str | None = PROJECT) -> dict[str, Any]:
    line = StructuredFormatter(project).format(record)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def theirs(record: logging.LogRecord, project: str | None = PROJECT) -> dict[str, Any]:
    stream = io.StringIO()
    handler = StructuredLogHandler(stream=stream, project_id=project)
    handler.handle(record)
    parsed: dict[str, Any] = json.loads(stream.getvalue())
    return parsed


def compare(make: Any, project: str | None = PROJECT) -> dict[str, Any]:
    """Return our line of a record, which equals theirs except for the listed differences."""
    mine, library = ours(make(), project), theirs(make(), project)
    expected = {name: value for name, value in library.items() if name not in ONLY_THEIRS}
    expected = {name: value for name, value in expected.items() if EMPTY.get(name) != value}
    actual = {name: value for name, value in mine.items() if name not in ONLY_OURS}
    assert {name: value for name, value in actual.items() if EMPTY.get(name) != value} == expected
    assert set(mine) - set(library) <= ONLY_OURS
    return mine


@pytest.mark.parametrize(
    "level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL]
)
def test_severity_and_message_are_theirs(level: int) -> None:
    line = compare(lambda: make_record("event %s: %s", "rejected", "not JSON", level=level))

    assert line["severity"] == logging.getLevelName(level)
    assert line["message"] == "event rejected: not JSON"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"disposition": "handled", "published": ["a:1"], "n": 1.5}, id="values"),
        pytest.param({"cause": {"kind": "build", "id": None}}, id="nested"),
        pytest.param({}, id="empty"),
        pytest.param(None, id="none"),
        pytest.param({"text": 'quote " backslash \\ newline \n µs … 日本'}, id="characters"),
        pytest.param({"message": "another", "reason": "x"}, id="message"),
        pytest.param(dict.fromkeys(GCP_STRUCTURED_LOGGING_FIELDS, "x"), id="special"),
    ],
)
def test_json_fields_are_merged_as_theirs(fields: dict[str, Any] | None) -> None:
    line = compare(lambda: make_record(fields=fields))

    assert line["message"] == "event handled"
    assert line["severity"] == "INFO"


def test_exception_is_in_the_message_with_its_traceback() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("a bug")
    error = caught.value

    line = compare(
        lambda: make_record(
            "event failed", level=logging.ERROR, fields={"disposition": "failed"}, error=error
        )
    )

    assert line["message"].startswith("event failed\nTraceback (most recent call last):")
    assert line["message"].endswith("RuntimeError: a bug")


@pytest.mark.parametrize(
    ("headers", "span", "sampled"),
    [
        pytest.param({"traceparent": f"00-{TRACE}-{SPAN}-01"}, SPAN, True, id="sampled"),
        pytest.param({"traceparent": f"00-{TRACE}-{SPAN}-00"}, SPAN, False, id="not-sampled"),
        pytest.param({"traceparent": f"00-{TRACE}-{SPAN}-03"}, SPAN, True, id="other-flags"),
        pytest.param({"traceparent": f"cc-{TRACE}-{SPAN}-01-more"}, SPAN, True, id="later-version"),
        pytest.param(
            {"X-Cloud-Trace-Context": f"{TRACE}/1;o=1"}, "0000000000000001", True, id="google"
        ),
        pytest.param(
            {"X-Cloud-Trace-Context": f"{TRACE}/{2**64 - 1};o=0"}, "f" * 16, False, id="large-span"
        ),
        pytest.param({"X-Cloud-Trace-Context": TRACE}, None, False, id="google-without-span"),
        pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/0;o=1"}, None, True, id="span-of-zero"),
        pytest.param(
            {"X-Cloud-Trace-Context": f"{TRACE}/{2**64};o=1"}, None, True, id="span-too-large"
        ),
        pytest.param(
            {"traceparent": f"00-{TRACE}-{SPAN}-01", "X-Cloud-Trace-Context": "1" * 32},
            SPAN,
            True,
            id="both",
        ),
        pytest.param(
            {"traceparent": "nonsense", "X-Cloud-Trace-Context": f"{TRACE}/2;o=1"},
            "0000000000000002",
            True,
            id="broken-and-google",
        ),
    ],
)
def test_line_is_tied_to_its_trace(
    app: flask.Flask, headers: dict[str, str], span: str | None, *, sampled: bool
) -> None:
    with app.test_request_context("/", method="POST", headers=headers):
        line = compare(make_record)

    assert line[f"{PREFIX}trace"] == f"projects/{PROJECT}/traces/{TRACE}"
    assert line.get(f"{PREFIX}spanId") == span
    assert line[f"{PREFIX}trace_sampled"] is sampled


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"traceparent": "nonsense"}, id="nonsense"),
        pytest.param({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, id="no-trace"),
        pytest.param({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, id="no-span"),
        pytest.param({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, id="forbidden-version"),
        pytest.param({"X-Cloud-Trace-Context": ""}, id="empty"),
    ],
)
def test_line_without_a_trace_names_no_trace(app: flask.Flask, headers: dict[str, str]) -> None:
    with app.test_request_context("/", method="POST", headers=headers):
        line = compare(make_record)

    assert not any(name.startswith(PREFIX) for name in line)


def test_invalid_trace_id_is_left_out(app: flask.Flask) -> None:
    headers = {"X-Cloud-Trace-Context": "nonsense/1;o=1"}
    with app.test_request_context("/", method="POST", headers=headers):
        mine, library = ours(make_record()), theirs(make_record())

    assert library[f"{PREFIX}trace"].endswith("/nonsense")
    assert f"{PREFIX}trace" not in mine


def test_line_without_a_project_names_no_trace(app: flask.Flask) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    with app.test_request_context("/", method="POST", headers=headers):
        line = ours(make_record(), None)

    assert not any(name.startswith(PREFIX) for name in line)


def test_time_is_the_records_in_rfc_3339() -> None:
    record = make_record()

    time = datetime.fromisoformat(ours(record)["time"])

    assert time.tzinfo == UTC
    assert time.timestamp() == pytest.approx(record.created)


def test_half_a_surrogate_pair_does_not_cost_the_line() -> None:
    line = StructuredFormatter(PROJECT).format(make_record("a\ud800b", fields={"id": "\udfff"}))

    assert json.loads(line.encode())["message"] == "a?b"


def test_value_that_is_no_json_is_written_as_text() -> None:
    moment = datetime(2026, 5, 4, tzinfo=UTC)

    assert ours(make_record(fields={"at": moment}))["at"] == str(moment)


def test_message_without_end_is_cut() -> None:
    line = StructuredFormatter(PROJECT).format(make_record("x" * 1_000_000))

    assert len(line.encode()) < 256 * 1024


@pytest.fixture
def _restored() -> Iterator[None]:
    logger = logging.getLogger("shared")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.mark.usefixtures("_restored")
def test_lines_go_to_standard_output_once_however_often_logs_are_configured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(3):
        configure_logs({"GOOGLE_CLOUD_PROJECT": PROJECT})

    logging.getLogger("shared.runtime").info("said once")

    output = capsys.readouterr()
    assert [json.loads(line)["message"] for line in output.out.splitlines()] == ["said once"]
    assert output.err == ""


@pytest.mark.usefixtures("_restored")
def test_line_goes_to_what_standard_output_is_when_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure_logs({})
    later = io.StringIO()
    monkeypatch.setattr(sys, "stdout", later)

    logging.getLogger("shared").warning("said later")

    assert json.loads(later.getvalue())["severity"] == "WARNING"
