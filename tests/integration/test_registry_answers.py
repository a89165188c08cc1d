"""Answers of a registry that no registry should give."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shared.clients.registry import RegistryClient
from shared.domain.image_reference import Digest
from shared.domain.manifest import (
    OCI_INDEX,
    InvalidManifestError,
)
from shared.errors import ManifestUnavailableError, TransientError
from tests.contract.registry_conformance import refused
from tests.fakes.registry_answers import REFERENCE, Answers, digest_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [
        pytest.param(None, "sha512", "sha512", id="answered"),
        pytest.param(None, None, "sha256", id="computed"),
        pytest.param(None, "other", None, id="of-other-content"),
        pytest.param(None, "malformed", None, id="malformed"),
        pytest.param("sha256", "other", "sha256", id="requested"),
        pytest.param("other", "other", None, id="requested-and-answered-of-other-content"),
        pytest.param("other", "sha256", None, id="requested-of-other-content"),
        pytest.param("other", None, None, id="requested-of-other-content-and-not-answered"),
    ],
)
def test_content_must_match_its_digest(
    answers: Answers,
    registry: RegistryClient,
    asked: str | None,
    answered: str | None,
    expected: str | None,
) -> None:
    body = answers.manifest()
    digests = {
        "sha256": digest_of(body),
        "sha512": digest_of(body, "sha512"),
        "other": Digest(f"sha256:{'0' * 64}"),
        "malformed": "sha256:short",
    }
    reference = REFERENCE if asked is None else REFERENCE.at(Digest(digests[asked]))
    if answered is not None:
        answers.headers["Docker-Content-Digest"] = digests[answered]

    if expected is None:
        with pytest.raises(InvalidManifestError, match="digest"):
            registry.fetch_manifest(reference)
    else:
        assert registry.fetch_manifest(reference).digest == digests[expected]


def test_manifest_of_four_mebibytes_is_read(answers: Answers, registry: RegistryClient) -> None:
    short = len(answers.manifest(annotations={"pad": ""}))
    answers.manifest(annotations={"pad": "x" * (4 * 1024 * 1024 - short)})
    assert len(answers.body) == 4 * 1024 * 1024

    assert registry.fetch_manifest(REFERENCE).layers == (7,)


def test_larger_manifest_is_refused(answers: Answers, registry: RegistryClient) -> None:
    # White space follows the manifest: cut off at the limit, it would still be valid.
    answers.body = answers.manifest() + b" " * (4 * 1024 * 1024)

    with pytest.raises(InvalidManifestError, match="exceeds 4194304 bytes"):
        registry.fetch_manifest(REFERENCE)


def test_manifest_that_grows_when_it_is_unpacked_is_refused(
    answers: Answers, registry: RegistryClient
) -> None:
    answers.body = gzip.compress(answers.manifest() + b" " * (64 * 1024 * 1024))
    answers.headers["Content-Encoding"] = "gzip"

    with pytest.raises(InvalidManifestError, match="exceeds 4194304 bytes"):
        registry.fetch_manifest(REFERENCE)


def test_packed_manifest_is_read(answers: Answers, registry: RegistryClient) -> None:
    body = answers.manifest()
    answers.body = gzip.compress(body)
    answers.headers["Content-Encoding"] = "gzip"

    assert registry.fetch_manifest(REFERENCE).digest == digest_of(body)


def test_body_that_cannot_be_unpacked_is_transient(
    answers: Answers, registry: RegistryClient
) -> None:
    answers.manifest()
    answers.headers["Content-Encoding"] = "gzip"

    with pytest.raises(TransientError):
        registry.fetch_manifest(REFERENCE)


def test_incomplete_body_is_transient(answers: Answers, registry: RegistryClient) -> None:
    body = answers.manifest()
    answers.body = (part for part in [body[:10]])
    answers.headers["Content-Length"] = str(len(body))
    answers.headers["Connection"] = "close"

    with pytest.raises(TransientError):
        registry.fetch_manifest(REFERENCE)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Sign in</html>", id="html"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="object"),
        pytest.param(b"\xff\xfe{", id="bytes"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_answer_that_is_no_manifest_is_invalid(
    answers: Answers, registry: RegistryClient, body: bytes
) -> None:
    answers.body = body

    with pytest.raises(InvalidManifestError):
        registry.fetch_manifest(REFERENCE)


def test_index_is_known_by_its_content_type_alone(
    answers: Answers, registry: RegistryClient
) -> None:
    entry = {"digest": f"sha256:{'2' * 64}", "platform": {"os": "linux", "architecture": "arm64"}}
    answers.body = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    answers.headers["Content-Type"] = f"{OCI_INDEX}; charset=utf-8"

    assert registry.fetch_manifest(REFERENCE).digest_for("linux/arm64") == entry["digest"]


@pytest.mark.parametrize(
    ("status", "text", "refused_with"),
    [
        (502, "Received invalid http status code 429 from external repository", 429),
        (502, "Received invalid HTTP status code 403 from external repository", 403),
        (502, "Received invalid http status code 404 from external repository", 404),
        (403, "Received invalid http status code 401 from external repository", 401),
        (502, "Received invalid http status code 503 from external repository", None),
        (502, "Received invalid response from external repository", None),
        (502, "Timeout while calling external repository", None),
    ],
)
def test_answer_about_an_upstream_is_classified_by_its_text(
    answers: Answers, registry: RegistryClient, status: int, text: str, refused_with: int | None
) -> None:
    answers.error(status, "UNKNOWN", f"{text}; url=https://ghcr.io/v2/")

    if refused_with is None:
        with pytest.raises(ManifestUnavailableError, match="external repository"):
            registry.fetch_manifest(REFERENCE)
    else:
        with refused() as refusal:
            registry.fetch_manifest(REFERENCE)
        assert (refusal.status, refusal.by_upstream) == (refused_with, True)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"denied", id="text"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"errors": []}', id="no-error"),
        pytest.param(b'{"errors": {"0": 1}}', id="object"),
        pytest.param(b'{"errors": ["denied"]}', id="error-of-text"),
        pytest.param(b'{"errors": [{"code": 5, "message": ["a"]}]}', id="other-types"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'"' + b"x" * 5_000_000, id="long"),
    ],
)
def test_refusal_in_any_form_is_a_refusal(
    answers: Answers, registry: RegistryClient, body: bytes
) -> None:
    answers.status, answers.body = 403, body

    with refused() as refusal:
        registry.fetch_manifest(REFERENCE)

    assert refusal.status == 403
    assert len(str(refusal)) < 1_000


def test_long_message_of_an_upstream_is_shortened(
    answers: Answers, registry: RegistryClient
) -> None:
    answers.error(403, "DENIED" * 100_000, "no " * 1_000_000)

    with refused() as refusal:
        registry.fetch_manifest(REFERENCE)

    assert refusal.message.startswith("no no")
    assert len(str(refusal)) < 1_000


def in_two_hours(zone: str) -> Callable[[], str]:
    """Return a function that makes the date, since minutes may pass before the test runs."""
    return lambda: format_datetime(datetime.now(UTC) + timedelta(hours=2)).replace("+0000", zone)


@pytest.mark.parametrize(
    ("header", "bounds_s"),
    [
        pytest.param("120", (60, 120), id="seconds"),
        pytest.param("0", (-60, 0), id="at-once"),
        pytest.param("9" * 5_000, (604_000, 604_800), id="endless"),
        pytest.param(in_two_hours("GMT"), (7_000, 7_200), id="date"),
        pytest.param(in_two_hours("-0000"), (7_000, 7_200), id="date-without-zone"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 GMT", (-60, 0), id="past"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", (604_000, 604_800), id="far-future"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="text"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("Mon, 99 Jan 2001", None, id="impossible-day"),
        pytest.param("Mon, 01 Jan 99999 00:00:00 GMT", None, id="impossible-year"),
    ],
)
def test_retry_after_is_read_in_both_forms(
    answers: Answers,
    registry: RegistryClient,
    header: str | Callable[[], str],
    bounds_s: tuple[float, float] | None,
) -> None:
    text = header if isinstance(header, str) else header()
    answers.error(429, "TOOMANYREQUESTS", "rate limit", Retry_After=text)

    with refused() as refusal:
        registry.fetch_manifest(REFERENCE)

    if bounds_s is None:
        assert refusal.retry_at is None
    else:
        assert refusal.retry_at is not None
        least_s, most_s = bounds_s
        assert least_s <= (refusal.retry_at - datetime.now(UTC)).total_seconds() <= most_s
