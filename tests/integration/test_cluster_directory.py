"""Clusters that the Container API describes: how they are found and reached."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.container_api import ContainerApi
from sandbox.fault import Fault, Faults
from shared.clients.container_api import ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.domain.node_accounts import NodeAccounts
from shared.errors import ConfigurationError, TransientError
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.http_servers import make_authority, serve

pytestmark = pytest.mark.integration

OTHER = ClusterName("demo", "europe-west4-b", "batch")


@pytest.fixture
def container(faults: Faults) -> Iterator[ContainerApi]:
    container = ContainerApi(Clock(), faults).start()
    yield container
    container.stop()


@pytest.fixture
def directory(container: ContainerApi) -> ClusterDirectory:
    return ClusterDirectory(Endpoints(gke=container.address), namespace="prestream")


def describe(
    endpoint: str | None, authority: str, dns: str | None = None, *, external: bool = True
) -> dict[str, Any]:
    return {
        "name": "gpu",
        "location": "us-central1",
        "endpoint": endpoint,
        "masterAuth": {"clusterCaCertificate": authority},
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {"endpoint": dns, "allowExternalTraffic": external}
        },
    }


def test_address_is_trusted_by_the_authority_of_the_cluster(
    container: ContainerApi, directory: ClusterDirectory, tmp_path: Path
) -> None:
    own = make_authority(tmp_path)
    with serve(own.context) as api:
        address = f"127.0.0.1:{api.server_port}"
        container.add_cluster(describe(address, own.encoded, "none.example", external=False))

        assert list(directory.connect(GPU_CLUSTER).list_nodes()) == []


def test_no_other_certificate_is_trusted_at_the_address(
    container: ContainerApi, directory: ClusterDirectory, tmp_path: Path
) -> None:
    own, other = make_authority(tmp_path), make_authority(tmp_path)
    with serve(other.context) as api:
        container.add_cluster(describe(f"127.0.0.1:{api.server_port}", own.encoded))

        with pytest.raises(TransientError, match=r"(?i)certificate"):
            list(directory.connect(GPU_CLUSTER).list_nodes())

        assert api.asked == []


def test_dns_endpoint_comes_first_and_is_trusted_by_the_public_authorities(
    container: ContainerApi,
    directory: ClusterDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, public = make_authority(tmp_path), make_authority(tmp_path)
    trusted = tmp_path / "public.pem"
    trusted.write_text(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with serve(public.context) as api:
        dns = f"localhost:{api.server_port}"
        container.add_cluster(describe("203.0.113.10", own.encoded, dns))

        assert list(directory.connect(GPU_CLUSTER).list_nodes()) == []


def test_authority_of_the_cluster_is_not_trusted_at_the_dns_endpoint(
    container: ContainerApi, directory: ClusterDirectory, tmp_path: Path
) -> None:
    own = make_authority(tmp_path)
    with serve(own.context) as api:
        dns = f"localhost:{api.server_port}"
        container.add_cluster(describe("203.0.113.10", own.encoded, dns))

        with pytest.raises(TransientError, match=r"(?i)certificate"):
            list(directory.connect(GPU_CLUSTER).list_nodes())


def test_unknown_cluster_has_its_own_error(directory: ClusterDirectory) -> None:
    with pytest.raises(UnknownClusterError, match=str(GPU_CLUSTER)):
        directory.connect(GPU_CLUSTER)


def test_location_that_does_not_exist_has_no_clusters(
    directory: ClusterDirectory, faults: Faults
) -> None:
    error = {"error": {"code": 400, "message": 'Location "us-west99" does not exist.'}}
    faults.add(Fault("container", status=400, body=error))

    with pytest.raises(UnknownClusterError):
        directory.connect(ClusterName("demo", "us-west99", "gpu"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(401, ConfigurationError, id="unauthenticated"),
        pytest.param(403, ConfigurationError, id="forbidden"),
        pytest.param(429, TransientError, id="quota"),
        pytest.param(500, TransientError, id="internal"),
        pytest.param(503, TransientError, id="unavailable"),
        pytest.param(0, TransientError, id="reset"),
    ],
)
def test_failure_of_the_container_api_is_classified(
    container: ContainerApi,
    directory: ClusterDirectory,
    faults: Faults,
    status: int,
    error: type[Exception],
) -> None:
    container.add_cluster({"name": "gpu", "location": "us-central1"})
    faults.add(Fault("container", status=status))

    with pytest.raises(error, match=str(GPU_CLUSTER)):
        directory.connect(GPU_CLUSTER)
    with pytest.raises(error, match="projects/demo"):
        directory.list_clusters("demo")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(describe(None, ""), id="no-endpoint"),
        pytest.param(describe(None, "", "name.example", external=False), id="dns-not-allowed"),
        pytest.param(describe("203.0.113.10", "not base64!"), id="no-certificate"),
    ],
)
def test_cluster_that_cannot_be_reached_is_a_fault_of_the_deployment(
    container: ContainerApi, directory: ClusterDirectory, body: dict[str, Any]
) -> None:
    container.add_cluster(body)

    with pytest.raises(ConfigurationError, match=str(GPU_CLUSTER)):
        directory.connect(GPU_CLUSTER)


def test_description_is_kept(
    container: ContainerApi, directory: ClusterDirectory, faults: Faults
) -> None:
    container.add_cluster({"name": "gpu", "location": "us-central1"})
    first = directory.connect(GPU_CLUSTER)
    listed = directory.list_clusters("demo")

    faults.add(Fault("container", status=403))

    assert directory.connect(GPU_CLUSTER) is first
    assert directory.list_clusters("demo") == listed


def test_cluster_that_moved_is_found_again(
    container: ContainerApi, directory: ClusterDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.clients.container_api._MAX_AGE_S", 0.0)
    container.add_cluster({"name": "gpu", "location": "us-central1"})
    first = directory.connect(GPU_CLUSTER)
    assert directory.connect(GPU_CLUSTER) is first

    container.add_cluster({"name": "gpu", "location": "us-central1", "endpoint": "203.0.113.99"})
    assert directory.connect(GPU_CLUSTER) is not first

    container.remove_cluster(str(GPU_CLUSTER))
    with pytest.raises(UnknownClusterError):
        directory.connect(GPU_CLUSTER)


def test_old_description_is_used_during_an_outage(
    container: ContainerApi,
    directory: ClusterDirectory,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.clients.container_api._MAX_AGE_S", 0.0)
    container.add_cluster({"name": "gpu", "location": "us-central1"})
    first = directory.connect(GPU_CLUSTER)

    faults.add(Fault("container", status=503))

    assert directory.connect(GPU_CLUSTER) is first


GPU = {"accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}]}
STREAMING = {"gcfsConfig": {"enabled": True}}


def add_pools(container: ContainerApi, *pools: Any, name: str = "gpu", **fields: Any) -> None:
    container.add_cluster(
        {"name": name, "location": "us-central1", "nodePools": list(pools), **fields}
    )


def test_clusters_of_a_project_are_listed_with_their_accelerators(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    add_pools(container, {"name": "cpu"}, {"name": "l4", "config": GPU | STREAMING})
    container.add_cluster({"name": "pilot", "location": "us-east1", "autopilot": {"enabled": True}})
    container.add_cluster({"name": "batch", "location": "europe-west4-b"})
    container.add_cluster({"name": "theirs", "location": "us-central1"}, project="other")

    assert set(directory.list_clusters("demo")) == {
        Cluster(GPU_CLUSTER, has_accelerators=True),
        Cluster(ClusterName("demo", "us-east1", "pilot"), is_autopilot=True),
        Cluster(OTHER),
    }
    assert directory.list_clusters("empty") == []


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param({"config": {"machineType": "ct5lp-hightpu-4t"}}, id="tpu"),
        pytest.param({"config": {"machineType": "tpu7x-standard-4t"}}, id="newer-tpu"),
        pytest.param({"placementPolicy": {"tpuTopology": "2x4"}}, id="tpu-slice"),
        pytest.param({"config": GPU}, id="gpu"),
    ],
)
def test_pool_with_accelerators_makes_a_cluster_worth_watching(
    container: ContainerApi, directory: ClusterDirectory, pool: Any
) -> None:
    add_pools(container, {"name": "cpu"}, {"name": "fast", **pool})

    (cluster,) = directory.list_clusters("demo")

    assert cluster.has_accelerators
    assert cluster.cold_pools == ("fast",)


def test_pool_streams_by_its_own_setting_or_by_that_of_the_cluster(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    pools = [
        {"name": "own", "config": GPU | STREAMING},
        {"name": "off", "config": GPU | {"gcfsConfig": {"enabled": False}}},
        {"name": "inherits", "config": GPU},
        {"name": "cpu", "config": {"gcfsConfig": {"enabled": False}}},
    ]
    default: dict[str, Any] = {"nodePoolDefaults": {"nodeConfigDefaults": STREAMING}}
    add_pools(container, *pools, **default)
    add_pools(container, *pools, name="cold")
    add_pools(container, {"name": "off", "config": GPU}, name="colder")

    by_name = {each.name.name: each for each in directory.list_clusters("demo")}

    assert by_name["gpu"].cold_pools == ("off",)
    assert by_name["cold"].cold_pools == ("off", "inherits")
    assert by_name["colder"].cold_pools == ("off",)
    assert [by_name[each].streams for each in ("gpu", "cold", "colder")] == [True, True, False]


def test_autopilot_is_known_and_every_node_of_it_streams(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    add_pools(container, {"name": "pool-1", "config": GPU}, autopilot={"enabled": True})
    container.add_cluster({"name": "batch", "location": "europe-west4-b"})

    clusters = {each.name: each for each in directory.list_clusters("demo")}

    assert (clusters[GPU_CLUSTER].streams, clusters[GPU_CLUSTER].cold_pools) == (True, ())
    assert clusters[GPU_CLUSTER].is_autopilot
    assert not clusters[OTHER].is_autopilot
    assert directory.connect(GPU_CLUSTER).is_autopilot is True
    assert directory.connect(OTHER).is_autopilot is False


def test_description_of_a_cluster_is_asked_for_once(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    add_pools(container, {"name": "l4", "config": GPU | STREAMING})

    described = directory.fetch_cluster(GPU_CLUSTER)
    container.remove_cluster(str(GPU_CLUSTER))

    assert described == Cluster(GPU_CLUSTER, has_accelerators=True)
    assert directory.fetch_cluster(GPU_CLUSTER) == described
    assert directory.connect(GPU_CLUSTER).name == GPU_CLUSTER


def test_connected_cluster_knows_the_accounts_of_its_pools(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    add_pools(container, {"name": "l4", "config": {**GPU, "serviceAccount": "a@demo"}})

    accounts = directory.connect(GPU_CLUSTER).accounts

    assert accounts == NodeAccounts({"l4": "a@demo"}, frozenset({"l4"}))


def test_missing_cluster_is_not_described(directory: ClusterDirectory) -> None:
    with pytest.raises(UnknownClusterError, match=str(GPU_CLUSTER)):
        directory.fetch_cluster(GPU_CLUSTER)


@pytest.mark.parametrize("status", ["PROVISIONING", "STOPPING"])
def test_cluster_that_is_being_made_or_removed_is_not_listed(
    container: ContainerApi, directory: ClusterDirectory, status: str
) -> None:
    add_pools(container, {"name": "l4", "config": GPU}, status=status)
    add_pools(container, {"name": "l4", "config": GPU}, name="upgrading", status="RECONCILING")

    assert [each.name.name for each in directory.list_clusters("demo")] == ["upgrading"]


def test_project_that_does_not_exist_is_a_fault_of_the_deployment(
    directory: ClusterDirectory, faults: Faults
) -> None:
    faults.add(Fault("container", status=404))

    with pytest.raises(ConfigurationError, match="project 'demo' does not exist"):
        directory.list_clusters("demo")
