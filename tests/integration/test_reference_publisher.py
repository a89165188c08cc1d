"""The publisher of image references, against the sandbox's Pub/Sub."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from google.cloud import pubsub_v1

from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.pubsub.message import Message
from sandbox.pubsub.pubsub_server import PubsubServer
from shared.clients.endpoint import Endpoints
from shared.clients.publisher import ReferencePublisher
from shared.domain.image_reference import parse_reference
from shared.domain.placement import Placement
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import ConfigurationError, TransientError
from shared.messages.image_request import parse_reference_request
from shared.messages.pubsub_message import PubsubMessage

pytestmark = pytest.mark.integration

TOPIC = "projects/demo/topics/prestream-image-references"
PLAIN = ReferenceRequest("nginx:1.27", parse_reference("nginx:1.27"))
FULL = ReferenceRequest(
    "anyscale/ray-ml:2.7.0",
    parse_reference("anyscale/ray-ml:2.7.0"),
    cluster="projects/demo/locations/us-central1/clusters/gpu",
    placement=Placement.from_json(
        {
            "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        }
    ),
    platform="linux/amd64",
    cause=Cause("audit_log", "insert-7", "apps/v1/namespaces/ml/deployments/trainer"),
    force=True,
)


@dataclass(frozen=True)
class Service:
    faults: Faults
    server: PubsubServer
    publisher: ReferencePublisher

    def published(self) -> list[Message]:
        return self.server.messages(TOPIC)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    faults = Faults()
    server = PubsubServer(Clock(), faults).start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
    with pubsub_v1.PublisherClient() as admin:
        admin.create_topic(name=TOPIC)
    endpoints = Endpoints.from_environ({"PUBSUB_EMULATOR_HOST": server.address})
    yield Service(faults, server, ReferencePublisher("demo", emulator_host=endpoints.pubsub))
    server.stop()


@pytest.mark.parametrize("request_", [PLAIN, FULL], ids=["plain", "full"])
def test_published_reference_is_read_back_unchanged(
    service: Service, request_: ReferenceRequest
) -> None:
    service.publisher.publish([request_])

    (message,) = service.published()
    assert json.loads(message.data) == request_.as_json()
    assert message.attributes == request_.attributes
    arrived = PubsubMessage(message.message_id, message.publish_time, message.data)
    # A forced request is identified by its message, also in the copies for each region.
    forced_by = message.message_id if request_.force else None
    assert parse_reference_request(arrived) == replace(request_, forced_by=forced_by)


def test_references_of_a_message_keep_their_order(service: Service) -> None:
    texts = [f"team/tool:{number}" for number in range(1_001)]

    service.publisher.publish([ReferenceRequest(text, parse_reference(text)) for text in texts])

    assert [message.attributes["image"] for message in service.published()] == texts


def test_empty_list_is_not_published(service: Service) -> None:
    service.publisher.publish([])

    assert service.published() == []


def test_topic_that_is_not_there_is_the_deployment_s_fault(service: Service) -> None:
    publisher = ReferencePublisher("elsewhere", emulator_host=service.server.address)

    with pytest.raises(ConfigurationError, match="projects/elsewhere/topics/prestream"):
        publisher.publish([PLAIN])


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refusal_is_the_deployment_s_fault(service: Service, status: int) -> None:
    service.faults.add(Fault("pubsub", "Publish", status=status))

    with pytest.raises(ConfigurationError, match="cannot publish to projects/demo"):
        service.publisher.publish([PLAIN])


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_unavailable_service_is_transient_and_called_once(service: Service, status: int) -> None:
    # A second call would succeed; without one, the delivery ends soon.
    service.faults.add(Fault("pubsub", "Publish", status=status, times=1))

    with pytest.raises(TransientError, match="cannot publish to projects/demo"):
        service.publisher.publish([PLAIN])

    assert service.published() == []


def test_lost_answer_publishes_what_will_be_published_again(service: Service) -> None:
    service.faults.add(Fault("pubsub", "Publish", applied=True, times=1))
    with pytest.raises(TransientError):
        service.publisher.publish([PLAIN])

    service.publisher.publish([PLAIN])

    assert len(service.published()) == 2
