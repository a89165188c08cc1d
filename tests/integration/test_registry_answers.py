"""A registry that answers as a test says, and not as a registry should."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shared.clients import registry as registries
from shared.clients.registry import RegistryClient
from shared.domain.image_reference import Digest
from shared.domain.manifest import (
    OCI_INDEX,
    InvalidManifestError,
    RegistryRefusalError,
)
from shared.errors import TransientError
from tests.contract.registry_conformance import refused
from tests.fakes.registry_answers import REFERENCE, Answers, digest_of

pytestmark = pytest.mark.integration

STALL_S = 30.0
SHORT_S = 0.2


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.server.stop()


@pytest.fixture
def client(answers: Answers) -> RegistryClient:
    return RegistryClient(emulator_host=answers.server.address)


def test_digest_that_the_registry_answers_is_the_image_s(
    answers: Answers, client: RegistryClient
) -> None:
    body = answers.manifest()
    answers.headers["Docker-Content-Digest"] = digest_of(body, "sha512")

    manifest = client.fetch_manifest(REFERENCE)

    assert manifest.digest == digest_of(body, "sha512")


def test_missing_digest_is_computed(answers: Answers, client: RegistryClient) -> None:
    body = answers.manifest()

    assert client.fetch_manifest(REFERENCE).digest == digest_of(body)


def test_digest_that_the_content_does_not_have_is_not_trusted(
    answers: Answers, client: RegistryClient
) -> None:
    answers.manifest()
    answers.headers["Docker-Content-Digest"] = f"sha256:{'0' * 64}"

    with pytest.raises(InvalidManifestError, match="digest"):
        client.fetch_manifest(REFERENCE)


@pytest.mark.parametrize("says", ["asked", "actual", "nothing"])
def test_content_must_match_the_requested_digest(
    answers: Answers, client: RegistryClient, says: str
) -> None:
    asked = Digest(f"sha256:{'0' * 64}")
    body = answers.manifest()
    if says != "nothing":
        answers.headers["Docker-Content-Digest"] = asked if says == "asked" else digest_of(body)

    with pytest.raises(InvalidManifestError, match="digest"):
        client.fetch_manifest(REFERENCE.at(asked))


def test_manifest_keeps_the_requested_digest(answers: Answers, client: RegistryClient) -> None:
    asked = digest_of(answers.manifest())
    answers.headers["Docker-Content-Digest"] = f"sha256:{'0' * 64}"

    assert client.fetch_manifest(REFERENCE.at(asked)).digest == asked


def test_malformed_digest_is_no_digest(answers: Answers, client: RegistryClient) -> None:
    answers.manifest()
    answers.headers["Docker-Content-Digest"] = "sha256:short"

    with pytest.raises(InvalidManifestError, match="digest"):
        client.fetch_manifest(REFERENCE)


def test_manifest_of_four_mebibytes_is_read(answers: Answers, client: RegistryClient) -> None:
    short = len(answers.manifest(annotations={"pad": ""}))
    answers.manifest(annotations={"pad": "x" * (4 * 1024 * 1024 - short)})
    assert len(answers.body) == 4 * 1024 * 1024

    assert client.fetch_manifest(REFERENCE).layers == (7,)


def test_larger_manifest_is_refused(answers: Answers, client: RegistryClient) -> None:
    # What follows a manifest is white space: cut off at the limit, it would still be one.
    answers.body = answers.manifest() + b" " * (4 * 1024 * 1024)

    with pytest.raises(InvalidManifestError, match="exceeds 4194304 bytes"):
        client.fetch_manifest(REFERENCE)


def test_manifest_that_grows_when_it_is_unpacked_is_refused(
    answers: Answers, client: RegistryClient
) -> None:
    answers.body = gzip.compress(answers.manifest() + b" " * (64 * 1024 * 1024))
    answers.headers["Content-Encoding"] = "gzip"

    with pytest.raises(InvalidManifestError, match="exceeds 4194304 bytes"):
        client.fetch_manifest(REFERENCE)


def test_packed_manifest_is_read(answers: Answers, client: RegistryClient) -> None:
    body = answers.manifest()
    answers.body = gzip.compress(body)
    answers.headers["Content-Encoding"] = "gzip"

    assert client.fetch_manifest(REFERENCE).digest == digest_of(body)


def test_body_that_cannot_be_unpacked_is_transient(
    answers: Answers, client: RegistryClient
) -> None:
    answers.manifest()
    answers.headers["Content-Encoding"] = "gzip"

    with pytest.raises(TransientError):
        client.fetch_manifest(REFERENCE)


def test_incomplete_body_is_transient(answers: Answers, client: RegistryClient) -> None:
    body = answers.manifest()
    answers.body = (part for part in [body[:10]])
    answers.headers["Content-Length"] = str(len(body))
    answers.headers["Connection"] = "close"

    with pytest.raises(TransientError):
        client.fetch_manifest(REFERENCE)


def test_body_that_drips_is_not_waited_for(
    answers: Answers, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registries, "RPC_TIMEOUT_S", SHORT_S)
    started = time.monotonic()

    def drip() -> Iterator[bytes]:
        while time.monotonic() - started < STALL_S:
            yield b" "
            time.sleep(SHORT_S / 10)

    answers.body = drip()

    with pytest.raises(TransientError, match="too slowly"):
        client.fetch_manifest(REFERENCE)

    assert time.monotonic() - started < STALL_S / 2


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
    answers: Answers, client: RegistryClient, body: bytes
) -> None:
    answers.body = body

    with pytest.raises(InvalidManifestError):
        client.fetch_manifest(REFERENCE)


def test_index_is_known_by_its_content_type_alone(answers: Answers, client: RegistryClient) -> None:
    entry = {"digest": f"sha256:{'2' * 64}", "platform": {"os": "linux", "architecture": "arm64"}}
    answers.body = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    answers.headers["Content-Type"] = f"{OCI_INDEX}; charset=utf-8"

    assert client.fetch_manifest(REFERENCE).digest_for("linux/arm64") == entry["digest"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Received invalid http status code 429 from external repository", id="429"),
        pytest.param("Received invalid HTTP status code 403 from external repository", id="403"),
        pytest.param("Received invalid http status code 404 from external repository", id="404"),
    ],
)
def test_upstream_refusal_arrives_as_bad_gateway(
    answers: Answers, client: RegistryClient, text: str
) -> None:
    answers.error(502, "UNKNOWN", f"{text}; url=https://ghcr.io/v2/")

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert str(refusal.status) in text
    assert refusal.by_upstream


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Received invalid http status code 503 from external repository", id="503"),
        pytest.param("Received invalid response from external repository", id="no-status"),
        pytest.param("Timeout while calling external repository", id="time-out"),
    ],
)
def test_bad_gateway_of_a_failing_upstream_is_transient(
    answers: Answers, client: RegistryClient, text: str
) -> None:
    answers.error(502, "UNKNOWN", f"{text}; url=https://ghcr.io/v2/")

    with pytest.raises(TransientError, match="external repository"):
        client.fetch_manifest(REFERENCE)


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
    answers: Answers, client: RegistryClient, body: bytes
) -> None:
    answers.status, answers.body = 403, body

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert refusal.status == 403
    assert len(str(refusal)) < 1_000


def test_long_message_of_an_upstream_is_shortened(answers: Answers, client: RegistryClient) -> None:
    answers.error(403, "DENIED" * 100_000, "no " * 1_000_000)

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert refusal.message.startswith("no no")
    assert len(str(refusal)) < 1_000


def in_two_hours(zone: str) -> Callable[[], str]:
    """A date that is made when the test runs: between collection and run, minutes may pass."""
    return lambda: format_datetime(datetime.now(UTC) + timedelta(hours=2)).replace("+0000", zone)


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        pytest.param("120", 60, 120, id="seconds"),
        pytest.param("0", -60, 0, id="at-once"),
        pytest.param("9" * 5_000, 604_000, 604_800, id="endless"),
        pytest.param(in_two_hours("GMT"), 7_000, 7_200, id="date"),
        pytest.param(in_two_hours("-0000"), 7_000, 7_200, id="date-without-zone"),
        pytest.param("Mon, 01 Jan 2001 00:00:00 GMT", -60, 0, id="past"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 604_000, 604_800, id="far-future"),
    ],
)
def test_both_forms_of_retry_after_are_read(
    answers: Answers,
    client: RegistryClient,
    header: str | Callable[[], str],
    least_s: float,
    most_s: float,
) -> None:
    text = header if isinstance(header, str) else header()
    answers.error(429, "TOOMANYREQUESTS", "rate limit", Retry_After=text)

    with refused() as refusal:
        client.fetch_manifest(REFERENCE)

    assert refusal.retry_at is not None
    left_s = (refusal.retry_at - datetime.now(UTC)).total_seconds()
    assert least_s <= left_s <= most_s


@pytest.mark.parametrize(
    "header",
    ["", "soon", "-5", "1.5", "Mon, 99 Jan 2001", "Mon, 01 Jan 99999 00:00:00 GMT"],
)
def test_invalid_retry_after_is_ignored(
    answers: Answers, client: RegistryClient, header: str
) -> None:
    answers.error(429, "TOOMANYREQUESTS", "rate limit", Retry_After=header)

    with pytest.raises(RegistryRefusalError) as caught:
        client.fetch_manifest(REFERENCE)

    assert caught.value.retry_at is None
