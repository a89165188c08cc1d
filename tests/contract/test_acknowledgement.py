"""Every disposition of every function: its HTTP status, its one log line, and what comes after."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.domain.cluster import UnknownClusterError
from shared.errors import ClusterRefusedError, ConfigurationError, InvalidEventError, TransientError
from tests.fakes.served_functions import FUNCTIONS, envelope
from tests.fakes.wired_functions import REFERENCE, WIRING, Lines, Serve, Wired

FORMS = ["push", "push_cloud_event"]


every_function = pytest.mark.parametrize("name", sorted(WIRING))
both_forms = pytest.mark.parametrize("form", FORMS)


def test_no_function_is_left_out() -> None:
    assert set(WIRING) == {path.parent.name for path in FUNCTIONS.glob("*/main.py")}


FAILURES = [
    pytest.param(InvalidEventError("it is nonsense"), 200, "rejected", "ERROR", id="rejected"),
    pytest.param(TransientError("503 of an API"), 503, "deferred", "WARNING", id="deferred"),
    pytest.param(ConfigurationError("403 of an API"), 503, "blocked", "CRITICAL", id="blocked"),
    pytest.param(RuntimeError("a bug"), 500, "failed", "ERROR", id="failed"),
    pytest.param(RecursionError("too deep"), 500, "failed", "ERROR", id="failed-deep"),
    pytest.param(OSError("no file descriptors"), 500, "failed", "ERROR", id="failed-system"),
]


@every_function
@both_forms
@pytest.mark.parametrize(("error", "status", "disposition", "severity"), FAILURES)
def test_failure_decides_the_disposition_and_the_next_message_is_served(
    serve: Serve,
    wired: Wired,
    lines: Lines,
    name: str,
    form: str,
    error: Exception,
    status: int,
    disposition: str,
    severity: str,
) -> None:
    deliver = getattr(serve(name), form)
    wired.error = error

    first = deliver(WIRING[name][1])
    (line,) = lines()
    wired.error = None
    second = deliver(WIRING[name][1])
    (after,) = lines()

    assert (first, second) == (status, 200)
    assert (line["disposition"], line["severity"]) == (disposition, severity)
    assert str(error) in line["message"]
    assert ("Traceback" in line["message"]) is (disposition == "failed")
    assert after["disposition"] == "handled"


@every_function
@both_forms
def test_handled_delivery_is_acknowledged(serve: Serve, lines: Lines, name: str, form: str) -> None:
    status = getattr(serve(name), form)(WIRING[name][1])

    (line,) = lines()
    assert (status, line["disposition"], line["severity"]) == (200, "handled", "INFO")
    assert line["message"].startswith("event handled: ")
    assert (line["function"], line["event_id"]) == (f"handle_{name}", "m-1")
    assert line["event_type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert datetime.fromisoformat(line["time"]).tzinfo is not None


@every_function
@both_forms
@pytest.mark.parametrize(
    ("hours", "settings", "disposition"),
    [
        pytest.param(23, "", "handled", id="young"),
        pytest.param(25, "", "ignored", id="old"),
        pytest.param(400, "max_event_age_hours: 0", "handled", id="no-limit"),
        pytest.param(2, "max_event_age_hours: 1", "ignored", id="own-limit"),
    ],
)
def test_delivery_that_is_too_old_is_acknowledged_with_its_reason(
    serve: Serve,
    wired: Wired,
    config: Path,
    lines: Lines,
    name: str,
    form: str,
    hours: int,
    settings: str,
    disposition: str,
) -> None:
    config.write_text(settings)
    if disposition == "ignored":
        wired.error = RuntimeError("an old delivery went through")
    published = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()

    status = getattr(serve(name), form)(WIRING[name][1], publishTime=published)

    (line,) = lines()
    assert (status, line["disposition"], line["severity"]) == (200, disposition, "INFO")
    assert line["message"].startswith(f"event {disposition}: {line.get('reason', '')}")
    if name == "image_reference":
        assert REFERENCE["image"] in line["message"]


@pytest.mark.parametrize("name", ["image_reference", "pull_event", "scheduled_sweep"])
@pytest.mark.parametrize(
    "error", [UnknownClusterError("there is no cluster gpu"), ClusterRefusedError("403 of gpu")]
)
def test_delivery_about_a_cluster_that_is_gone_or_not_onboarded_is_ignored(
    serve: Serve, wired: Wired, lines: Lines, name: str, error: Exception
) -> None:
    wired.step_error = error

    assert serve(name).push(WIRING[name][1]) == 200

    (line,) = lines()
    assert (line["disposition"], line["reason"]) == ("ignored", str(error))


POISON: dict[str, Any] = {
    "empty": b"",
    "text": b"text",
    "binary": b"\x00\xff",
    "cut-off": b'{"id": "b-1", "status": "SUCC',
    "null": None,
    "string": "text",
    "number": 5,
    "list": [],
    "no-fields": {},
    "id-alone": {"id": "b-1"},
    "insert-id-alone": {"insertId": "i-1"},
    "wrong-types": {"id": 5, "status": 5, "resource": 5},
    "nested-without-end": b"[" * 100_000 + b"]" * 100_000,
    "objects-nested-without-end": b'{"results": ' * 100_000 + b"{}" + b"}" * 100_000,
}
# Cloud Scheduler sends any configured text, and each such message is a tick.
POISON_TICKS: dict[str, Any] = {
    "cut-off": b'{"cluster": "proj',
    "short-cluster": {"cluster": "gpu"},
    "wrong-type": {"cluster": 5},
    "nested-without-end": b'{"cluster": ' * 100_000,
}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param(name, data, id=f"{name}-{kind}")
        for name in sorted(WIRING)
        for kind, data in (POISON_TICKS if name == "scheduled_sweep" else POISON).items()
    ],
)
@both_forms
def test_poison_is_acknowledged_and_never_handled(
    serve: Serve, wired: Wired, lines: Lines, name: str, form: str, data: Any
) -> None:
    deliver = getattr(serve(name), form)
    wired.error = RuntimeError("poison went through")

    status = deliver(data)
    (line,) = lines()
    wired.error = None
    after = deliver(WIRING[name][1])

    assert (status, line["disposition"], line["severity"]) == (200, "rejected", "ERROR")
    assert line["message"] == f"event rejected: {line['reason']}"
    assert line["reason"]
    assert (after, lines()[0]["disposition"]) == (200, "handled")


@every_function
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"data": "no base64!"}, id="no-base64"),
        pytest.param({"data": 5}, id="data-is-a-number"),
        pytest.param({"attributes": ["status"]}, id="attributes-are-a-list"),
        pytest.param({"publishTime": "yesterday"}, id="no-time"),
    ],
)
def test_broken_envelope_is_acknowledged(
    serve: Serve, lines: Lines, name: str, change: dict[str, Any]
) -> None:
    body = envelope(WIRING[name][1])
    body["message"] |= change

    assert serve(name).post(body) == 200

    (line,) = lines()
    assert line["disposition"] == "rejected"


@every_function
@both_forms
def test_broken_configuration_keeps_valid_messages_and_acknowledges_poison(
    serve: Serve, config: Path, lines: Lines, name: str, form: str
) -> None:
    deliver = getattr(serve(name), form)

    config.write_text("no_such_key: 1")
    broken = [deliver(WIRING[name][1]), deliver(b'{"cluster": 5}')]
    config.write_text("")
    fixed = deliver(WIRING[name][1])

    assert (broken, fixed) == ([503, 200], 200)
    assert [line["disposition"] for line in lines()] == ["blocked", "rejected", "handled"]


@every_function
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param("text", {"Content-Type": "text/plain"}, id="no-event"),
        pytest.param("{}", {"Content-Type": "application/json"}, id="no-message"),
        pytest.param("[" * 9, {"Content-Type": "application/json"}, id="no-json"),
    ],
)
def test_framework_refuses_a_body_without_delivery_and_serves_the_next(
    serve: Serve, lines: Lines, name: str, body: str, headers: dict[str, str]
) -> None:
    function = serve(name)

    refused = function.http.post("/", data=body, headers=headers)
    assert 400 <= refused.status_code < 500
    assert lines() == []

    assert function.push(WIRING[name][1]) == 200
    assert len(lines()) == 1


@every_function
@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": f"00-{'a1' * 16}-{'b2' * 8}-01"}, "a1" * 16),
        ({"X-Cloud-Trace-Context": f"{'c3' * 16}/7;o=1"}, "c3" * 16),
    ],
)
def test_line_is_tied_to_the_request(
    serve: Serve, lines: Lines, name: str, headers: dict[str, str], trace: str
) -> None:
    serve(name).post(envelope(WIRING[name][1]), headers=headers)

    (line,) = lines()
    assert line["logging.googleapis.com/trace"] == f"projects/demo/traces/{trace}"
