"""The requests of `doctor`, and the permissions that they need."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from cli.doctor.response import GoogleRequest
from shared.domain.cluster import ClusterName
from shared.domain.mirror import RepositoryName
from shared.domain.timestamp import format_time

_READS_POLICIES: Final = "roles/iam.securityReviewer"
"""The predefined role that reads the IAM policies of all kinds of resources."""


def apis(project: str, names: Iterable[str]) -> GoogleRequest:
    """Whether APIs are enabled."""
    query = urlencode([("names", f"projects/{project}/services/{name}") for name in names])
    return GoogleRequest(
        "serviceusage",
        f"v1/projects/{project}/services:batchGet?{query}",
        project,
        "serviceusage.services.get",
        "roles/serviceusage.serviceUsageViewer",
    )


def project(name: str) -> GoogleRequest:
    """A project's number and its parent."""
    return GoogleRequest(
        "cloudresourcemanager",
        f"v1/projects/{name}",
        name,
        "resourcemanager.projects.get",
        "roles/browser",
    )


def project_policy(name: str) -> GoogleRequest:
    """The IAM policy of a project."""
    return GoogleRequest(
        "cloudresourcemanager",
        f"v1/projects/{name}:getIamPolicy",
        name,
        "resourcemanager.projects.getIamPolicy",
        _READS_POLICIES,
        "POST",
    )


def clusters(name: str) -> GoogleRequest:
    """The clusters of a project, in all its locations."""
    path = f"v1/projects/{name}/locations/-/clusters"
    return GoogleRequest(
        "container", path, name, "container.clusters.list", "roles/container.clusterViewer"
    )


def cluster(name: ClusterName) -> GoogleRequest:
    """A cluster, with its node pools."""
    return GoogleRequest(
        "container",
        f"v1/{name}",
        name.project,
        "container.clusters.get",
        "roles/container.clusterViewer",
    )


def subnetwork(project: str, region: str, name: str) -> GoogleRequest:
    """A subnetwork of nodes."""
    return GoogleRequest(
        "compute",
        f"compute/v1/projects/{project}/regions/{region}/subnetworks/{quote(name, safe='')}",
        project,
        "compute.subnetworks.get",
        "roles/compute.networkViewer",
    )


def repository(name: RepositoryName) -> GoogleRequest:
    """A repository of Artifact Registry."""
    return GoogleRequest(
        "artifactregistry",
        f"v1/{name}",
        name.project,
        "artifactregistry.repositories.get",
        "roles/artifactregistry.reader",
    )


def repository_policy(name: RepositoryName) -> GoogleRequest:
    """The IAM policy of a repository."""
    return GoogleRequest(
        "artifactregistry",
        f"v1/{name}:getIamPolicy",
        name.project,
        "artifactregistry.repositories.getIamPolicy",
        _READS_POLICIES,
    )


def secret_policy(project: str, secret: str) -> GoogleRequest:
    """The IAM policy of a secret."""
    return GoogleRequest(
        "secretmanager",
        f"v1/projects/{project}/secrets/{secret}:getIamPolicy",
        project,
        "secretmanager.secrets.getIamPolicy",
        _READS_POLICIES,
    )


def secret_version(project: str, secret: str, version: str) -> GoogleRequest:
    """The state of a version of a secret, without its value."""
    return GoogleRequest(
        "secretmanager",
        f"v1/projects/{project}/secrets/{secret}/versions/{version}",
        project,
        "secretmanager.versions.get",
        "roles/secretmanager.viewer",
    )


def sink(project: str, name: str) -> GoogleRequest:
    """A sink of a project's logs."""
    return GoogleRequest(
        "logging",
        f"v2/projects/{project}/sinks/{name}",
        project,
        "logging.sinks.get",
        "roles/logging.viewer",
    )


def topic_policy(project: str, name: str) -> GoogleRequest:
    """The IAM policy of a topic."""
    return GoogleRequest(
        "pubsub",
        f"v1/projects/{project}/topics/{name}:getIamPolicy",
        project,
        "pubsub.topics.getIamPolicy",
        _READS_POLICIES,
    )


def subscription(project: str, name: str) -> GoogleRequest:
    """A subscription."""
    return GoogleRequest(
        "pubsub",
        f"v1/projects/{project}/subscriptions/{name}",
        project,
        "pubsub.subscriptions.get",
        "roles/pubsub.viewer",
    )


def backlog(project: str, name: str, since: datetime, until: datetime) -> GoogleRequest:
    """
    The number of messages that wait in a subscription.

    https://docs.cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-pubsub
    """
    metric = "pubsub.googleapis.com/subscription/num_undelivered_messages"
    query = urlencode(
        {
            "filter": f'metric.type="{metric}" AND resource.labels.subscription_id="{name}"',
            "interval.startTime": format_time(since),
            "interval.endTime": format_time(until),
        }
    )
    return GoogleRequest(
        "monitoring",
        f"v3/projects/{project}/timeSeries?{query}",
        project,
        "monitoring.timeSeries.list",
        "roles/monitoring.viewer",
    )
