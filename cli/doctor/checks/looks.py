"""What is looked at: the requests, and the rights that they take."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from cli.doctor.reading import Look
from shared.domain.cluster import ClusterName
from shared.domain.mirror import RepositoryName
from shared.domain.timestamp import format_time

_READS_POLICIES: Final = "roles/iam.securityReviewer"
"""The predefined role that reads the IAM policies of all kinds of resources."""


def apis(project: str, names: Iterable[str]) -> Look:
    """Whether APIs are enabled."""
    query = urlencode([("names", f"projects/{project}/services/{name}") for name in names])
    return Look(
        "serviceusage",
        f"v1/projects/{project}/services:batchGet?{query}",
        project,
        "serviceusage.services.get",
        "roles/serviceusage.serviceUsageViewer",
    )


def project(name: str) -> Look:
    """A project's number, and what it lies in."""
    return Look(
        "cloudresourcemanager",
        f"v1/projects/{name}",
        name,
        "resourcemanager.projects.get",
        "roles/browser",
    )


def project_policy(name: str) -> Look:
    """Who may do what in a project."""
    return Look(
        "cloudresourcemanager",
        f"v1/projects/{name}:getIamPolicy",
        name,
        "resourcemanager.projects.getIamPolicy",
        _READS_POLICIES,
        "POST",
    )


def clusters(name: str) -> Look:
    """The clusters of a project, in all its locations."""
    path = f"v1/projects/{name}/locations/-/clusters"
    return Look("container", path, name, "container.clusters.list", "roles/container.clusterViewer")


def cluster(name: ClusterName) -> Look:
    """A cluster, with its node pools."""
    return Look(
        "container",
        f"v1/{name}",
        name.project,
        "container.clusters.get",
        "roles/container.clusterViewer",
    )


def subnetwork(project: str, region: str, name: str) -> Look:
    """A subnetwork in which nodes are."""
    return Look(
        "compute",
        f"compute/v1/projects/{project}/regions/{region}/subnetworks/{quote(name, safe='')}",
        project,
        "compute.subnetworks.get",
        "roles/compute.networkViewer",
    )


def repository(name: RepositoryName) -> Look:
    """A repository of Artifact Registry."""
    return Look(
        "artifactregistry",
        f"v1/{name}",
        name.project,
        "artifactregistry.repositories.get",
        "roles/artifactregistry.reader",
    )


def repository_policy(name: RepositoryName) -> Look:
    """Who may do what with a repository."""
    return Look(
        "artifactregistry",
        f"v1/{name}:getIamPolicy",
        name.project,
        "artifactregistry.repositories.getIamPolicy",
        _READS_POLICIES,
    )


def secret_policy(project: str, secret: str) -> Look:
    """Who may read a secret."""
    return Look(
        "secretmanager",
        f"v1/projects/{project}/secrets/{secret}:getIamPolicy",
        project,
        "secretmanager.secrets.getIamPolicy",
        _READS_POLICIES,
    )


def secret_version(project: str, secret: str, version: str) -> Look:
    """Whether a version of a secret can be read; its value stays where it is."""
    return Look(
        "secretmanager",
        f"v1/projects/{project}/secrets/{secret}/versions/{version}",
        project,
        "secretmanager.versions.get",
        "roles/secretmanager.viewer",
    )


def sink(project: str, name: str) -> Look:
    """A sink of a project's logs."""
    return Look(
        "logging",
        f"v2/projects/{project}/sinks/{name}",
        project,
        "logging.sinks.get",
        "roles/logging.viewer",
    )


def topic_policy(project: str, name: str) -> Look:
    """Who may publish to a topic."""
    return Look(
        "pubsub",
        f"v1/projects/{project}/topics/{name}:getIamPolicy",
        project,
        "pubsub.topics.getIamPolicy",
        _READS_POLICIES,
    )


def subscription(project: str, name: str) -> Look:
    """A subscription."""
    return Look(
        "pubsub",
        f"v1/projects/{project}/subscriptions/{name}",
        project,
        "pubsub.subscriptions.get",
        "roles/pubsub.viewer",
    )


def backlog(project: str, name: str, since: datetime, until: datetime) -> Look:
    """
    How many messages wait in a subscription.

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
    return Look(
        "monitoring",
        f"v3/projects/{project}/timeSeries?{query}",
        project,
        "monitoring.timeSeries.list",
        "roles/monitoring.viewer",
    )
