"""Log entries of nodes: statements on streaming, and entries that are ignored or refused."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.domain.cluster_event import (
    ImagePulled,
    ImageStreamed,
    LayerDownloadFailed,
)
from shared.domain.disposition import Irrelevant
from shared.errors import InvalidEventError
from shared.messages.node_event import parse_log_entry
from tests.fakes.node_entries import (
    CLUSTER,
    DIGEST,
    MIRROR,
    NODE,
    Change,
    load_entry,
    origin_of,
    parse,
)
from tests.fakes.recorded_events import find_events


class TestStreaming:
    def test_short_statement_is_read(self) -> None:
        report = parse("streaming-plain")

        assert isinstance(report, ImageStreamed)
        assert report.statement.image == f"{MIRROR}:2.7.0"
        assert report.statement.is_success
        assert report.statement.layers is None
        assert report.origin.node == NODE

    @pytest.mark.parametrize(
        ("name", "image"),
        [
            pytest.param("streaming-figures", f"{MIRROR}@{DIGEST}", id="single"),
            pytest.param("streaming-combined", f"{MIRROR}:2.7.0", id="combined"),
            pytest.param("line-figures", f"{MIRROR}:2.7.0", id="line"),
        ],
    )
    def test_statement_with_figures_is_read(self, name: str, image: str) -> None:
        report = parse(name)

        assert isinstance(report, ImageStreamed)
        assert report.statement.image == image
        assert (report.statement.streamed_layers, report.statement.layers) == (14, 14)
        assert report.statement.text.startswith("Image ")
        assert report.statement.text == report.origin.message
        assert report.statement.insert_id == load_entry(name)["insertId"]

    def test_line_has_its_origin(self) -> None:
        report = parse("line-figures")

        origin = origin_of(report)
        assert (origin.cluster, origin.kind, origin.name, origin.node) == (
            CLUSTER,
            "Node",
            NODE,
            NODE,
        )
        assert origin.log == "projects/demo/logs/gcfs-snapshotter"
        assert origin.timestamp == datetime(2026, 5, 4, 9, 30, 10, 622354, tzinfo=UTC)
        assert (origin.event_uid, origin.namespace) == (None, None)

    def test_event_and_line_have_the_same_message(self) -> None:
        event, line = parse("streaming-plain"), parse("line-bare")

        assert origin_of(event).message == origin_of(line).message

    def test_image_on_the_boot_disk_is_not_streamed(self) -> None:
        report = parse("line-boot-disk")

        assert isinstance(report, ImageStreamed)
        assert not report.statement.is_success
        assert report.statement.is_on_disk

    def test_quotes_within_a_framed_line_are_unescaped(self) -> None:
        text = 'time="t" msg="snapshot \\"x\\": Image r.io/a:1 is backed by image streaming."'

        report = parse("line-bare", lambda entry: entry["jsonPayload"].update(MESSAGE=text))

        assert isinstance(report, ImageStreamed)
        assert report.statement.text == 'snapshot "x": Image r.io/a:1 is backed by image streaming.'

    def test_layer_that_could_not_be_downloaded_is_read(self) -> None:
        report = parse("layer-failed")

        assert isinstance(report, LayerDownloadFailed)
        assert report.failure.image == f"{MIRROR}@{DIGEST}"
        assert report.failure.layer == "sha256:" + "c0de" * 16
        assert report.failure.log == "projects/demo/logs/events"

    @pytest.mark.parametrize("name", ["layer-collected", "line-other", "node-ready"])
    def test_entry_without_an_image_is_ignored(self, name: str) -> None:
        assert isinstance(parse(name), Irrelevant)

    @pytest.mark.parametrize(
        ("name", "component"),
        [
            pytest.param("layer-failed", "gcfs-snapshotter", id="failure-of-the-snapshotter"),
            pytest.param("streaming-plain", "gcfsd", id="statement-of-the-daemon"),
            pytest.param("streaming-plain", "someone", id="statement-of-someone"),
        ],
    )
    def test_component_must_fit_the_text(self, name: str, component: str) -> None:
        report = parse(
            name, lambda entry: entry["jsonPayload"]["source"].update(component=component)
        )

        assert isinstance(report, Irrelevant)

    @pytest.mark.parametrize("form", ["message", "textPayload"])
    def test_line_is_read_from_whichever_field_the_nodes_agent_used(self, form: str) -> None:
        def change(entry: dict[str, Any]) -> None:
            text = entry.pop("jsonPayload")["MESSAGE"]
            entry |= {form: text} if form == "textPayload" else {"jsonPayload": {form: text}}

        report = parse("line-bare", change)

        assert isinstance(report, ImageStreamed)
        assert report == parse("line-bare")

    @pytest.mark.parametrize("text", [None, 5, ["I", "m"]])
    def test_line_without_a_text_is_ignored(self, text: object) -> None:
        report = parse("line-bare", lambda entry: entry["jsonPayload"].update(MESSAGE=text))

        assert isinstance(report, Irrelevant)

    def test_line_of_no_known_node_is_ignored(self) -> None:
        report = parse("line-bare", lambda entry: entry["resource"]["labels"].pop("node_name"))

        assert isinstance(report, Irrelevant)


class TestOtherEntries:
    def test_restart_of_the_exporter_is_ignored_and_quoted(self) -> None:
        report = parse("exporter-restarted")

        assert isinstance(report, Irrelevant)
        assert "Some events may have been lost" in report.reason

    def test_another_log_is_ignored(self) -> None:
        assert parse("other-log") == Irrelevant("the entry is of another log: gcfsd")

    def test_event_of_another_kind_is_ignored(self) -> None:
        def scale(entry: dict[str, Any]) -> None:
            entry["jsonPayload"]["involvedObject"]["kind"] = "Deployment"

        assert isinstance(parse("pulled-v1.30", scale), Irrelevant)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\xff\xfe", id="not-utf-8"),
            pytest.param(b"text", id="not-json"),
            pytest.param(b"[]", id="list"),
            pytest.param(b"null", id="null"),
            pytest.param(b"{}", id="no-log"),
            pytest.param(b'{"logName": 5}', id="log-is-no-text"),
            pytest.param(b'{"logName": "projects/p/logs/events"}', id="no-payload"),
            pytest.param(b"[" * 100_000, id="too-deep"),
        ],
    )
    def test_other_data_than_a_log_entry_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidEventError):
            parse_log_entry(data)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda e: e.update(jsonPayload="text"), id="payload-is-text"),
            pytest.param(lambda e: e.update(jsonPayload={}), id="payload-is-empty"),
            pytest.param(lambda e: e["jsonPayload"].pop("involvedObject"), id="no-object"),
            pytest.param(lambda e: e["jsonPayload"].update(involvedObject=None), id="null-object"),
            pytest.param(lambda e: e["jsonPayload"].pop("reason"), id="no-reason"),
            pytest.param(lambda e: e["jsonPayload"].update(message=5), id="message-is-no-text"),
            pytest.param(lambda e: e["jsonPayload"].update(lastTimestamp="noon"), id="odd-time"),
            pytest.param(lambda e: e.pop("resource"), id="no-resource"),
            pytest.param(lambda e: e["resource"]["labels"].pop("cluster_name"), id="no-cluster"),
            pytest.param(
                lambda e: e["resource"]["labels"].update(cluster_name="../../secrets"),
                id="path-for-a-cluster",
            ),
        ],
    )
    def test_entry_without_a_whole_event_is_refused(self, change: Change) -> None:
        with pytest.raises(InvalidEventError):
            parse("pulled-v1.30", change)

    @pytest.mark.parametrize("time", [None, "noon"])
    def test_line_without_a_time_is_refused(self, time: str | None) -> None:
        with pytest.raises(InvalidEventError):
            parse("line-bare", lambda entry: entry.update(timestamp=time))

    def test_unknown_fields_do_no_harm(self) -> None:
        def add(entry: dict[str, Any]) -> None:
            entry["split"] = {"uid": "u"}
            entry["jsonPayload"]["related"] = None

        assert isinstance(parse("pulled-v1.30", add), ImagePulled)


@pytest.mark.parametrize("path", find_events("events"), ids=lambda path: path.stem)
def test_every_recorded_entry_can_be_read(path: Path) -> None:
    report = parse_log_entry(path.read_bytes())

    if isinstance(report, Irrelevant):
        assert report.reason
    else:
        assert report.origin.cluster == CLUSTER
