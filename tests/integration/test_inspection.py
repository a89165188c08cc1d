"""Reads of Google's services over real sockets, and how each answer is classified."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask
import pytest
import yaml

from cli.doctor import google_requests
from cli.doctor.checks import enabled_apis as apis
from cli.doctor.checks.cluster_checks import (
    FoundCluster,
    examine_description,
    find_clusters,
)
from cli.doctor.checks.message_flow import DEAD_LETTERS, SUBSCRIPTIONS
from cli.doctor.checks.project_checks import examine_projects
from cli.doctor.google_reader import GoogleReader
from cli.doctor.response import NotFound, Service, Unavailable
from sandbox.http_service import GoogleApiError, HttpServer, answer_api_errors
from shared.clients.endpoint import Endpoints
from shared.domain.cluster import ClusterName
from shared.settings.keys import Settings, make_settings
from shared.settings.yaml_file import Document

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NAME = ClusterName("demo", "us-central1", "gpu")
SERVICES: tuple[Service, ...] = (
    "artifactregistry",
    "cloudresourcemanager",
    "compute",
    "container",
    "logging",
    "monitoring",
    "pubsub",
    "secretmanager",
    "serviceusage",
)


class Google:
    """
    All of Google's services at one address, with answers in the form of their documents.

    A path without an answer is refused, as Google refuses an identity without rights.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        app = flask.Flask(__name__)
        answer_api_errors(app)
        app.add_url_rule("/<path:path>", view_func=self._answer, methods=["GET", "POST"])
        self.server = HttpServer(app)

    def inspector(self) -> GoogleReader:
        address = f"http://{self.server.address}"
        return GoogleReader(Endpoints(), bases=dict.fromkeys(SERVICES, address))

    def _answer(self, path: str) -> Any:
        self.asked.append(f"{flask.request.method} {path}")
        answer = self.answers.get(path)
        if isinstance(answer, GoogleApiError):
            raise answer
        if answer is None:
            raise GoogleApiError(403, f"Permission denied on {path}")
        return answer


@pytest.fixture
def google() -> Iterator[Google]:
    double = Google()
    double.server.start()
    yield double
    double.server.stop()


def settings(text: str = "") -> Settings:
    environ = {"GOOGLE_CLOUD_PROJECT": "demo"}
    return make_settings(Document(yaml.safe_load(text) or {}), environ, name="prestream.yaml")


LOOK = google_requests.sink("demo", "prestream-audit")


def test_answer_is_read_once(google: Google) -> None:
    google.answers[LOOK.path] = {"name": "prestream-audit"}
    inspector = google.inspector()

    assert inspector.read(LOOK) == {"name": "prestream-audit"}
    assert inspector.read(LOOK) == {"name": "prestream-audit"}
    assert google.asked == [f"GET {LOOK.path}"]


def test_missing_resource_is_not_found(google: Google) -> None:
    google.answers[LOOK.path] = GoogleApiError(404, "Sink prestream-audit does not exist")

    assert isinstance(google.inspector().read(LOOK), NotFound)


def test_forbidden_resource_names_the_permission_and_the_command(
    google: Google,
) -> None:
    reading = google.inspector().read(LOOK)

    assert isinstance(reading, Unavailable)
    assert reading.permission == "logging.sinks.get"
    assert reading.reason.startswith("403 Permission denied")
    assert reading.fix == (
        "gcloud projects add-iam-policy-binding demo --role=roles/logging.viewer"
        ' --member="user:$(gcloud config get account)"'
    )


def test_api_that_is_off_is_no_missing_right(google: Google) -> None:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": "logging.googleapis.com", "consumer": "projects/1234"},
    }
    google.answers[LOOK.path] = GoogleApiError(403, "Cloud Logging API is disabled", details=[info])

    reading = google.inspector().read(LOOK)

    assert isinstance(reading, Unavailable)
    assert reading.permission is None
    assert reading.fix == "gcloud services enable logging.googleapis.com --project=1234"


def test_missing_login_names_the_command(google: Google) -> None:
    google.answers[LOOK.path] = GoogleApiError(
        401, "Request had invalid authentication credentials"
    )

    reading = google.inspector().read(LOOK)

    assert isinstance(reading, Unavailable)
    assert reading.fix == "gcloud auth application-default login"


def test_inspection_without_credentials_makes_no_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))

    reading = GoogleReader(Endpoints()).read(LOOK)

    assert isinstance(reading, Unavailable)
    assert reading.reason.startswith("credentials are missing: ")
    assert reading.fix == "gcloud auth application-default login"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(GoogleApiError(503, "try again"), id="unavailable"),
        pytest.param(("<html>", 404), id="no-answer-of-the-api"),
        pytest.param(("[]", 200), id="no-object"),
        pytest.param(("{", 200), id="no-json"),
    ],
)
def test_unexpected_answer_is_unavailable(google: Google, answer: Any) -> None:
    google.answers[LOOK.path] = answer

    reading = google.inspector().read(LOOK)

    assert isinstance(reading, Unavailable)
    assert reading.permission is None


def test_service_that_does_not_answer_is_not_seen(google: Google) -> None:
    inspector = google.inspector()
    google.server.stop()

    reading = inspector.read(LOOK)

    assert isinstance(reading, Unavailable)
    assert reading.reason.startswith("no answer: ")


def test_request_for_a_local_cloud_never_reaches_google() -> None:
    inspector = GoogleReader(Endpoints(pubsub="127.0.0.1:9"))

    reading = inspector.read(LOOK)

    assert reading == Unavailable(str(LOOK), "it has no local service")


CLUSTER: dict[str, Any] = {
    "name": "gpu",
    "location": "us-central1",
    "loggingConfig": {"componentConfig": {"enableComponents": ["SYSTEM_COMPONENTS"]}},
    "nodePoolDefaults": {"nodeConfigDefaults": {"gcfsConfig": {"enabled": True}}},
    "networkConfig": {
        "subnetwork": "projects/demo/regions/us-central1/subnetworks/nodes",
        "defaultEnablePrivateNodes": True,
    },
    "nodePools": [
        {
            "name": "l4",
            "config": {
                "accelerators": [{"acceleratorType": "nvidia-l4"}],
                "imageType": "COS_CONTAINERD",
                "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
                "serviceAccount": "nodes@demo.iam.gserviceaccount.com",
            },
        }
    ],
}

CONFIG = """
upstreams:
  nvcr.io:
    username: $oauthtoken
    password_secret_version: projects/demo/secrets/ngc/versions/3
    paths: ["nvidia/*"]
"""


def enabled_apis() -> dict[str, Any]:
    needed = {**apis.OF_CLUSTERS, **apis.OF_IMAGES, **apis.OF_PIPELINE, **apis.WITH_CREDENTIALS}
    return {
        "services": [
            {"name": f"projects/1234/services/{each}", "state": "ENABLED"} for each in needed
        ]
    }


def deploy(google: Google) -> None:
    """Let the project be as Terraform makes it."""
    topic = "projects/demo/topics"
    writer = "serviceAccount:service-1@gcp-sa-logging.iam.gserviceaccount.com"
    nodes = "serviceAccount:nodes@demo.iam.gserviceaccount.com"
    agent = "serviceAccount:service-1234@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    login = {
        "username": "$oauthtoken",
        "passwordSecretVersion": "projects/demo/secrets/ngc/versions/3",
    }
    mirror = "v1/projects/demo/locations/us-central1/repositories/nvcr-io-mirror"
    google.answers |= {
        "v1/projects/demo/services:batchGet": enabled_apis(),
        "v1/projects/demo": {"projectId": "demo", "projectNumber": "1234"},
        "v1/projects/demo:getIamPolicy": {
            "bindings": [
                {"role": "roles/artifactregistry.reader", "members": [nodes]},
                {"role": "roles/serviceusage.serviceUsageConsumer", "members": [nodes]},
            ]
        },
        "v1/projects/demo/locations/-/clusters": {"clusters": [CLUSTER]},
        "compute/v1/projects/demo/regions/us-central1/subnetworks/nodes": {
            "privateIpGoogleAccess": True
        },
        mirror: {
            "format": "DOCKER",
            "mode": "REMOTE_REPOSITORY",
            "remoteRepositoryConfig": {
                "commonRepository": {"uri": "https://nvcr.io"},
                "upstreamCredentials": {"usernamePasswordCredentials": login},
            },
        },
        f"{mirror}:getIamPolicy": {"etag": "ACAB"},
        "v1/projects/demo/secrets/ngc:getIamPolicy": {
            "bindings": [{"role": "roles/secretmanager.secretAccessor", "members": [agent]}]
        },
        "v1/projects/demo/secrets/ngc/versions/3": {"state": "ENABLED"},
        "v3/projects/demo/timeSeries": {
            "timeSeries": [{"points": [{"value": {"int64Value": "0"}}]}]
        },
    }
    for name in ("prestream-audit", "prestream-gke-events"):
        google.answers[f"v2/projects/demo/sinks/{name}"] = {
            "destination": f"pubsub.googleapis.com/{topic}/{name}",
            "writerIdentity": writer,
        }
        google.answers[f"v1/{topic}/{name}:getIamPolicy"] = {
            "bindings": [{"role": "roles/pubsub.publisher", "members": [writer]}]
        }
    for name, source in {**SUBSCRIPTIONS, DEAD_LETTERS: DEAD_LETTERS}.items():
        google.answers[f"v1/projects/demo/subscriptions/{name}"] = {
            "topic": f"{topic}/{source}",
            "pushConfig": {
                "pushEndpoint": "https://x.a.run.app",
                "oidcToken": {"serviceAccountEmail": "prestream-invoker@x"},
            },
            "deadLetterPolicy": {"deadLetterTopic": f"{topic}/{DEAD_LETTERS}"},
        }


def examine(google: Google) -> dict[str, set[str]]:
    """Return the verdicts of the checks of projects, by their names."""
    inspector, chosen = google.inspector(), settings(CONFIG)
    found, problems = find_clusters(chosen, inspector, [])
    checks = [*problems, *examine_projects(chosen, inspector, [NAME], NOW)]
    for each in found or [FoundCluster(NAME, Unavailable("x", "y"))]:
        checks += examine_description(chosen, inspector, each, ["demo"])
    verdicts: dict[str, set[str]] = {}
    for check in checks:
        verdicts.setdefault(check.name, set()).add(check.verdict)
    return verdicts


def test_deployment_by_terraform_is_ok(google: Google) -> None:
    deploy(google)

    assert {name: found for name, found in examine(google).items() if found != {"ok"}} == {}


def test_inspection_changes_nothing(google: Google) -> None:
    deploy(google)

    examine(google)

    posted = [each for each in google.asked if not each.startswith("GET ")]
    assert posted == ["POST v1/projects/demo:getIamPolicy"]


def test_identity_without_rights_gets_only_unknown_checks(google: Google) -> None:
    verdicts = examine(google)

    assert verdicts.pop("mirror-region") == {"ok"}
    assert set().union(*verdicts.values()) == {"unknown"}


def test_agent_that_may_not_read_the_secret_is_found_out(google: Google) -> None:
    deploy(google)
    google.answers["v1/projects/demo/secrets/ngc:getIamPolicy"] = {"etag": json.dumps(1)}

    assert examine(google)["secret-access"] == {"failed"}


def test_in_an_organization_a_missing_grant_is_not_certain(google: Google) -> None:
    deploy(google)
    google.answers["v1/projects/demo"]["parent"] = {"type": "folder", "id": "7"}
    google.answers["v1/projects/demo:getIamPolicy"] = {"bindings": []}

    verdicts = examine(google)

    assert verdicts["node-reads-images"] == {"warning"}
    assert verdicts["node-uses-services"] == {"warning"}
