"""
Every failure that a kubelet reported in the recordings, with containerd 1.6 and 2.4.

The table expects the same of both, unless a name has the runtime behind it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.domain.cluster_event import ContainerFailed, ImagePullFailed, NodeEvent, PodEvicted
from shared.domain.pull_failure import PullFailure
from shared.messages.node_event import parse_event
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.node_reports import JOB, end, job_event, make_event, pod_event
from tests.fakes.observers import ObservedWarmup

RECORDED = Path(__file__).parent.parent / "golden" / "kubelet-1.36" / "failures.json"
CASES: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text("utf-8"))
RUNTIMES = ("containerd 1.6", "containerd 2.4")
PERMANENT, TEMPORARY = True, False


class Expected(NamedTuple):
    """The classification of a failed pull, with a part of its hint."""

    kind: str
    permanent: bool
    at_fault: str
    hint: str


READER = "roles/artifactregistry.reader"
OUTAGE = Expected("unavailable", TEMPORARY, "registry", "Usually it passes")
NO_REGISTRY = Expected("unavailable", TEMPORARY, "registry", "look for a proxy")
LIMIT = Expected("rate_limited", TEMPORARY, "registry", "Wait, or configure credentials")
TLS = Expected("tls", PERMANENT, "registry", "Check the certificate")
REFUSED = Expected("denied", PERMANENT, "access", READER)
REFUSED_ELSEWHERE = Expected("denied", PERMANENT, "access", "a pull secret may read it")
NO_IMAGE = Expected("not_found", PERMANENT, "image", "the name and the tag")
NO_REPOSITORY = Expected("not_found", PERMANENT, "image", "project, location, repository")
LOST = Expected("content_lost", PERMANENT, "image", "Push the image again; in a mirror")
DAMAGED = Expected("damaged", PERMANENT, "image", "Build the image and push it again")
OTHER_BYTES = Expected("damaged", TEMPORARY, "image", "push the image again; in a mirror")
TOO_LARGE = Expected("unsupported", PERMANENT, "image", "fewer layers")
NO_ARCHIVE = Expected("unsupported", PERMANENT, "image", "plain layers")
PLATFORM = Expected("platform", PERMANENT, "image", "architecture of the node")
SCHEMA_1 = Expected("schema_1", PERMANENT, "image", "a current tool")
UNKNOWN = Expected("other", TEMPORARY, "unknown", "message of the node")
DISK = Expected("disk_full", PERMANENT, "node", "a larger boot disk")

FAILED_PULLS = {
    OUTAGE: """
        answers-408 answers-500 answers-500-digest answers-500-html answers-501 answers-502
        answers-503 answers-503-digest answers-503-elsewhere answers-504 answers-520 blob-500
        blob-503 blob-reset blob-redirect-refused blob-truncated blob-empty blob-html token-500
        token-503 host-nowhere host-servfail host-silent host-dns-silent host-closes host-refused
        host-localhost-5999 host-127.0.1.20-5999 invalid-underscore-host""",
    NO_REGISTRY: """
        answers-html answers-html-digest answers-nothing redirects-to-itself redirects-to-login
        token-html token-empty""",
    LIMIT: """
        answers-429 answers-429-digest answers-429-elsewhere answers-429-empty answers-429-html
        answers-429-quota blob-429 token-429 token-429-hub job-limited""",
    TLS: "host-plain host-unknown-ca host-expired host-wrong-name",
    REFUSED: """
        answers-401 answers-401-digest answers-403 answers-403-digest answers-403-empty
        answers-403-html answers-403-elsewhere/2.4 blob-401 blob-403 blob-redirect-403 config-403
        token-401 token-403 token-403-digest token-403-html token-useless job-denied
        job-denied-token""",
    REFUSED_ELSEWHERE: """
        answers-403-elsewhere/1.6 token-403-hub token-useless-hub private-without-secret
        private-with-wrong-secret private-secret-absent""",
    NO_IMAGE: """
        answers-404-html answers-404-manifest answers-404-manifest-digest answers-404-name
        missing-tag missing-digest missing-repository missing-repository-digest missing-on-hub
        private-missing image-volume-absent job-missing-digest job-ended-early
        job-helper-missing""",
    NO_REPOSITORY: "token-404",
    LOST: "blob-404 config-404 index-child-404",
    DAMAGED: """
        answers-json answers-no-json config-no-json layer-no-gzip layer-no-tar layer-missing
        artifact/1.6""",
    OTHER_BYTES: "blob-other-bytes config-other-bytes digest-other-bytes",
    TOO_LARGE: "answers-huge",
    NO_ARCHIVE: "layer-unknown-type/1.6",
    PLATFORM: "index-only-arm64 index-empty",
    SCHEMA_1: "answers-schema-1",
    UNKNOWN: "answers-400 answers-405 answers-410 answers-451",
}
FAILED_CONTAINERS = {
    "start": """
        start-root-refused start-user-name-refused start-no-command start-no-such-user
        start-no-such-file start-no-such-file-always start-entrypoint-absent start-not-executable
        start-bad-working-folder start-little-memory pulled-no-shell job-helper-no-busybox
        job-no-such-file artifact/2.4 layer-unknown-type/2.4 image-volume/1.6""",
    "pull": """
        invalid-blank invalid-identifier invalid-long-tag invalid-no-tag invalid-quote
        invalid-scheme invalid-short-digest invalid-two-tags invalid-upper-case
        invalid-upper-case-short invalid-variable never-absent never-absent-init""",
    "other": "start-no-config-map start-bad-sub-path",
}
EVICTED = {
    DISK: "evicted-ephemeral-storage evicted-disk-pressure/2.4",
    UNKNOWN: "evicted-empty-dir",
}


def names_of(text: str) -> Iterator[str]:
    for name in text.split():
        yield from [name] if "/" in name else [f"{name}/{each[-3:]}" for each in RUNTIMES]


def list_reports(reason: str, prefix: str) -> dict[str, list[NodeEvent]]:
    """Return the reports of a reason by case and runtime, as the product parses them."""
    found: dict[str, list[NodeEvent]] = {}
    for name, case in CASES.items():
        for runtime in RUNTIMES:
            for recorded, path, text in case.get(runtime, []):
                if recorded == reason and text.startswith(prefix):
                    found.setdefault(f"{name}/{runtime[-3:]}", []).append(parse(reason, path, text))
    return found


def parse(reason: str, path: str, text: str) -> NodeEvent:
    event = make_event(
        "Pod", "pod-1", reason, text, component="kubelet", field_path=path, host="real-2"
    )
    return parse_event(event, cluster=str(GPU_CLUSTER))


PULLS = list_reports("Failed", "Failed to pull image")
CONTAINERS = list_reports("Failed", "Error: ")
EVICTIONS = list_reports("Evicted", "")


@pytest.mark.parametrize(
    ("table", "recorded"),
    [
        pytest.param(FAILED_PULLS, PULLS, id="pulls"),
        pytest.param(FAILED_CONTAINERS, CONTAINERS, id="containers"),
        pytest.param(EVICTED, EVICTIONS, id="evictions"),
    ],
)
def test_every_recorded_failure_is_in_the_table(
    table: dict[Any, str], recorded: dict[str, Any]
) -> None:
    assert sorted(name for text in table.values() for name in names_of(text)) == sorted(recorded)


def rows(table: dict[Any, str]) -> list[Any]:
    return [
        pytest.param(name, expected, id=name)
        for expected, text in table.items()
        for name in names_of(text)
    ]


def check(failure: PullFailure, expected: Expected) -> None:
    assert (failure.kind, failure.permanent, failure.at_fault) == expected[:3]
    assert expected.hint in failure.hint


@pytest.mark.parametrize(("name", "expected"), rows(FAILED_PULLS))
def test_recorded_pull_failure_is_classified(name: str, expected: Expected) -> None:
    for event in PULLS[name]:
        assert isinstance(event, ImagePullFailed)
        check(event.failure, expected)


@pytest.mark.parametrize(("name", "step"), rows(FAILED_CONTAINERS))
def test_step_of_a_recorded_container_failure_is_known(name: str, step: str) -> None:
    for event in CONTAINERS[name]:
        assert isinstance(event, ContainerFailed)
        assert event.step == step


@pytest.mark.parametrize(("name", "expected"), rows(EVICTED))
def test_recorded_eviction_is_classified(name: str, expected: Expected) -> None:
    for event in EVICTIONS[name]:
        assert isinstance(event, PodEvicted)
        check(event.failure, expected)


@pytest.mark.parametrize("name", [*names_of(FAILED_PULLS[REFUSED])])
def test_refusal_does_not_hide_that_the_repository_may_not_exist(name: str) -> None:
    for event in PULLS[name]:
        assert isinstance(event, ImagePullFailed)
        assert "does not exist" in event.failure.reason


@pytest.mark.parametrize(("name", "expected"), rows(FAILED_PULLS))
def test_recorded_pull_failure_becomes_the_fact_of_a_warmup(name: str, expected: Expected) -> None:
    for event in PULLS[name]:
        assert isinstance(event, ImagePullFailed)
        scene = ObservedWarmup(None)

        ended = scene.happen(pod_event("Failed", event.origin.message))
        end(scene.cluster.jobs[JOB], "DeadlineExceeded")
        scene.happen(job_event("DeadlineExceeded"))

        assert ("ended" in ended.details) == expected.permanent
        (fact,) = scene.facts
        assert fact["outcome"] == ("postponed" if expected == LIMIT else "pull_failed")
        assert fact["reason"] == event.failure.reason
        assert expected.hint in fact["hint"]


@pytest.mark.parametrize("name", [*names_of(FAILED_CONTAINERS["start"])])
def test_warmup_whose_container_did_not_start_pulled_its_image(name: str) -> None:
    for event in CONTAINERS[name]:
        assert isinstance(event, ContainerFailed)
        scene = ObservedWarmup("BackoffLimitExceeded")
        scene.cluster.place(pod_event("Failed", event.origin.message))

        scene.happen(job_event("BackoffLimitExceeded"))

        (fact,) = scene.facts
        assert fact["outcome"] == "pulled"
        assert fact["reason"].endswith(event.origin.message)
