"""
The fuzz targets: each reads bytes as the product does, and raises only because of a bug.

A documented refusal of a parser is not a finding. Any other exception is a finding, and so is a
value that does not mean what was read.
"""

import contextlib
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cloudevents.http import CloudEvent

from cli.input.log_export import UnreadableError, read_entries
from cli.input.yaml_documents import DocumentError, read_documents
from cli.status.warmup_state import read_job
from shared.clients.registry import _Answer, _refusal
from shared.domain import warmup_job as jobs
from shared.domain.disposition import Irrelevant, is_too_old
from shared.domain.image_fields import find_image_fields
from shared.domain.image_reference import InvalidReferenceError, parse_digest, parse_reference
from shared.domain.image_selection import Scope
from shared.domain.manifest import InvalidManifestError, parse_manifest
from shared.domain.mirror_reference import rewrite_image
from shared.domain.proven_mirrors import InvalidProofError, Proof, ProvenMirrors
from shared.domain.timestamp import format_time
from shared.domain.warmup_refusal import REFUSAL_ANNOTATION
from shared.domain.workload import find_pod_specs, read_originals
from shared.errors import ConfigurationError, InvalidEventError
from shared.messages.audit_entry import AuditEntry
from shared.messages.audit_method import Operation
from shared.messages.build import BuildNotification
from shared.messages.image_request import parse_reference_request
from shared.messages.node_event import parse_log_entry
from shared.messages.pubsub_message import PubsubMessage
from shared.messages.registry_push import RegistryPush
from shared.messages.tick import parse_tick
from shared.pipeline.execute import Executor
from shared.pipeline.report_warmup import report_job
from shared.pipeline.track_proven import FAILURES_ANNOTATION, find_recent_failures
from shared.settings.keys import make_settings
from shared.settings.yaml_file import parse_document
from tests.fakes.clusters import FakeCluster
from tests.fakes.facts import FakeFactLog
from tests.fakes.node_reports import JOB, end, place_pod, place_warmup

_NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
_PROOFS = {
    "docker.io": Proof("us-docker.pkg.dev/demo/dockerhub-mirror"),
    "nvcr.io": Proof("us-docker.pkg.dev/demo/nvcr-io-mirror", ("nvidia/*",), ("nvidia/tao",)),
}
_ANNOTATIONS = (
    jobs.CAUSE_ANNOTATION,
    REFUSAL_ANNOTATION,
    jobs.SIZE_ANNOTATION,
    jobs.QUEUED_ANNOTATION,
    jobs.IMAGE_ANNOTATION,
    jobs.MIRROR_ANNOTATION,
    jobs.DIGEST_ANNOTATION,
    jobs.NOT_BEFORE_ANNOTATION,
    jobs.HOLDING_ANNOTATION,
    jobs.LACKING_ANNOTATION,
    jobs.STRATEGY_ANNOTATION,
)


def _message(data: bytes) -> PubsubMessage:
    return PubsubMessage("m-1", _NOW, data)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _write(value: Any) -> None:
    """Write a value as it is published, or logged: it must be JSON, and a text."""
    json.dumps(value, allow_nan=False).encode()


def fuzz_references(data: bytes) -> None:
    """Read a reference, and a digest; what is read is written as itself."""
    text = _text(data)
    with contextlib.suppress(InvalidReferenceError):
        parse_digest(text)
    try:
        reference = parse_reference(text)
    except InvalidReferenceError:
        return
    assert parse_reference(str(reference)) == reference


def fuzz_rewriting(data: bytes) -> None:
    """Rewrite an image, twice; read what a pod says that it was."""
    text = _text(data)
    rewritten = rewrite_image(text, _PROOFS)
    if rewritten.mirror is not None:
        assert rewrite_image(rewritten.mirror, _PROOFS).mirror is None
    annotations = {"prestream.dev/original-images": text}
    for original in read_originals({"metadata": {"annotations": annotations}}).values():
        parse_reference(original)


def fuzz_audit_logs(data: bytes) -> None:
    """Read an entry of the audit log, its object and the requests that it makes."""
    try:
        entry = AuditEntry.from_message(_message(data))
        if entry.reason_to_ignore(Scope("prestream", frozenset({"kube-system"}), "auto")):
            return
        pods = find_pod_specs(entry.body)
        for request in entry.requests(pods, frozenset({"cloud.google.com/gke-accelerator"})):
            _write(request.as_json())
            assert all(len(each.encode()) <= 1_024 for each in request.attributes.values())  # noqa: PLR2004  # Pub/Sub's limit
    except InvalidEventError:
        return


def fuzz_builds(data: bytes) -> None:
    """Read a build's message."""
    try:
        build = BuildNotification.from_message(_message(data))
    except InvalidEventError:
        return
    for request in build.requests:
        _write(request.as_json())


def fuzz_pushes(data: bytes) -> None:
    """Read a registry's message."""
    try:
        push = RegistryPush.from_message(_message(data))
    except InvalidEventError:
        return
    if push.request is not None:
        _write(push.request.as_json())


def fuzz_node_events(data: bytes) -> None:
    """Read what a node reports."""
    try:
        report = parse_log_entry(data)
    except InvalidEventError:
        return
    if not isinstance(report, Irrelevant):
        format_time(report.origin.timestamp)
        assert len(report.origin.message) <= len(data)


def fuzz_operations(data: bytes) -> None:
    """Read the two names of an audit entry, one a line."""
    method, _, resource = _text(data).partition("\n")
    try:
        Operation.parse(method, resource)
    except InvalidEventError:
        return


def fuzz_reference_messages(data: bytes) -> None:
    """Read a reference message; what is read is written as itself."""
    try:
        request = parse_reference_request(_message(data))
    except InvalidEventError:
        return
    again = parse_reference_request(_message(json.dumps(request.as_json()).encode()))
    assert again == request


def fuzz_ticks(data: bytes) -> None:
    """Read a tick of the schedule."""
    try:
        _write(parse_tick(_message(data)).as_json())
    except InvalidEventError:
        return


def fuzz_envelopes(data: bytes) -> None:
    """Read the body of a delivery."""
    try:
        event = CloudEvent({"type": "t", "source": "s", "id": "m-1"}, data)
        message = PubsubMessage.from_cloud_event(event)
    except InvalidEventError:
        return
    is_too_old(message.publish_time, _NOW, timedelta(hours=24))
    format_time(message.publish_time)
    jobs.period_of(message.publish_time, parse_digest(f"sha256:{'0' * 64}"), 172_800)


def fuzz_settings(data: bytes) -> None:
    """Read prestream.yaml."""
    try:
        document = parse_document(_text(data), name="prestream.yaml")
        make_settings(document, {"GOOGLE_CLOUD_PROJECT": "demo"}, name="prestream.yaml")
    except ConfigurationError as exc:
        assert len(str(exc)) < 100 * len(data) + 10_000  # of each fault a line


def fuzz_documents(data: bytes) -> None:
    """Read a Kubernetes file as the command does, and find the positions of its images."""
    text = _text(data)
    try:
        documents = read_documents(text)
    except DocumentError:
        return
    for document in documents:
        for field in find_image_fields(document.body):
            if isinstance(field.image, str):
                place = document.find(field.path)
                assert place.value == field.image
                document.count_ways(field.path)


def fuzz_log_exports(data: bytes) -> None:
    """Read what was saved of a log."""
    try:
        for found in read_entries(io.BytesIO(data)):
            assert found.line >= 1
    except UnreadableError:
        return


def fuzz_proofs(data: bytes) -> None:
    """Read the ConfigMap of proven mirrors, ``KEY: VALUE`` a line; what is read stays the same."""
    pairs = (line.partition(": ") for line in _text(data).split("\n"))
    known = ProvenMirrors.from_data({key: value for key, _, value in pairs})
    for proof in known.proofs.values():
        assert Proof.parse(str(proof)) == proof
        proof.covers("nvidia/pytorch")
    try:
        Proof.parse(_text(data))
    except InvalidProofError:
        return


def fuzz_annotations(data: bytes) -> None:
    """Read what a warmup's Job says of itself, an annotation a line, and write its fact."""
    lines = _text(data).split("\n")
    cluster, facts = FakeCluster(), FakeFactLog()
    for reason in ("CompletionsReached", "DeadlineExceeded"):
        job = end(place_warmup(cluster, JOB), reason)
        place_pod(cluster)
        job["metadata"]["annotations"] |= dict(zip(_ANNOTATIONS, lines, strict=False))
        report_job(cluster, job, Executor(dry_run=True, facts=facts))
        read_job(job, None, cluster=str(cluster.name), period=timedelta(hours=48))
    for fact in facts.facts:
        _write(fact.payload)
    counted = {"metadata": {"annotations": {FAILURES_ANNOTATION: lines[0]}}}
    find_recent_failures(counted, "docker.io", _NOW)


def fuzz_registry_answers(data: bytes) -> None:
    """Read a registry's answer: its type in the first line, then what it sent."""
    header, _, body = data.partition(b"\n")
    try:
        manifest = parse_manifest(body, _text(header), None)
        assert 0 <= manifest.image_bytes < 2**63
        manifest.platform_digest("linux/amd64")
    except InvalidManifestError as exc:
        assert len(str(exc)) < 1_000  # noqa: PLR2004  # a stranger's text has no place in a line
    _refusal(_Answer(429, {"Retry-After": _text(header)}, body), "r")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "references": fuzz_references,
    "rewriting": fuzz_rewriting,
    "audit_logs": fuzz_audit_logs,
    "builds": fuzz_builds,
    "pushes": fuzz_pushes,
    "node_events": fuzz_node_events,
    "operations": fuzz_operations,
    "reference_messages": fuzz_reference_messages,
    "ticks": fuzz_ticks,
    "envelopes": fuzz_envelopes,
    "settings": fuzz_settings,
    "documents": fuzz_documents,
    "log_exports": fuzz_log_exports,
    "proofs": fuzz_proofs,
    "annotations": fuzz_annotations,
    "registry_answers": fuzz_registry_answers,
}
