"""
A plain function, as people write it: every client is imported and made when it starts.

It does the least that each kind of delivery needs, without anything of what makes doing it twice,
or half, harmless: the second base of the benchmark.
"""

import base64
import json
import os
from datetime import UTC, datetime
from typing import Any

import functions_framework
import requests
from cloudevents.http import CloudEvent
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import artifactregistry_v1, logging, pubsub_v1
from kubernetes import client, config

_PROJECT = os.environ["GOOGLE_CLOUD_PROJECT"]
_REGISTRY = os.environ["ARTIFACT_REGISTRY_EMULATOR_HOST"]
_TOPIC = f"projects/{_PROJECT}/topics/prestream-image-references"
_MIRROR = f"projects/{_PROJECT}/locations/us-central1/repositories/dockerhub-mirror"
_NAMESPACE = "prestream"
_ABSENT, _EXISTS = 404, 409

config.load_kube_config()
_batch = client.BatchV1Api()
_publisher = pubsub_v1.PublisherClient()
_repositories = artifactregistry_v1.ArtifactRegistryClient(
    credentials=AnonymousCredentials(),
    client_options=ClientOptions(api_endpoint=f"http://{_REGISTRY}"),
    transport="rest",
)
_log = logging.Client(
    project=_PROJECT,
    credentials=AnonymousCredentials(),
    client_options=ClientOptions(
        api_endpoint=f"http://{os.environ['CLOUD_LOGGING_EMULATOR_HOST']}"
    ),
    _use_grpc=False,
).logger("naive")


@functions_framework.cloud_event
def handle_naive(event: CloudEvent) -> None:
    """Do what a message asks for, and say so in one line."""
    data = json.loads(base64.b64decode(event.data["message"]["data"]))
    if "image" in data:
        done = _warm(data["image"])
    elif "jsonPayload" in data:
        done = _report(data["jsonPayload"])
    else:
        done = _announce(data)
    print(json.dumps({"severity": "INFO", "done": done}), flush=True)


def _announce(data: dict[str, Any]) -> list[str]:
    """Publish the images of a build, or of a workload that was written."""
    built = data.get("results", {}).get("images", []) if data.get("status") == "SUCCESS" else []
    images = [each["name"] for each in built]
    entry = data.get("protoPayload", {})
    if "deployments" in entry.get("methodName", ""):
        pod = entry.get("response", entry["request"])["spec"]["template"]["spec"]
        images += [each["image"] for each in pod["containers"]]
    for each in images:
        _publisher.publish(_TOPIC, json.dumps({"image": each}).encode(), image=each).result()
    return images


def _warm(image: str) -> list[str]:
    """Make a Job for an image, unless there is one."""
    digest = _resolve(image)
    name = f"naive-{digest[7:27]}"
    try:
        _batch.read_namespaced_job(name, _NAMESPACE)
    except client.ApiException as exc:
        if exc.status != _ABSENT:
            raise
        # Only when an image needs warming: the mirror nearly always exists.
        _repositories.get_repository(name=_MIRROR)
        _batch.create_namespaced_job(_NAMESPACE, _job(name, image))
        return [name]
    return []


def _resolve(image: str) -> str:
    repository, _, tag = image.partition(":")
    answer = requests.get(
        f"http://{_REGISTRY}/v2/{_PROJECT}/dockerhub-mirror/{repository}/manifests/{tag}",
        headers={
            "Host": "us-central1-docker.pkg.dev",
            "Accept": "application/vnd.oci.image.index.v1+json,"
            "application/vnd.oci.image.manifest.v1+json,"
            "application/vnd.docker.distribution.manifest.list.v2+json,"
            "application/vnd.docker.distribution.manifest.v2+json",
        },
        timeout=10,
    )
    answer.raise_for_status()
    return answer.headers["Docker-Content-Digest"]


def _job(name: str, image: str) -> Any:
    container = {"name": "warm", "image": image, "command": ["true"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


def _report(event: dict[str, Any]) -> list[str]:
    """Write down what a node says of a pull."""
    if event.get("reason") != "Pulled":
        return []
    fact = {"message": event["message"], "pod": event["involvedObject"]["name"]}
    _log.log_struct(fact, timestamp=datetime.now(UTC))
    return [event["reason"]]
