"""Bad input on every topic: a clear line, an acknowledgement, and the next message is served."""

import http.client
import json
from datetime import timedelta
from typing import Any

import pytest

from sandbox.messaging import AUDIT, BUILDS, DEAD_LETTERS, GKE_EVENTS, REFERENCES
from tests.integration.pipelines import TIMEOUT_S, Pipeline


def dump(content: Any) -> bytes:
    """Return JSON, as it is published."""
    return json.dumps(content).encode()


FUNCTIONS = {
    BUILDS: "build_notification",
    AUDIT: "audit_log",
    REFERENCES: "image_reference",
    GKE_EVENTS: "pull_event",
}
NO_JSON = [
    pytest.param(b"\xff\xfe\x00", id="no text"),
    pytest.param(b"{", id="half of an object"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b'"text"', id="a string"),
    pytest.param(b"{}", id="an empty object"),
    pytest.param(b"[" * 100_000, id="deeper than any parser goes"),
]
CLUSTER_RESOURCE = {
    "type": "k8s_cluster",
    "labels": {"project_id": "demo", "location": "us-central1", "cluster_name": "gpu"},
}
POD_CREATED = {
    "serviceName": "k8s.io",
    "methodName": "io.k8s.core.v1.pods.create",
    "resourceName": "core/v1/namespaces/ml/pods/x",
    "request": {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            "containers": [{"image": "busybox", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]
        },
    },
}
EVENTS_LOG = "projects/demo/logs/events"


def reference(**fields: Any) -> bytes:
    return dump({"image": "docker.io/team/poison:1", **fields})


ODD = [
    pytest.param(REFERENCES, reference(image=None), id="reference: image is null"),
    pytest.param(REFERENCES, reference(image=["a"]), id="reference: image is a list"),
    pytest.param(REFERENCES, reference(image=""), id="reference: image is empty"),
    pytest.param(REFERENCES, reference(image="Upper/Case:1"), id="reference: image is none"),
    pytest.param(REFERENCES, reference(image="a" * 300), id="reference: image is too long"),
    pytest.param(REFERENCES, reference(cluster="gpu"), id="reference: cluster is no full name"),
    pytest.param(REFERENCES, reference(cluster=7), id="reference: cluster is a number"),
    pytest.param(REFERENCES, reference(placement=[]), id="reference: placement is a list"),
    pytest.param(
        REFERENCES,
        reference(placement={"nodeSelector": {"a": 1}}),
        id="reference: a label is a number",
    ),
    pytest.param(
        REFERENCES,
        reference(placement={"tolerations": [{"operator": "Maybe"}]}),
        id="reference: an unknown operator",
    ),
    pytest.param(REFERENCES, reference(platform="amd64"), id="reference: platform without os"),
    pytest.param(REFERENCES, reference(cause={"kind": "rumour"}), id="reference: an odd cause"),
    pytest.param(REFERENCES, reference(force="yes"), id="reference: force is a text"),
    pytest.param(BUILDS, dump({"id": "b"}), id="build: no status"),
    pytest.param(BUILDS, dump({"status": "SUCCESS"}), id="build: no id"),
    pytest.param(BUILDS, dump({"id": 7, "status": "SUCCESS"}), id="build: id is a number"),
    pytest.param(
        BUILDS,
        dump({"id": "b", "status": "SUCCESS", "results": {"images": {}}}),
        id="build: images are an object",
    ),
    pytest.param(AUDIT, dump({"resource": CLUSTER_RESOURCE}), id="audit: no payload"),
    pytest.param(AUDIT, dump({"protoPayload": POD_CREATED}), id="audit: no resource"),
    pytest.param(
        AUDIT,
        dump({"resource": CLUSTER_RESOURCE, "protoPayload": {"serviceName": "k8s.io"}}),
        id="audit: no method",
    ),
    pytest.param(
        AUDIT,
        dump({"resource": {"type": "k8s_cluster"}, "protoPayload": POD_CREATED}),
        id="audit: no cluster",
    ),
    pytest.param(GKE_EVENTS, dump({"logName": EVENTS_LOG}), id="event: no payload"),
    pytest.param(
        GKE_EVENTS,
        dump({"logName": EVENTS_LOG, "jsonPayload": {"reason": "Pulled"}}),
        id="event: of nothing",
    ),
    pytest.param(GKE_EVENTS, dump({"logName": EVENTS_LOG, "jsonPayload": []}), id="event: a list"),
]


def serve_next(pipeline: Pipeline, topic: str) -> None:
    """Publish a sound message to a topic, and wait until it is served."""
    sound: dict[str, dict[str, Any]] = {
        BUILDS: {"id": "b", "status": "WORKING"},
        AUDIT: {"resource": {"type": "gce_instance"}, "protoPayload": {}},
        REFERENCES: {
            "image": "docker.io/team/sound:1",
            "cluster": "projects/demo/locations/us-central1/clusters/other",
        },
        GKE_EVENTS: {"logName": "projects/demo/logs/other", "jsonPayload": {}},
    }
    message = pipeline.publish(topic, sound[topic])
    assert pipeline.statuses(message) == [200]


def check_rejected(pipeline: Pipeline, topic: str, data: bytes) -> None:
    function = FUNCTIONS[topic]

    message = pipeline.publish(topic, data)
    line = pipeline.line(message, "rejected", function)

    assert pipeline.statuses(message) == [200]
    assert len(pipeline.lines(message, function)) == 1
    assert line["severity"] == "ERROR"
    assert line["reason"]
    assert line["reason"] in line["message"]
    serve_next(pipeline, topic)


@pytest.mark.parametrize("data", NO_JSON)
@pytest.mark.parametrize("topic", FUNCTIONS)
def test_foreign_message_is_rejected(pipeline: Pipeline, topic: str, data: bytes) -> None:
    check_rejected(pipeline, topic, data)


@pytest.mark.parametrize(("topic", "data"), ODD)
def test_message_with_an_odd_field_is_rejected(pipeline: Pipeline, topic: str, data: bytes) -> None:
    check_rejected(pipeline, topic, data)


def test_one_invalid_image_costs_the_others_nothing(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/beside-an-invalid-one")
    images = [{"name": "No Image"}, {"name": image}, {"name": 7}]
    build = {"id": "build-odd", "status": "SUCCESS", "results": {"images": images}}

    message = pipeline.publish(BUILDS, build)
    line = pipeline.line(message, "handled", "build_notification")

    assert line["invalid_images"] == 2
    assert line["published"] == [image]
    assert len(pipeline.announced(image)) == 1
    assert pipeline.warmup(image)["outcome"] == "pulled"


@pytest.mark.parametrize("topic", FUNCTIONS)
def test_message_without_data_becomes_a_dead_letter(pipeline: Pipeline, topic: str) -> None:
    function = pipeline.cloud.functions[FUNCTIONS[topic]]
    own = f"empty-{topic}"
    # The framework refuses it before our code, so that only the dead-letter policy bounds it.
    pipeline.push(own, function.url, attempts=5, back_off=timedelta(milliseconds=5))

    message = pipeline.publish(own, b"", {"odd": topic})
    assert pipeline.pubsub.wait_for(lambda: bool(dead_letters(pipeline, topic)), TIMEOUT_S)

    assert len(dead_letters(pipeline, topic)) == 1
    assert pipeline.lines(message, FUNCTIONS[topic]) == []
    answers = [each.status for each in pipeline.pubsub.deliveries if each.message_id == message]
    assert len(answers) == 5
    assert not set(answers) & {200, 204}
    serve_next(pipeline, topic)


def dead_letters(pipeline: Pipeline, odd: str) -> list[Any]:
    letters = pipeline.messages(DEAD_LETTERS)
    return [letter for letter in letters if letter.attributes.get("odd") == odd]


BODIES = [
    pytest.param(b"text", "text/plain", id="text"),
    pytest.param(b"{", "application/json", id="half of an object"),
    pytest.param(b"[]", "application/json", id="a list"),
    pytest.param(b'{"message": 7, "subscription": "s"}', "application/json", id="no message"),
    pytest.param(b"", "application/json", id="nothing"),
]


@pytest.mark.parametrize(("body", "content_type"), BODIES)
@pytest.mark.parametrize("topic", FUNCTIONS)
def test_body_that_is_no_event_is_refused_and_the_next_message_served(
    pipeline: Pipeline, topic: str, body: bytes, content_type: str
) -> None:
    url = pipeline.cloud.functions[FUNCTIONS[topic]].url
    connection = http.client.HTTPConnection(
        url.removeprefix("http://").strip("/"), timeout=TIMEOUT_S
    )

    connection.request("POST", "/", body, {"Content-Type": content_type})
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert 400 <= answer.status < 600
    serve_next(pipeline, topic)


@pytest.mark.parametrize("topic", FUNCTIONS)
def test_data_that_is_no_base64_is_rejected(pipeline: Pipeline, topic: str) -> None:
    function = pipeline.cloud.functions[FUNCTIONS[topic]]
    number = f"odd-{topic}"
    message = {"data": "§", "messageId": number, "publishTime": "2024-05-17T09:31:04Z"}
    body = json.dumps({"message": message, "subscription": "s"})
    connection = http.client.HTTPConnection(
        function.url.removeprefix("http://").strip("/"), timeout=TIMEOUT_S
    )

    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()

    assert answer.status == 200
    assert "base64" in pipeline.line(number, "rejected", FUNCTIONS[topic])["reason"]
    serve_next(pipeline, topic)
