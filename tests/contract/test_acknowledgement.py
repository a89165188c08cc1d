"""Every disposition of every function: its HTTP status, its one log line, and what comes after."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.domain.disposition import Outcome, ignored
from shared.errors import ConfigurationError, InvalidEventError, TransientError
from tests.fakes.node_reports import log_entry, node_event
from tests.fakes.recorded_events import load_event
from tests.fakes.served_functions import FUNCTIONS, ServedFunction, envelope, served


@dataclass
class Wired:
    """What a function is wired to; it does as it is told."""

    error: Exception | None = None
    outcome: Outcome = field(default_factory=lambda: Outcome("handled", {"image": "a:1"}))

    def __call__(self) -> "Wired":
        if self.error is not None:
            raise self.error
        return self

    def publish(self, requests: Any) -> None:
        """Stand for a publisher."""

    def warm(self, *delivery: Any) -> Outcome:
        """Stand for the workflow of image_reference."""
        return self.outcome if delivery else ignored("nothing was delivered")

    def connect(self, cluster: Any) -> Any:
        """Stand for the directory of clusters."""
        return cluster

    def sweep(self, *cluster: Any) -> Outcome:
        """Stand for the workflow of scheduled_sweep."""
        return self.outcome if cluster else ignored("no cluster was named")

    def observe(self, event: Any) -> Outcome:
        """Stand for the workflow of pull_event."""
        return self.outcome if event else ignored("nothing was delivered")


def payload(name: str) -> Any:
    return load_event(name)


REFERENCE = {"image": "a:1", "cluster": "projects/demo/locations/us-central1/clusters/gpu"}
PUSHED = {
    "action": "INSERT",
    "digest": f"us-central1-docker.pkg.dev/demo/apps/a@sha256:{'0' * 64}",
    "tag": "us-central1-docker.pkg.dev/demo/apps/a:1",
}
STREAMED = log_entry(node_event("Image gcr.io/a/b:1 is backed by image streaming."))
TICK = {"cluster": "projects/demo/locations/us-central1/clusters/gpu"}
WIRING: dict[str, tuple[tuple[str, ...], Any]] = {
    "audit_log": (("publisher",), payload("audit-deployment-create")),
    "build_notification": (("publisher",), payload("build-success")),
    "image_reference": (("_warming",), REFERENCE),
    "pull_event": (("_observing",), STREAMED),
    "registry_push": (("publisher",), PUSHED),
    "scheduled_sweep": (("_sweeping", "_directory"), TICK),
}
"""The wiring functions of each, and a message that makes it do something."""

FORMS = ["push", "push_cloud_event"]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    path = tmp_path / "prestream.yaml"
    path.write_text("")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
    monkeypatch.setenv("PRESTREAM_CONFIG", str(path))
    return lambda text: str(path.write_text(text))  # type: ignore[return-value]


@pytest.fixture
def wired() -> Wired:
    return Wired()


Serve = Callable[[str], ServedFunction]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def serve(configure: Callable[[str], None], wired: Wired) -> Iterator[Serve]:
    del configure
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(
            served(name, **dict.fromkeys(WIRING[name][0], wired))
        )


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Read the lines since the last look; nothing is ever written on standard error."""

    def read() -> list[dict[str, Any]]:
        output = capsys.readouterr()
        assert output.err == ""
        return [json.loads(line) for line in output.out.splitlines()]

    return read


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
def test_a_failure_is_settled_by_whose_fault_it_is_and_the_next_message_is_served(
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
def test_ignored_delivery_is_acknowledged_with_its_reason(
    serve: Serve, lines: Lines, name: str, form: str
) -> None:
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()

    status = getattr(serve(name), form)(WIRING[name][1], publishTime=old)

    (line,) = lines()
    assert (status, line["disposition"], line["severity"]) == (200, "ignored", "INFO")
    assert line["message"].startswith(f"event ignored: {line['reason']}")


POISON: dict[str, Any] = {
    "empty": b"",
    "text": b"text",
    "binary": b"\x00\xff",
    "list": [],
    "no-fields": {},
    "nested-without-end": b"[" * 100_000,
}
# Cloud Scheduler sends whatever somebody wrote into it, and each such message is a tick.
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
    wired.error = RuntimeError("poison went through")

    status = getattr(serve(name), form)(data)

    (line,) = lines()
    assert (status, line["disposition"], line["severity"]) == (200, "rejected", "ERROR")
    assert line["message"] == f"event rejected: {line['reason']}"


@every_function
@both_forms
def test_a_broken_configuration_keeps_sound_messages_until_it_is_mended(
    serve: Serve, configure: Callable[[str], None], lines: Lines, name: str, form: str
) -> None:
    deliver = getattr(serve(name), form)

    configure("no_such_key: 1")
    broken = deliver(WIRING[name][1])
    configure("")
    mended = deliver(WIRING[name][1])

    assert (broken, mended) == (503, 200)
    assert [line["disposition"] for line in lines()] == ["blocked", "handled"]


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
def test_an_id_that_cannot_be_written_does_not_cost_the_line(
    serve: Serve, lines: Lines, name: str
) -> None:
    assert serve(name).push(WIRING[name][1], messageId="half a pair: \ud800") == 200

    (line,) = lines()
    assert (line["disposition"], line["event_id"]) == ("handled", "half a pair: ?")


@every_function
@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"traceparent": f"00-{'a1' * 16}-{'b2' * 8}-01"}, "a1" * 16),
        ({"X-Cloud-Trace-Context": f"{'c3' * 16}/7;o=1"}, "c3" * 16),
    ],
)
def test_the_line_is_tied_to_the_request(
    serve: Serve, lines: Lines, name: str, headers: dict[str, str], trace: str
) -> None:
    serve(name).post(envelope(WIRING[name][1]), headers=headers)

    (line,) = lines()
    assert line["logging.googleapis.com/trace"] == f"projects/demo/traces/{trace}"


class TestStory:
    """The message alone tells a person what became of the delivery."""

    @pytest.mark.parametrize(
        ("details", "message"),
        [
            pytest.param(
                {"created": ["warm-a-1"], "resumed": [], "image": "a:1"},
                "event handled: created Job warm-a-1 for a:1",
                id="created",
            ),
            pytest.param(
                {"created": ["warm-a-1"], "resumed": ["warm-a-1"], "image": "a:1"},
                "event handled: created Job warm-a-1 for a:1; resumed Job warm-a-1",
                id="resumed",
            ),
            pytest.param(
                {"waiting": ["warm-a-1"], "image": "a:1"},
                "event handled: queued Job warm-a-1 for a:1",
                id="waiting",
            ),
            pytest.param(
                {"outcome": "pull_failed", "reason": "there is no image a:1", "image": "a:1"},
                "event handled: pull_failed: there is no image a:1",
                id="failed",
            ),
            pytest.param(
                {
                    "created": ["warm-a-1"],
                    "image": "a:1",
                    "failures": [
                        {"outcome": "no_node", "reason": "no ready node", "target": "t"},
                        {"outcome": "pull_failed", "reason": "no manifest", "target": "u"},
                    ],
                },
                "event handled: no_node: no ready node for a:1; pull_failed: no manifest;"
                " created Job warm-a-1",
                id="several-targets",
            ),
            pytest.param(
                {"published": ["a:1", "b:1", "c:1", "d:1", "e:1"]},
                "event handled: published a:1, b:1, c:1 and 2 more",
                id="published",
            ),
            pytest.param(
                {"fact": "stream.observed", "image": "a:1"},
                "event handled: stream.observed for a:1",
                id="fact",
            ),
            pytest.param(
                {"fact": "pull.observed", "streamed": "not_streamed", "image": "a:1"},
                "event handled: not_streamed for a:1",
                id="verdict",
            ),
            pytest.param(
                {"job": "warm-a-1", "reason": "its fact was written before", "resumed": ["w-2"]},
                "event handled: its fact was written before (warm-a-1); resumed Job w-2",
                id="written-before",
            ),
            pytest.param(
                {"job": "warm-a-1", "outcome": "pulled", "streamed": "streamed", "image": "a:1"},
                "event handled: pulled, streamed for a:1",
                id="warmed",
            ),
            pytest.param(
                {"due": 3, "reported": 1, "removed": 0, "cluster": "gpu"},
                "event handled: warmups due: 3 for gpu; warmups reported late: 1",
                id="swept",
            ),
            pytest.param({"image": "a:1"}, "event handled: a:1", id="an-image-alone"),
            pytest.param({}, "event handled", id="nothing-to-tell"),
        ],
    )
    def test_log_line_of_a_handled_delivery(
        self, serve: Serve, wired: Wired, lines: Lines, details: dict[str, Any], message: str
    ) -> None:
        wired.outcome = Outcome("handled", details)

        serve("image_reference").push(REFERENCE)

        (line,) = lines()
        assert line["message"] == message
        assert line.items() >= {k: v for k, v in details.items() if v}.items()

    def test_log_line_of_an_ignored_delivery(
        self, serve: Serve, wired: Wired, lines: Lines
    ) -> None:
        wired.outcome = ignored("the image is excluded by the configuration", image="a:1")

        serve("image_reference").push(REFERENCE)

        (line,) = lines()
        assert line["message"] == (
            "event ignored: the image is excluded by the configuration (a:1)"
        )

    def test_is_cut_where_somebody_elses_text_has_no_end(
        self, serve: Serve, wired: Wired, lines: Lines
    ) -> None:
        wired.outcome = ignored("x" * 1_000_000)

        serve("image_reference").push(REFERENCE)

        (line,) = lines()
        assert len(json.dumps(line)) < 10_000
        assert line["reason"].startswith("xxx")

    def test_is_cut_wherever_in_it_that_text_stands(
        self, serve: Serve, wired: Wired, lines: Lines
    ) -> None:
        long = "x" * 1_000_000
        wired.outcome = Outcome(
            "handled", {"cause": {"resource": long}, "published": [long] * 1_000, "due": 7}
        )

        serve("image_reference").push(REFERENCE, messageId=long)

        (line,) = lines()
        assert len(json.dumps(line)) < 200_000
        assert line["cause"]["resource"].startswith("xxx")
        assert line["published"][-1] == "… and 950 more"
        assert line["due"] == 7

    def test_no_detail_takes_the_place_of_the_disposition(
        self, serve: Serve, wired: Wired, lines: Lines
    ) -> None:
        wired.outcome = Outcome(
            "handled", {"disposition": "failed", "severity": "ERROR", "message": "x", "time": "y"}
        )

        serve("image_reference").push(REFERENCE)

        (line,) = lines()
        assert (line["disposition"], line["severity"]) == ("handled", "INFO")
        assert line["message"].startswith("event handled")
