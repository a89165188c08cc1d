"""
One suite for every Pub/Sub that the project runs on, by the real clients and over real sockets.

The suite always tests the sandbox's own server, and the server of PUBSUB_EMULATOR_HOST if that is
set, such as Google's emulator. `Traits` lists the known differences of Google's emulator from the
service; the tests check them too, so that they fail when a difference ends.
"""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient as GeneratedPublisherClient

from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.pubsub.pubsub_server import PubsubServer
from tests.contract.pubsub_services import (
    OFFICIAL,
    OFFICIAL_ADDRESS,
    SERVICES,
    TIMEOUT_S,
    Receiver,
    Service,
    Traits,
    receive,
)

FIVE_NACKS = 5


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive() as receiver:
        yield receiver


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    if request.param == "official":
        assert OFFICIAL_ADDRESS
        yield Service("official", OFFICIAL_ADDRESS, OFFICIAL)
        return
    server = PubsubServer(Clock(), Faults()).start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
    yield Service("embedded", server.address, Traits())
    server.stop()


@pytest.fixture
def publisher(service: Service) -> Iterator[pubsub_v1.PublisherClient]:
    assert os.environ["PUBSUB_EMULATOR_HOST"] == service.address
    client = pubsub_v1.PublisherClient()
    yield client
    client.stop()
    client.transport.close()


@pytest.fixture
def subscriber(service: Service) -> Iterator[pubsub_v1.SubscriberClient]:
    assert os.environ["PUBSUB_EMULATOR_HOST"] == service.address
    client = pubsub_v1.SubscriberClient()
    yield client
    client.close()


def unique(kind: str) -> str:
    return f"projects/demo/{kind}/t-{uuid.uuid4().hex}"


@pytest.fixture
def topic(publisher: pubsub_v1.PublisherClient) -> str:
    name: str = publisher.create_topic(name=unique("topics")).name
    return name


Subscribe = Callable[..., str]


@pytest.fixture
def push_to(subscriber: pubsub_v1.SubscriberClient, topic: str, receiver: Receiver) -> Subscribe:
    """Create a push subscription of the topic to the receiver, with more fields if given."""

    def subscribe(**fields: Any) -> str:
        push_config = {"push_endpoint": receiver.url, **fields.pop("push_config", {})}
        request = {
            "name": unique("subscriptions"),
            "topic": topic,
            "push_config": push_config,
            # The shortest there is, for servers that would otherwise rest longer.
            "retry_policy": {"minimum_backoff": {"nanos": 1}, "maximum_backoff": {"nanos": 1}},
            **fields,
        }
        name: str = subscriber.create_subscription(request=request).name
        return name

    return subscribe


def publish(client: pubsub_v1.PublisherClient, topic: str, data: bytes, **attributes: str) -> str:
    publishing: Any = client.publish
    message_id: str = publishing(topic, data, **attributes).result(timeout=TIMEOUT_S)
    return message_id


def is_refused(call: Callable[[], object]) -> bool:
    """Whether a call is answered that its request could never succeed."""
    try:
        call()
    except exceptions.BadRequest:
        return True
    return False


class TestTopics:
    def test_topic_is_created_once(self, publisher: pubsub_v1.PublisherClient, topic: str) -> None:
        with pytest.raises(exceptions.AlreadyExists):
            publisher.create_topic(name=topic)

    @pytest.mark.parametrize(
        "name",
        ["projects/demo/topics/ab", "projects/demo/topics/9lives", "projects/demo/topics/googlies"],
    )
    def test_names_are_checked(self, publisher: pubsub_v1.PublisherClient, name: str) -> None:
        with pytest.raises(exceptions.InvalidArgument):
            publisher.create_topic(name=name)


class TestPublishing:
    def test_each_message_gets_its_own_id(
        self, publisher: pubsub_v1.PublisherClient, topic: str
    ) -> None:
        ids = {publish(publisher, topic, b"same") for _ in range(3)}

        assert len(ids) == 3

    def test_publishing_to_missing_topic_is_refused(
        self, publisher: pubsub_v1.PublisherClient
    ) -> None:
        with pytest.raises(exceptions.NotFound):
            publish(publisher, unique("topics"), b"data")

    @pytest.mark.parametrize("messages", [[], [types.PubsubMessage()]], ids=["none", "empty"])
    def test_empty_message_is_refused(
        self, publisher: pubsub_v1.PublisherClient, topic: str, messages: list[types.PubsubMessage]
    ) -> None:
        # The client proper never sends such a request: it publishes in batches of what it is given.
        client = GeneratedPublisherClient(transport=publisher.transport)

        with pytest.raises(exceptions.InvalidArgument):
            client.publish(topic=topic, messages=messages)

    def test_message_of_several_megabytes_is_delivered(
        self,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        data = b"x" * 9_000_000
        push_to()

        publish(publisher, topic, data)

        assert receiver.next().data == data


class TestSubscriptions:
    def test_subscription_is_created_once(
        self, subscriber: pubsub_v1.SubscriberClient, topic: str, push_to: Subscribe
    ) -> None:
        name = push_to()

        with pytest.raises(exceptions.AlreadyExists):
            subscriber.create_subscription(name=name, topic=topic)

    def test_subscription_gets_later_messages_only(
        self,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        publish(publisher, topic, b"before")
        push_to()
        publish(publisher, topic, b"", kind="attributes only")

        assert receiver.next().body["message"]["attributes"] == {"kind": "attributes only"}

    def test_endpoint_can_be_removed_and_set_again(
        self,
        publisher: pubsub_v1.PublisherClient,
        subscriber: pubsub_v1.SubscriberClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        name = push_to()
        subscriber.modify_push_config(subscription=name, push_config=types.PushConfig())
        message_id = publish(publisher, topic, b"waiting")
        assert receiver.pushes.empty()
        endpoint = types.PushConfig(push_endpoint=receiver.url)
        subscriber.modify_push_config(subscription=name, push_config=endpoint)

        assert receiver.next().body["message"]["messageId"] == message_id

    def test_subscription_needs_its_topic(self, subscriber: pubsub_v1.SubscriberClient) -> None:
        with pytest.raises(exceptions.NotFound):
            subscriber.create_subscription(name=unique("subscriptions"), topic=unique("topics"))

    @pytest.mark.parametrize("seconds", [9, 601])
    def test_ack_deadline_is_checked(
        self,
        service: Service,
        subscriber: pubsub_v1.SubscriberClient,
        topic: str,
        seconds: int,
    ) -> None:
        request = {
            "name": unique("subscriptions"),
            "topic": topic,
            "ack_deadline_seconds": seconds,
        }

        refused = is_refused(lambda: subscriber.create_subscription(request=request))

        assert refused is (seconds > 600 or service.traits.ack_deadline_minimum)


class TestPushing:
    def test_message_is_wrapped(
        self,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        subscription = push_to()
        message_id = publish(publisher, topic, b"data", kind="build")

        push = receiver.next()

        message = push.body["message"]
        assert push.headers["content-type"].split(";")[0] == "application/json"
        assert "authorization" not in push.headers
        assert push.body["subscription"] == subscription
        assert push.body.keys() == {"message", "subscription"}
        assert (push.data, message["attributes"]) == (b"data", {"kind": "build"})
        assert message["messageId"] == message["message_id"] == message_id
        assert message["publishTime"] == message["publish_time"]
        assert datetime.fromisoformat(message["publishTime"]).tzinfo is not None

    @pytest.mark.parametrize("status", [102, 200, 201, 202, 204])
    def test_good_answer_acknowledges(
        self,
        service: Service,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
        status: int,
    ) -> None:
        push_to()
        receiver.answers.put(status)
        publish(publisher, topic, b"once")
        first = receiver.next()
        receiver.answers.put(500)
        publish(publisher, topic, b"twice")

        # Had the first message been nacked, it would come again before the second one does.
        later = [receiver.next().data for _ in range(2)]

        assert first.data == b"once"
        assert (b"once" not in later) is (status in service.traits.acknowledging)

    @pytest.mark.parametrize("status", [302, 400, 404, 415, 429, 500, 503])
    def test_other_answer_redelivers_the_message(
        self,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
        status: int,
    ) -> None:
        push_to()
        receiver.answers.put(status)
        message_id = publish(publisher, topic, b"again")

        ids = [receiver.next().body["message"]["messageId"] for _ in range(2)]

        assert ids == [message_id, message_id]

    def test_slow_answer_does_not_delay_another_message(
        self,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        released = threading.Event()
        receiver.gate = released.wait
        push_to()
        publish(publisher, topic, b"slow")
        publish(publisher, topic, b"other")

        arrived = {receiver.next().data for _ in range(2)}
        released.set()

        assert arrived == {b"slow", b"other"}


class TestFilters:
    def test_filter_drops_messages(
        self,
        service: Service,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        push_to(filter='attributes.status = "SUCCESS"')
        receiver.answers.put(500)
        publish(publisher, topic, b"no", status="FAILURE")
        publish(publisher, topic, b"yes", status="SUCCESS")

        # The first one comes twice; what is not filtered comes before that.
        expected = {b"yes"} if service.traits.filters else {b"yes", b"no"}
        arrived = {receiver.next().data for _ in range(len(expected) + 1)}

        assert arrived == expected

    def test_invalid_filter_is_refused(self, service: Service, push_to: Subscribe) -> None:
        refused = is_refused(lambda: push_to(filter="status is SUCCESS"))

        assert refused is service.traits.filters


class TestDeadLetters:
    def test_message_nacked_too_often_becomes_a_dead_letter(
        self,
        service: Service,
        publisher: pubsub_v1.PublisherClient,
        topic: str,
        push_to: Subscribe,
        receiver: Receiver,
    ) -> None:
        dead_letters = publisher.create_topic(name=unique("topics")).name
        burials = push_to(topic=dead_letters)
        for _ in range(FIVE_NACKS):
            receiver.answers.put(500)
        policy = {"dead_letter_topic": dead_letters, "max_delivery_attempts": FIVE_NACKS}
        source = push_to(dead_letter_policy=policy)
        publish(publisher, topic, b"poison", kind="build")

        attempts = [receiver.next().body.get("deliveryAttempt") for _ in range(FIVE_NACKS)]
        buried = receiver.next()

        numbered = list(range(1, FIVE_NACKS + 1))
        assert attempts == (numbered if service.traits.delivery_attempt else [None] * FIVE_NACKS)
        assert (buried.body["subscription"], buried.data) == (burials, b"poison")
        attributes = buried.body["message"]["attributes"]
        prefix = "CloudPubSubDeadLetterSource"
        assert attributes["kind"] == "build"
        assert attributes[f"{prefix}DeliveryCount"] == str(FIVE_NACKS)
        assert attributes[f"{prefix}Subscription"] == source.rsplit("/", 1)[-1]
        assert attributes[f"{prefix}SubscriptionProject"] == "demo"

    @pytest.mark.parametrize("attempts", [4, 101])
    def test_number_of_attempts_is_checked(
        self,
        publisher: pubsub_v1.PublisherClient,
        subscriber: pubsub_v1.SubscriberClient,
        topic: str,
        attempts: int,
    ) -> None:
        dead_letters = publisher.create_topic(name=unique("topics")).name
        request = {
            "name": unique("subscriptions"),
            "topic": topic,
            "dead_letter_policy": {
                "dead_letter_topic": dead_letters,
                "max_delivery_attempts": attempts,
            },
        }

        assert is_refused(lambda: subscriber.create_subscription(request=request))
