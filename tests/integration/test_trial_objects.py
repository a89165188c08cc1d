"""
The objects of a trial are accepted by an API server, and removed again.

The test runs on the embedded server, or on the disposable cluster of
``PRESTREAM_CONFORMANCE_KUBECONFIG``.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cli.connect.repository_removal import RepositoryRemoval
from cli.trial.clean_up import CleanUp
from cli.trial.trial_setup import TrialSetup
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.server import KubernetesServer
from shared.clients.kubeconfig import connect_by_kubeconfig
from shared.clients.kubernetes_api import KubernetesCluster
from shared.domain.cluster import ClusterName
from shared.domain.warmup_job import SERVICE_ACCOUNT

VARIABLE = "PRESTREAM_CONFORMANCE_KUBECONFIG"
NAME = "prestream-trial-test"
CLUSTER = ClusterName("demo", "us-central1", "gpu")
PRIORITIES = ("scheduling.k8s.io/v1", "priorityclasses", NAME)
NAMESPACE = ("v1", "namespaces", NAME)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesCluster]:
    if own := os.environ.get(VARIABLE):
        yield KubernetesCluster(CLUSTER, connect_by_kubeconfig(own, CLUSTER), namespace=NAME)
        return
    server = KubernetesServer(Clock(), Faults()).start()
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(server.kubeconfig(CLUSTER.context)), encoding="utf-8")
    yield KubernetesCluster(CLUSTER, connect_by_kubeconfig(str(path), CLUSTER), namespace=NAME)
    server.stop()


def test_objects_are_created_and_removed(cluster: KubernetesCluster) -> None:
    clean_up = CleanUp(lambda _: None)
    setup = TrialSetup(NAME, cluster, RepositoryRemoval(), clean_up, poll_s=0.1)

    setup.create_objects()
    account = cluster.fetch_object("v1", "serviceaccounts", SERVICE_ACCOUNT, NAME)
    created = [cluster.fetch_object(*each) for each in (PRIORITIES, NAMESPACE)]
    is_clean = clean_up.run()

    assert account is not None
    assert None not in created
    assert is_clean
    assert [cluster.fetch_object(*each) for each in (PRIORITIES, NAMESPACE)] == [None, None]


def test_removal_of_objects_that_were_never_created_succeeds(cluster: KubernetesCluster) -> None:
    clean_up = CleanUp(lambda _: None)
    setup = TrialSetup(NAME, cluster, RepositoryRemoval(), clean_up, poll_s=0.1)
    setup.create_objects()
    for api_version, plural, name in (PRIORITIES, NAMESPACE):
        cluster.delete_object(api_version, plural, name)

    assert clean_up.run()
