"""Names of projects, topics and subscriptions, checked as the service checks them."""

import re

from sandbox.pubsub.errors import invalid_argument

DELETED_TOPIC = "_deleted-topic_"
"""What a subscription names as its topic once that was deleted."""

_PROJECT = re.compile(r"projects/[^/]+")
_RESOURCE = re.compile(r"projects/[^/]+/(?P<kind>topics|subscriptions)/(?P<id>[^/]+)")
# https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_RESOURCE_ID = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


def check_project(name: str) -> str:
    """Return a project's name; refuse any other text."""
    if not _PROJECT.fullmatch(name):
        raise invalid_argument(f"Invalid project name given: (name={name}).")
    return name


def check_topic(name: str) -> str:
    """Return a topic's name; refuse any other text."""
    return _check(name, "topics")


def check_subscription(name: str) -> str:
    """Return a subscription's name; refuse any other text."""
    return _check(name, "subscriptions")


def split_subscription(name: str) -> tuple[str, str]:
    """
    Return the project and the id of a subscription.

    >>> split_subscription("projects/demo/subscriptions/events")
    ('demo', 'events')
    """
    _, project, _, subscription = name.split("/")
    return project, subscription


def _check(name: str, kind: str) -> str:
    match = _RESOURCE.fullmatch(name)
    if match is None or match["kind"] != kind or not _RESOURCE_ID.fullmatch(match["id"]):
        raise invalid_argument(f"Invalid [{kind}] name: (name={name}).")
    return name
