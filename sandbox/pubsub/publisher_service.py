"""The service ``google.pubsub.v1.Publisher``: topics and what is published to them."""

import grpc
from google.pubsub_v1 import types

from sandbox.pubsub.broker import Broker
from sandbox.pubsub.errors import invalid_argument
from sandbox.pubsub.messages import MAX_REQUEST_BYTES, MAX_REQUEST_MESSAGES, check_published
from sandbox.pubsub.resource_names import check_project, check_topic
from sandbox.pubsub.rpc import EMPTY, Gate, service_handler

_UPDATABLE_FIELDS = frozenset({"labels", "message_retention_duration"})


class PublisherService:
    """Answers the calls of PublisherClient."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handler(self, gate: Gate) -> grpc.GenericRpcHandler:
        """Return what a gRPC server registers."""
        calls = (
            (self.create_topic, "CreateTopic", types.Topic, types.Topic),
            (self.update_topic, "UpdateTopic", types.UpdateTopicRequest, types.Topic),
            (self.publish, "Publish", types.PublishRequest, types.PublishResponse),
            (self.get_topic, "GetTopic", types.GetTopicRequest, types.Topic),
            (self.list_topics, "ListTopics", types.ListTopicsRequest, types.ListTopicsResponse),
            (
                self.list_topic_subscriptions,
                "ListTopicSubscriptions",
                types.ListTopicSubscriptionsRequest,
                types.ListTopicSubscriptionsResponse,
            ),
        )
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                gate.unary(name, call),
                request_deserializer=request.deserialize,
                response_serializer=response.serialize,
            )
            for call, name, request, response in calls
        }
        methods["DeleteTopic"] = grpc.unary_unary_rpc_method_handler(
            gate.unary("DeleteTopic", self.delete_topic),
            request_deserializer=types.DeleteTopicRequest.deserialize,
            response_serializer=bytes,
        )
        return service_handler("Publisher", methods)

    def create_topic(self, request: types.Topic, _: grpc.ServicerContext) -> types.Topic:
        """Create a topic."""
        check_topic(request.name)
        return self._broker.create_topic(request)

    def update_topic(
        self, request: types.UpdateTopicRequest, _: grpc.ServicerContext
    ) -> types.Topic:
        """Replace the fields that the mask names."""
        with self._broker.changed:
            topic = self._broker.topic(check_topic(request.topic.name))
            for path in request.update_mask.paths:
                if path not in _UPDATABLE_FIELDS:
                    raise invalid_argument(f"Invalid update_mask provided: {path!r}.")
                setattr(topic.config, path, getattr(request.topic, path))
            return topic.config

    def get_topic(self, request: types.GetTopicRequest, _: grpc.ServicerContext) -> types.Topic:
        """Return a topic's configuration."""
        with self._broker.changed:
            return self._broker.topic(check_topic(request.topic)).config

    def list_topics(
        self, request: types.ListTopicsRequest, _: grpc.ServicerContext
    ) -> types.ListTopicsResponse:
        """Return all topics of a project, on one page."""
        prefix = f"{check_project(request.project)}/"
        with self._broker.changed:
            configs = [
                topic.config
                for name, topic in self._broker.topics.items()
                if name.startswith(prefix)
            ]
        return types.ListTopicsResponse(topics=configs)

    def list_topic_subscriptions(
        self, request: types.ListTopicSubscriptionsRequest, _: grpc.ServicerContext
    ) -> types.ListTopicSubscriptionsResponse:
        """Return the names of a topic's subscriptions, on one page."""
        with self._broker.changed:
            self._broker.topic(check_topic(request.topic))
            names = [
                subscription.name
                for subscription in self._broker.subscriptions.values()
                if subscription.config.topic == request.topic
            ]
        return types.ListTopicSubscriptionsResponse(subscriptions=names)

    def delete_topic(self, request: types.DeleteTopicRequest, _: grpc.ServicerContext) -> bytes:
        """Delete a topic."""
        self._broker.delete_topic(check_topic(request.topic))
        return EMPTY

    def publish(
        self, request: types.PublishRequest, _: grpc.ServicerContext
    ) -> types.PublishResponse:
        """Accept all messages of a request, or none."""
        check_topic(request.topic)
        count = len(request.messages)
        if not 1 <= count <= MAX_REQUEST_MESSAGES:
            raise invalid_argument(
                f"The value for message_count is out of bounds. You passed {count} in the "
                f"request, but it must be between 1 and {MAX_REQUEST_MESSAGES}."
            )
        size = len(types.PublishRequest.serialize(request))
        if size > MAX_REQUEST_BYTES:
            raise invalid_argument(
                f"The value for request_size is too large. You passed {size} in the request, "
                f"but the maximum value is {MAX_REQUEST_BYTES}."
            )
        for message in request.messages:
            check_published(message)
        return types.PublishResponse(
            message_ids=self._broker.publish(request.topic, request.messages)
        )
