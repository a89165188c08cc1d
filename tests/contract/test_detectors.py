"""The detectors through the real framework: what is published, answered and logged."""

import base64
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import functions_framework
import pytest

from shared.domain.request import ReferenceRequest
from shared.errors import ConfigurationError, TransientError
from tests.fakes.recorded_events import load_event

ROOT = Path(__file__).parents[2]
CLUSTER = "projects/starling-lab/locations/europe-west4/clusters/tern"
TRAINER = "europe-west4-docker.pkg.dev/starling-lab/vision/trainer"
DIGEST = "sha256:" + "3e7a" * 16
BASE_DIGEST = "sha256:" + "91c0" * 16

AUDIT_LOG = "audit_log"
BUILD_NOTIFICATION = "build_notification"


class RecordingPublisher:
    """Keeps what was published, or fails as it is told."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def publish(self, requests: Sequence[ReferenceRequest]) -> None:
        if self.error is not None:
            raise self.error
        self.published += [request.as_json() for request in requests]


class Detector:
    """A function as the framework serves it, with a publisher that records."""

    def __init__(self, name: str, publisher: RecordingPublisher) -> None:
        source = ROOT / "functions" / name / "main.py"
        app = functions_framework.create_app(f"handle_{name}", str(source))
        # The framework loads the source as a module of its own, called "main".
        vars(vars(sys.modules["main"])["wiring"])["publisher"] = publisher
        self._client = app.test_client()

    def push(self, data: Any, *, attributes: Any = None, publish_time: Any = None) -> int:
        """Deliver a message as a push subscription does, and return the HTTP status."""
        body = envelope(data, attributes=attributes, publish_time=publish_time)
        return self.post(body)

    def push_cloud_event(self, data: Any) -> int:
        """Deliver the same message as an event in binary mode, as Eventarc does."""
        headers = {
            "ce-id": "m-1",
            "ce-source": "//pubsub.googleapis.com/projects/starling-lab/topics/t",
            "ce-specversion": "1.0",
            "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        }
        return self.post(envelope(data), headers=headers)

    def post(self, body: Any, *, headers: Mapping[str, str] | None = None) -> int:
        """Deliver a body of any form."""
        return int(self._client.post("/", json=body, headers=headers).status_code)


def envelope(data: Any, *, attributes: Any = None, publish_time: Any = None) -> dict[str, Any]:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    message = {
        "data": base64.b64encode(raw).decode(),
        "messageId": "m-1",
        "publishTime": publish_time or datetime.now(UTC).isoformat(),
    }
    if attributes is not None:
        message["attributes"] = attributes
    return {"message": message, "subscription": "projects/starling-lab/subscriptions/s"}


def payload(name: str) -> Any:
    return load_event(name)


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write the configuration that the functions of the test read; an empty one by default."""
    path = tmp_path / "prestream.yaml"
    path.write_text("")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "starling-lab")
    monkeypatch.setenv("PRESTREAM_CONFIG", str(path))

    def write(text: str) -> None:
        path.write_text(text)

    return write


@pytest.fixture
def serve(
    configure: Callable[[str], None], publisher: RecordingPublisher
) -> Iterator[Callable[[str], Detector]]:
    del configure
    before = sys.modules.get("main")
    yield functools.partial(Detector, publisher=publisher)
    sys.modules.pop("main", None)
    if before is not None:
        sys.modules["main"] = before


Serve = Callable[[str], Detector]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Read the lines that were logged since the last look."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def the_line(lines: Lines) -> Mapping[str, Any]:
    (line,) = lines()
    return line


L4 = {
    "nodeSelector": {
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-spot": "true",
    },
    "tolerations": [
        {
            "key": "cloud.google.com/gke-spot",
            "operator": "Equal",
            "value": "true",
            "effect": "NoSchedule",
        },
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    ],
}
H100 = {
    "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"},
    "tolerations": [],
}


@pytest.mark.parametrize(
    ("name", "images", "placement"),
    [
        pytest.param(
            "audit-deployment-create",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.7.0"],
            L4,
            id="create",
        ),
        pytest.param(
            "audit-deployment-patch",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.9.0"],
            L4,
            id="patch",
        ),
        pytest.param(
            "audit-pod-create-by-raycluster",
            ["rayproject/ray-ml:2.9.0-gpu"],
            H100,
            id="pod-of-a-custom-resource",
        ),
        pytest.param(
            "audit-raycluster-with-body",
            ["rayproject/ray-ml:2.9.0-gpu"],
            H100,
            id="custom-resource",
        ),
        pytest.param(
            "audit-ephemeral-container",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.7.0", "nicolaka/netshoot:v0.13"],
            L4,
            id="ephemeral-container",
        ),
    ],
)
@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_the_images_of_a_workload_are_published(
    serve: Serve,
    publisher: RecordingPublisher,
    lines: Lines,
    form: str,
    name: str,
    images: list[str],
    placement: Any,
) -> None:
    entry = payload(name)

    status = getattr(serve(AUDIT_LOG), form)(entry)

    cause = {
        "kind": "audit_log",
        "id": entry["insertId"],
        "resource": entry["protoPayload"]["resourceName"],
    }
    assert status == 200
    assert publisher.published == [
        {
            "image": image,
            "cluster": CLUSTER,
            "placement": placement,
            "platform": "linux/amd64",
            "cause": cause,
            "force": False,
        }
        for image in images
    ]
    line = the_line(lines)
    assert (line["disposition"], line["severity"]) == ("handled", "INFO")
    assert line["published"] == images
    assert line["cause"] == cause
    assert (line["invalid_images"], line["excluded"]) == (0, 0)


@pytest.mark.parametrize(
    ("name", "images"),
    [
        pytest.param("build-success", [f"{TRAINER}:2026-03-02@{DIGEST}"], id="regional"),
        pytest.param(
            "build-success-tags-of-one-digest",
            [
                f"{TRAINER}:latest@{DIGEST}",
                f"gcr.io/starling-lab/trainer@{DIGEST}",
                f"{TRAINER}-base:1@{BASE_DIGEST}",
            ],
            id="several-tags",
        ),
    ],
)
@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
def test_the_images_that_a_build_pushed_are_published(
    serve: Serve,
    publisher: RecordingPublisher,
    lines: Lines,
    form: str,
    name: str,
    images: list[str],
) -> None:
    build = payload(name)

    status = getattr(serve(BUILD_NOTIFICATION), form)(build)

    cause = {"kind": "build", "id": build["id"], "resource": build["name"]}
    assert status == 200
    assert publisher.published == [
        {"image": image, "cause": cause, "force": False} for image in images
    ]
    line = the_line(lines)
    assert (line["disposition"], line["published"]) == ("handled", images)


@pytest.mark.parametrize(
    ("function", "name", "reason"),
    [
        (AUDIT_LOG, "audit-daemonset-of-the-system", "the namespace is one of the system's"),
        (AUDIT_LOG, "audit-deployment-delete", "the verb is delete"),
        (AUDIT_LOG, "audit-deployment-dry-run", "the request was a dry run"),
        (AUDIT_LOG, "audit-deployment-refused", "the request was refused"),
        (AUDIT_LOG, "audit-deployment-scale", "the sub-resource scale brings no images"),
        (AUDIT_LOG, "audit-deployment-split", "the entry is a piece of a split one"),
        (AUDIT_LOG, "audit-deployment-truncated", "the bodies were truncated"),
        (AUDIT_LOG, "audit-job-event", "the entry is not about a Kubernetes resource"),
        (AUDIT_LOG, "audit-job-of-ours", "the namespace is our own"),
        (AUDIT_LOG, "audit-nodepool-create", "the entry is not about a Kubernetes resource"),
        (
            AUDIT_LOG,
            "audit-pod-create-by-replicaset",
            "the object belongs to a built-in controller, whose own was seen",
        ),
        (AUDIT_LOG, "audit-pod-exec", "the sub-resource exec brings no images"),
        (AUDIT_LOG, "audit-pod-mirror", "the object names no image"),
        (AUDIT_LOG, "audit-pod-status-patch", "the sub-resource status brings no images"),
        (AUDIT_LOG, "audit-pod-without-accelerator", "no pod asks for an accelerator"),
        (AUDIT_LOG, "audit-raycluster-without-body", "the entry holds no object"),
        (AUDIT_LOG, "audit-service-create", "the object names no image"),
        (BUILD_NOTIFICATION, "build-failure", "the build has not succeeded"),
        (BUILD_NOTIFICATION, "build-success-pushed-in-a-step", "the build pushed no image"),
        (BUILD_NOTIFICATION, "build-working", "the build has not succeeded"),
    ],
)
def test_irrelevant_message_is_ignored_with_its_reason(
    serve: Serve,
    publisher: RecordingPublisher,
    lines: Lines,
    function: str,
    name: str,
    reason: str,
) -> None:
    body = payload(name)

    assert serve(function).push(body) == 200
    assert publisher.published == []
    line = the_line(lines)
    assert (line["disposition"], line["reason"]) == ("ignored", reason)
    assert line["cause"]["id"] == body.get("insertId", body.get("id"))


POISON = [
    pytest.param(b"", id="empty"),
    pytest.param(b"text", id="text"),
    pytest.param(b"\x00\xff\xfe", id="binary"),
    pytest.param(b'{"id": "b-1", "status": "SUCC', id="cut-off"),
    pytest.param(None, id="null"),
    pytest.param([], id="list"),
    pytest.param("text", id="string"),
    pytest.param(5, id="number"),
    pytest.param({}, id="no-fields"),
    pytest.param({"id": "b-1"}, id="id-alone"),
    pytest.param({"insertId": "i-1"}, id="insert-id-alone"),
    pytest.param({"id": 5, "status": 5, "resource": 5}, id="wrong-types"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested-without-end"),
    pytest.param(
        b'{"results": ' * 100_000 + b"{}" + b"}" * 100_000,
        id="objects-nested-without-end",
    ),
]


@pytest.mark.parametrize("function", [AUDIT_LOG, BUILD_NOTIFICATION])
@pytest.mark.parametrize("form", ["push", "push_cloud_event"])
@pytest.mark.parametrize("data", POISON)
def test_a_poison_message_is_acknowledged(
    serve: Serve,
    publisher: RecordingPublisher,
    lines: Lines,
    function: str,
    form: str,
    data: Any,
) -> None:
    assert getattr(serve(function), form)(data) == 200
    assert publisher.published == []
    line = the_line(lines)
    assert (line["disposition"], line["severity"]) == ("rejected", "ERROR")
    assert line["reason"]


@pytest.mark.parametrize("function", [AUDIT_LOG, BUILD_NOTIFICATION])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"data": "no base64!"}, id="no-base64"),
        pytest.param({"data": 5}, id="data-is-a-number"),
        pytest.param({"attributes": ["status"]}, id="attributes-are-a-list"),
        pytest.param({"publishTime": "yesterday"}, id="no-time"),
    ],
)
def test_a_poison_envelope_is_acknowledged(
    serve: Serve, lines: Lines, function: str, change: dict[str, Any]
) -> None:
    body = envelope({})
    body["message"] |= change

    assert serve(function).post(body) == 200
    assert the_line(lines)["disposition"] == "rejected"


@pytest.mark.parametrize(
    ("function", "good"),
    [(AUDIT_LOG, "audit-deployment-create"), (BUILD_NOTIFICATION, "build-success")],
)
def test_after_poison_the_next_message_is_served(
    serve: Serve, publisher: RecordingPublisher, function: str, good: str
) -> None:
    detector = serve(function)

    statuses = [detector.push(b"text"), detector.push(payload(good))]

    assert statuses == [200, 200]
    assert publisher.published


def test_the_status_attribute_settles_a_build_before_its_data_is_read(
    serve: Serve, lines: Lines
) -> None:
    attributes = {"buildId": "b-7", "status": "TIMEOUT"}

    assert serve(BUILD_NOTIFICATION).push(b"unread", attributes=attributes) == 200
    line = the_line(lines)
    assert (line["disposition"], line["status"]) == ("ignored", "TIMEOUT")
    assert line["cause"]["id"] == "b-7"


@pytest.mark.parametrize(
    ("function", "name"),
    [(AUDIT_LOG, "audit-deployment-create"), (BUILD_NOTIFICATION, "build-success")],
)
@pytest.mark.parametrize(
    ("hours", "configuration", "disposition"),
    [
        pytest.param(23, "", "handled", id="young"),
        pytest.param(25, "", "ignored", id="old"),
        pytest.param(25, "max_event_age_hours: 0", "handled", id="no-limit"),
        pytest.param(2, "max_event_age_hours: 1", "ignored", id="own-limit"),
    ],
)
def test_a_message_that_is_too_old_is_ignored(
    serve: Serve,
    configure: Callable[[str], None],
    lines: Lines,
    function: str,
    name: str,
    hours: int,
    configuration: str,
    disposition: str,
) -> None:
    configure(configuration)
    publish_time = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()

    assert serve(function).push(payload(name), publish_time=publish_time) == 200
    assert the_line(lines)["disposition"] == disposition


@pytest.mark.parametrize(
    ("configuration", "name", "images"),
    [
        pytest.param(
            "accelerators_only: false", "audit-pod-without-accelerator", ["nginx:1.29"], id="all"
        ),
        pytest.param(
            "exclude: ['docker.io/*']",
            "audit-deployment-create",
            ["gcr.io/starling-lab/weights:7"],
            id="exclude",
        ),
        pytest.param(
            "include: ['docker.io/anyscale/*']",
            "audit-deployment-create",
            ["anyscale/ray-ml:2.7.0"],
            id="include",
        ),
        pytest.param("exclude: ['*']", "audit-deployment-create", [], id="exclude-all"),
        pytest.param("clusters: [gull]", "audit-deployment-create", [], id="another-cluster"),
        pytest.param(
            f"clusters: [{CLUSTER}]",
            "audit-deployment-create",
            ["gcr.io/starling-lab/weights:7", "anyscale/ray-ml:2.7.0"],
            id="cluster",
        ),
        pytest.param("namespace: vision", "audit-deployment-create", [], id="own-namespace"),
        pytest.param("system_namespaces: [vision]", "audit-deployment-create", [], id="system"),
    ],
)
def test_the_configuration_decides_which_images_are_published(
    serve: Serve,
    configure: Callable[[str], None],
    publisher: RecordingPublisher,
    configuration: str,
    name: str,
    images: list[str],
) -> None:
    configure(configuration)

    assert serve(AUDIT_LOG).push(payload(name)) == 200
    assert [request["image"] for request in publisher.published] == images


def test_build_needs_no_accelerator_but_follows_the_patterns(
    serve: Serve,
    configure: Callable[[str], None],
    publisher: RecordingPublisher,
    lines: Lines,
) -> None:
    configure("accelerators_only: true\nexclude: ['*/vision/*']\n")

    assert serve(BUILD_NOTIFICATION).push(payload("build-success-tags-of-one-digest")) == 200
    assert [request["image"] for request in publisher.published] == [
        f"gcr.io/starling-lab/trainer@{DIGEST}"
    ]
    assert the_line(lines)["excluded"] == 2


def test_one_invalid_image_does_not_cost_the_others(
    serve: Serve, publisher: RecordingPublisher, lines: Lines
) -> None:
    entry = payload("audit-deployment-create")
    pod = entry["protoPayload"]["response"]["spec"]["template"]["spec"]
    pod["initContainers"][0]["image"] = "Not An Image"

    assert serve(AUDIT_LOG).push(entry) == 200
    assert [request["image"] for request in publisher.published] == ["anyscale/ray-ml:2.7.0"]
    assert the_line(lines)["invalid_images"] == 1


@pytest.mark.parametrize(
    ("function", "name"),
    [(AUDIT_LOG, "audit-deployment-create"), (BUILD_NOTIFICATION, "build-success")],
)
@pytest.mark.parametrize(
    ("error", "status", "disposition"),
    [
        (TransientError("Pub/Sub is unavailable"), 503, "deferred"),
        (ConfigurationError("there is no topic"), 503, "blocked"),
        (RuntimeError("a bug"), 500, "failed"),
    ],
    ids=["transient", "configuration", "bug"],
)
def test_unpublished_message_is_redelivered(
    serve: Serve,
    publisher: RecordingPublisher,
    lines: Lines,
    function: str,
    name: str,
    error: Exception,
    status: int,
    disposition: str,
) -> None:
    detector = serve(function)
    publisher.error = error

    first = detector.push(payload(name))
    publisher.error = None
    second = detector.push(payload(name))

    assert (first, second) == (status, 200)
    assert [line["disposition"] for line in lines()] == [disposition, "handled"]
    assert publisher.published


@pytest.mark.parametrize(
    ("function", "name"),
    [(AUDIT_LOG, "audit-deployment-create"), (BUILD_NOTIFICATION, "build-success")],
)
def test_with_a_broken_configuration_poison_is_acknowledged_and_the_rest_kept(
    serve: Serve, configure: Callable[[str], None], lines: Lines, function: str, name: str
) -> None:
    configure("no_such_key: 1")
    detector = serve(function)

    broken = [detector.push(payload(name)), detector.push(b"text")]
    configure("")
    mended = detector.push(payload(name))

    assert (broken, mended) == ([503, 200], 200)
    assert [line["disposition"] for line in lines()] == ["blocked", "rejected", "handled"]


def test_principal_is_neither_published_nor_logged(
    serve: Serve, publisher: RecordingPublisher, lines: Lines
) -> None:
    entry = payload("audit-deployment-create")
    person = entry["protoPayload"]["authenticationInfo"]["principalEmail"]

    serve(AUDIT_LOG).push(entry)

    assert person
    assert person not in json.dumps([publisher.published, lines()])


_IMPORTS = """
import json, sys
import functions_framework

VENDORS = {"google", "grpc", "kubernetes", "requests", "urllib3", "pydantic"}
# The framework brings this one along; it is two small modules of its own.
FRAMEWORK = {"google", "google.cloud"}

def vendors():
    return sorted(
        name for name in sys.modules
        if name.split(".")[0] in VENDORS and name not in FRAMEWORK
        and not name.startswith("google.cloud.functions")
    )

name, source, body = sys.argv[1], sys.argv[2], sys.stdin.read()
client = functions_framework.create_app(f"handle_{name}", source).test_client()
status = client.post("/", data=body, content_type="application/json").status_code
ignoring = vendors()
sys.modules["main"].wiring.publisher._client
sys.stderr.write(json.dumps({"status": status, "ignoring": ignoring, "publishing": vendors()}))
"""


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (AUDIT_LOG, "audit-pod-without-accelerator"),
        (AUDIT_LOG, "audit-pod-create-by-replicaset"),
        (BUILD_NOTIFICATION, "build-success-pushed-in-a-step"),
        (BUILD_NOTIFICATION, "build-failure"),
    ],
)
@pytest.mark.usefixtures("configure")
def test_a_detector_that_ignores_a_message_imports_no_vendor(function: str, name: str) -> None:
    source = ROOT / "functions" / function / "main.py"

    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _IMPORTS, function, str(source)],
        input=json.dumps(envelope(payload(name))),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["disposition"] == "ignored"
    told = json.loads(done.stderr)
    assert (told["status"], told["ignoring"]) == (200, [])
    assert "grpc" in told["publishing"], "the control: publishing does import a vendor"
