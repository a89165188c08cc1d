"""The service ``google.pubsub.v1.Subscriber``: subscriptions and what is delivered by them."""

import grpc
from google.pubsub_v1 import types

from sandbox.pubsub.backlogs import Lease
from sandbox.pubsub.broker import Broker
from sandbox.pubsub.deliveries import received
from sandbox.pubsub.errors import invalid_argument
from sandbox.pubsub.resource_names import check_project, check_subscription, check_topic
from sandbox.pubsub.rpc import EMPTY, Gate, service_handler
from sandbox.pubsub.streaming import StreamingPulls
from sandbox.pubsub.subscriptions import (
    Subscription,
    changed_config,
    check_config,
    check_push_config,
)

_ACK_DEADLINE_S = range(601)
_PULL_WAIT_S = 90.0
"""How long a pull waits for a first message; the client's own deadline usually ends it before."""


class SubscriberService:
    """Answers the calls of SubscriberClient."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._streams = StreamingPulls(broker)

    def handler(self, gate: Gate) -> grpc.GenericRpcHandler:
        """Return what a gRPC server registers."""
        subscription = types.Subscription.serialize
        calls = (
            (self.create, "CreateSubscription", types.Subscription, subscription),
            (self.get, "GetSubscription", types.GetSubscriptionRequest, subscription),
            (self.update, "UpdateSubscription", types.UpdateSubscriptionRequest, subscription),
            (
                self.list,
                "ListSubscriptions",
                types.ListSubscriptionsRequest,
                types.ListSubscriptionsResponse.serialize,
            ),
            (self.delete, "DeleteSubscription", types.DeleteSubscriptionRequest, bytes),
            (self.modify_push_config, "ModifyPushConfig", types.ModifyPushConfigRequest, bytes),
            (self.modify_deadline, "ModifyAckDeadline", types.ModifyAckDeadlineRequest, bytes),
            (self.acknowledge, "Acknowledge", types.AcknowledgeRequest, bytes),
            (self.pull, "Pull", types.PullRequest, types.PullResponse.serialize),
        )
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                gate.unary(name, call),
                request_deserializer=request.deserialize,
                response_serializer=serialize,
            )
            for call, name, request, serialize in calls
        }
        methods["StreamingPull"] = grpc.stream_stream_rpc_method_handler(
            gate.stream("StreamingPull", self._streams.serve),
            request_deserializer=types.StreamingPullRequest.deserialize,
            response_serializer=types.StreamingPullResponse.serialize,
        )
        return service_handler("Subscriber", methods)

    def create(self, request: types.Subscription, _: grpc.ServicerContext) -> types.Subscription:
        """Create a subscription."""
        check_subscription(request.name)
        check_topic(request.topic)
        return self._broker.create_subscription(check_config(request))

    def get(
        self, request: types.GetSubscriptionRequest, _: grpc.ServicerContext
    ) -> types.Subscription:
        """Return a subscription's configuration."""
        with self._broker.changed:
            return self._find(request.subscription).config

    def update(
        self, request: types.UpdateSubscriptionRequest, _: grpc.ServicerContext
    ) -> types.Subscription:
        """Replace the fields that the mask names."""
        with self._broker.changed:
            subscription = self._find(request.subscription.name)
            paths = dict.fromkeys(request.update_mask.paths)
            subscription.config = changed_config(subscription.config, request.subscription, paths)
            self._broker.changed.notify_all()
            return subscription.config

    def list(
        self, request: types.ListSubscriptionsRequest, _: grpc.ServicerContext
    ) -> types.ListSubscriptionsResponse:
        """Return all subscriptions of a project, on one page."""
        prefix = f"{check_project(request.project)}/"
        with self._broker.changed:
            configs = [
                subscription.config
                for name, subscription in self._broker.subscriptions.items()
                if name.startswith(prefix)
            ]
        return types.ListSubscriptionsResponse(subscriptions=configs)

    def delete(self, request: types.DeleteSubscriptionRequest, _: grpc.ServicerContext) -> bytes:
        """Delete a subscription."""
        self._broker.delete_subscription(check_subscription(request.subscription))
        return EMPTY

    def modify_push_config(
        self, request: types.ModifyPushConfigRequest, _: grpc.ServicerContext
    ) -> bytes:
        """Change where messages are pushed; an empty configuration turns to pull."""
        check_push_config(request.push_config)
        with self._broker.changed:
            self._find(request.subscription).config.push_config = request.push_config
            self._broker.changed.notify_all()
        return EMPTY

    def modify_deadline(
        self, request: types.ModifyAckDeadlineRequest, _: grpc.ServicerContext
    ) -> bytes:
        """Extend leases, or end them with a deadline of 0."""
        if request.ack_deadline_seconds not in _ACK_DEADLINE_S:
            raise invalid_argument(f"Invalid ack deadline given: {request.ack_deadline_seconds}.")
        with self._broker.changed:
            subscription = self._find(request.subscription)
            self._broker.extend(subscription, request.ack_ids, request.ack_deadline_seconds)
        return EMPTY

    def acknowledge(self, request: types.AcknowledgeRequest, _: grpc.ServicerContext) -> bytes:
        """Settle leases for good."""
        if not request.ack_ids:
            raise invalid_argument("No ack ids specified.")
        with self._broker.changed:
            self._broker.ack(self._find(request.subscription), request.ack_ids)
        return EMPTY

    def pull(self, request: types.PullRequest, context: grpc.ServicerContext) -> types.PullResponse:
        """Lease messages, waiting for a first one unless the request says otherwise."""
        if request.max_messages <= 0:
            raise invalid_argument("max_messages must be greater than 0.")
        context.add_callback(self._broker.wake)
        leases: list[Lease] = []
        with self._broker.changed:
            subscription = self._find(request.subscription)

            def has_ended() -> bool:
                leases.extend(
                    self._broker.take(
                        subscription, request.max_messages, subscription.ack_deadline_s
                    )
                )
                return bool(leases) or self._broker.is_closed or not context.is_active()

            self._broker.wait_for(has_ended, 0 if request.return_immediately else _PULL_WAIT_S)
        return types.PullResponse(received_messages=received(subscription, leases))

    def _find(self, name: str) -> Subscription:
        return self._broker.subscription(check_subscription(name))
