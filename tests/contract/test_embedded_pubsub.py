"""Faults, records and the end of the sandbox's Pub/Sub, which are not part of the API."""

import http.client
import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.pubsub.pubsub_server import PubsubServer
from sandbox.pubsub.push_dispatcher import PARALLEL_PUSHES

TIMEOUT_S = 20.0
TOPIC = "projects/demo/topics/events"
SUBSCRIPTION = "projects/demo/subscriptions/events"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(clock: Clock, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[PubsubServer]:
    started = PubsubServer(clock, faults).start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", started.address)
    yield started
    started.stop()


@pytest.fixture
def publisher(server: PubsubServer) -> Iterator[PublisherClient]:
    """The generated client, which sends a call as it is made and does not retry by itself."""
    transport = PublisherGrpcTransport(channel=grpc.insecure_channel(server.address))
    with PublisherClient(transport=transport) as client:
        client.create_topic(name=TOPIC)
        yield client


@pytest.fixture
def subscriber(server: PubsubServer) -> Iterator[Any]:
    assert server.address
    client = pubsub_v1.SubscriberClient()
    yield client
    client.close()


Endpoint = Callable[[Callable[[], int]], str]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Serve an endpoint whose answers a function gives, and return its URL."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def serve(answer: Callable[[], int]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(answer())
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def publish(client: PublisherClient, data: bytes = b"data", **attributes: str) -> None:
    message = types.PubsubMessage(data=data, attributes=attributes)
    client.publish(topic=TOPIC, messages=[message], retry=None)


def subscribe(client: Any, url: str, **fields: Any) -> None:
    request = {
        "name": SUBSCRIPTION,
        "topic": TOPIC,
        "push_config": {"push_endpoint": url},
        **fields,
    }
    client.create_subscription(request=request)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0, exceptions.ServiceUnavailable),
        (403, exceptions.PermissionDenied),
        (404, exceptions.NotFound),
        (429, exceptions.ResourceExhausted),
        (500, exceptions.InternalServerError),
        (503, exceptions.ServiceUnavailable),
    ],
)
def test_fault_is_answered_with_its_status(
    server: PubsubServer,
    publisher: PublisherClient,
    faults: Faults,
    status: int,
    error: type[Exception],
) -> None:
    faults.add(Fault("pubsub", f"^Publish {TOPIC}$", status=status, times=1))

    with pytest.raises(error):
        publish(publisher)
    assert server.messages(TOPIC) == []
    publish(publisher)
    assert len(server.messages(TOPIC)) == 1


def test_lost_answer_takes_effect(
    server: PubsubServer, publisher: PublisherClient, faults: Faults
) -> None:
    faults.add(Fault("pubsub", "Publish", applied=True, times=1))

    with pytest.raises(exceptions.ServiceUnavailable):
        publish(publisher)
    assert len(server.messages(TOPIC)) == 1


def test_stalled_call_meets_the_clients_deadline(
    publisher: PublisherClient, faults: Faults
) -> None:
    faults.add(Fault("pubsub", "Publish", stall_s=3600.0))

    with pytest.raises(exceptions.DeadlineExceeded):
        publisher.publish(
            topic=TOPIC, messages=[types.PubsubMessage(data=b"x")], retry=None, timeout=0.2
        )


def test_fault_can_have_the_message_of_the_service(
    publisher: PublisherClient, faults: Faults
) -> None:
    body = {"error": {"message": "quota exceeded for publishers"}}
    faults.add(Fault("pubsub", "Publish", status=429, body=body))

    with pytest.raises(exceptions.ResourceExhausted, match="quota exceeded for publishers"):
        publish(publisher)


def test_published_messages_can_be_read(
    server: PubsubServer, publisher: PublisherClient, clock: Clock
) -> None:
    clock.advance(timedelta(days=3))
    publish(publisher, b"data", kind="build")

    (message,) = server.messages(TOPIC)

    assert (message.data, dict(message.attributes)) == (b"data", {"kind": "build"})
    assert message.publish_time > datetime.now(UTC) + timedelta(days=2)
    with pytest.raises(KeyError):
        server.messages("projects/demo/topics/misspelt")


def test_every_delivery_is_recorded_and_settled_waits_for_the_last(
    server: PubsubServer, publisher: PublisherClient, subscriber: Any, endpoint: Endpoint
) -> None:
    answers = iter([500, 503, 204])
    subscribe(subscriber, endpoint(lambda: next(answers)))
    publish(publisher)

    assert server.settled(TIMEOUT_S)

    recorded = [(each.subscription, each.attempt, each.status) for each in server.deliveries]
    assert recorded == [(SUBSCRIPTION, 1, 500), (SUBSCRIPTION, 2, 503), (SUBSCRIPTION, 3, 204)]


def test_endpoint_that_is_not_there_is_recorded_and_tried_again(
    server: PubsubServer, publisher: PublisherClient, subscriber: Any
) -> None:
    subscribe(subscriber, "http://127.0.0.1:1/")
    publish(publisher)

    assert server.wait_for(lambda: len(server.deliveries) >= 2, TIMEOUT_S)
    assert server.deliveries[0].status is None
    assert "refused" in str(server.deliveries[0].error).lower()
    assert not server.settled(0)


def test_back_off_follows_the_retry_policy(
    server: PubsubServer, publisher: PublisherClient, subscriber: Any, endpoint: Endpoint
) -> None:
    long = {"minimum_backoff": {"seconds": 300}, "maximum_backoff": {"seconds": 600}}
    subscribe(subscriber, endpoint(lambda: 500), retry_policy=long)
    publish(publisher)

    assert server.wait_for(lambda: bool(server.deliveries), TIMEOUT_S)
    assert not server.settled(0.5)
    assert len(server.deliveries) == 1


def test_pushes_of_a_subscription_run_side_by_side_up_to_a_bound(
    server: PubsubServer, publisher: PublisherClient, subscriber: Any, endpoint: Endpoint
) -> None:
    arrived: queue.Queue[None] = queue.Queue()
    released = threading.Event()

    def answer() -> int:
        arrived.put(None)
        released.wait(TIMEOUT_S)
        return 200

    subscribe(subscriber, endpoint(answer))
    for _ in range(PARALLEL_PUSHES + 1):
        publish(publisher)
    for _ in range(PARALLEL_PUSHES):
        arrived.get(timeout=TIMEOUT_S)

    with pytest.raises(queue.Empty):
        arrived.get(timeout=0.3)
    released.set()
    assert server.settled(TIMEOUT_S)
    assert len(server.deliveries) == PARALLEL_PUSHES + 1


def test_lost_answer_of_an_endpoint_delivers_twice(
    server: PubsubServer,
    publisher: PublisherClient,
    subscriber: Any,
    endpoint: Endpoint,
    faults: Faults,
) -> None:
    received: queue.Queue[None] = queue.Queue()

    def answer() -> int:
        received.put(None)
        return 200

    faults.add(Fault("pubsub", f"^Push {SUBSCRIPTION}", applied=True, times=1))
    subscribe(subscriber, endpoint(answer))
    publish(publisher)

    assert server.settled(TIMEOUT_S)
    assert received.qsize() == 2
    assert [each.acknowledged for each in server.deliveries] == [False, True]


def test_stopping_ends_what_is_under_way_and_leaves_no_thread_behind(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung = threading.Event()
    released = threading.Event()

    def answer() -> int:
        hung.set()
        released.wait(TIMEOUT_S)
        return 200

    url = endpoint(answer)
    others = set(threading.enumerate())
    server = PubsubServer(Clock(), Faults()).start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    publisher.create_topic(name=TOPIC)
    subscribe(subscriber, url)
    publisher.publish(TOPIC, b"data").result(timeout=TIMEOUT_S)
    assert hung.wait(TIMEOUT_S)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server.stop()

    released.set()
    publisher.stop()
    started = set(threading.enumerate()) - others
    assert [each.name for each in started if each.name.startswith("pubsub-")] == []
    connection = http.client.HTTPConnection(server.address, timeout=TIMEOUT_S)
    with pytest.raises(OSError, match="refused"):
        connection.connect()
    subscriber.close()
