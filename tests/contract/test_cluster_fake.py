"""The fake cluster keeps the promises that the real client keeps."""

import pytest

from tests.contract.cluster_conformance import Body, Cluster, ClusterConformance, World
from tests.fakes.clusters import FakeCluster


class FakeWorld:
    def __init__(self) -> None:
        self._cluster = FakeCluster()

    @property
    def cluster(self) -> Cluster:
        return self._cluster

    def place(self, body: Body) -> object:
        return self._cluster.place(body)


class TestFakeCluster(ClusterConformance):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()
