"""How a cluster is found and reached: through a kubeconfig, or where the Container API says."""

import base64
import contextlib
import datetime as dates
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.oauth2 import service_account

from sandbox.clock import Clock
from sandbox.container_api import ContainerApi
from sandbox.fault import Fault, Faults
from sandbox.kubernetes.server import KubernetesServer
from shared.clients.container_api import AccessTokens, ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.clients.kubernetes_api import KubernetesCluster, make_configuration
from shared.domain.cluster import Cluster, ClusterName, UnknownClusterError
from shared.errors import ConfigurationError, TransientError
from tests.fakes.clusters import GPU_CLUSTER

pytestmark = pytest.mark.integration

OTHER = ClusterName("demo", "europe-west4-b", "batch")
SOMEBODY = "a-token-of-nobody"

# The kubeconfig.


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def server(faults: Faults) -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), faults).start()
    yield server
    server.stop()


def merge(*configs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kubeconfig with the contexts of several."""
    parts = ("clusters", "users", "contexts")
    return {
        **configs[0],
        **{part: [each for one in configs for each in one[part]] for part in parts},
    }


def read_nodes(path: Path | str, name: ClusterName = GPU_CLUSTER) -> list[Any]:
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")
    return list(directory.connect(name).list_nodes())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubeconfig"


def test_the_context_is_the_one_that_gcloud_names_after_the_cluster(
    server: KubernetesServer, path: Path
) -> None:
    right = server.kubeconfig("gke_demo_us-central1_gpu")
    wrong = server.kubeconfig("gke_demo_europe-west4-b_batch", SOMEBODY)
    path.write_text(yaml.safe_dump(merge(wrong, right)))

    assert read_nodes(path, GPU_CLUSTER) == []
    with pytest.raises(ConfigurationError, match="401"):
        read_nodes(path, OTHER)


@pytest.mark.parametrize("name", ["kind-test", "gke_demo_europe-west4-b_batch"])
def test_a_single_context_serves_whatever_its_name(
    server: KubernetesServer, path: Path, name: str
) -> None:
    path.write_text(yaml.safe_dump(server.kubeconfig(name)))

    assert read_nodes(path) == []


@pytest.mark.parametrize("current", ["kind-a", "", None])
def test_several_contexts_of_other_names_are_no_way_to_a_cluster(
    server: KubernetesServer, path: Path, current: str | None
) -> None:
    config = merge(server.kubeconfig("kind-b"), server.kubeconfig("kind-a"))
    path.write_text(yaml.safe_dump({**config, "current-context": current}))

    with pytest.raises(ConfigurationError) as caught:
        read_nodes(path)

    assert "gke_demo_us-central1_gpu" in str(caught.value)
    assert "kind-a, kind-b" in str(caught.value)


def test_no_current_context_is_needed(server: KubernetesServer, path: Path) -> None:
    config = merge(server.kubeconfig(GPU_CLUSTER.context), server.kubeconfig("kind-a"))
    del config["current-context"]
    path.write_text(yaml.safe_dump(config))

    assert read_nodes(path) == []


def test_several_files_are_read_as_kubectl_reads_them(
    server: KubernetesServer, tmp_path: Path
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text(yaml.safe_dump(server.kubeconfig("kind-a", SOMEBODY)))
    second.write_text(yaml.safe_dump(server.kubeconfig(GPU_CLUSTER.context)))

    assert read_nodes(f"{first}:{second}") == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"contexts: [", id="no-yaml"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"text", id="text"),
        pytest.param(b"apiVersion: v1\nkind: Config\n", id="no-context"),
        pytest.param(b"contexts:\n- nameless: x\n", id="nameless"),
        pytest.param(b"contexts:\n- name: x\n", id="context-of-nothing"),
        pytest.param(
            b"contexts:\n- name: x\n  context: {cluster: y, user: z}\nclusters: []\nusers: []\n",
            id="cluster-missing",
        ),
        pytest.param(b"\xff\xfe\x00", id="binary"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_a_fault_of_the_deployment(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="KUBECONFIG"):
        read_nodes(path)


def test_a_file_that_is_missing_is_a_fault_of_the_deployment(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file at KUBECONFIG"):
        read_nodes(path)


def test_a_folder_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot use KUBECONFIG"):
        read_nodes(tmp_path)


def test_with_a_kubeconfig_the_container_api_is_not_asked(
    server: KubernetesServer, path: Path
) -> None:
    path.write_text(yaml.safe_dump(server.kubeconfig("kind-a")))
    endpoints = Endpoints(kubeconfig=str(path), gke="127.0.0.1:1")

    cluster = ClusterDirectory(endpoints, namespace="prestream").connect(GPU_CLUSTER)

    assert list(cluster.list_nodes()) == []


def test_the_connection_of_a_context_is_kept(server: KubernetesServer, path: Path) -> None:
    path.write_text(yaml.safe_dump(server.kubeconfig("kind-a")))
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")

    assert directory.connect(GPU_CLUSTER) is directory.connect(ClusterName.parse(str(GPU_CLUSTER)))
    assert directory.connect(OTHER).name == OTHER


# The Container API.


@pytest.fixture
def container(faults: Faults) -> Iterator[ContainerApi]:
    container = ContainerApi(Clock(), faults).start()
    yield container
    container.stop()


@pytest.fixture
def directory(container: ContainerApi) -> ClusterDirectory:
    return ClusterDirectory(Endpoints(gke=container.address), namespace="prestream")


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and what it signed for the loopback."""

    pem: str
    context: ssl.SSLContext

    @property
    def encoded(self) -> str:
        return base64.b64encode(self.pem.encode()).decode()


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a cluster")])
    now = dates.datetime.now(dates.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dates.timedelta(days=1))
        .not_valid_after(now + dates.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    both = folder / f"{certificate.serial_number}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    both.write_text(private.decode() + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return Authority(pem, context)


class Answering(BaseHTTPRequestHandler):
    """Answers all with an empty list, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    server: "Asked"

    def do_GET(self) -> None:
        self._answer(b'{"items": []}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        number = len(self.server.asked) + 1
        answer = {"access_token": f"token-{number}", "expires_in": 3600, "token_type": "Bearer"}
        self._answer(json.dumps(answer).encode())

    def _answer(self, body: bytes) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class Asked(ThreadingHTTPServer):
    """A server on the loopback; TLS if it has a context."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: list[tuple[str, str | None]] = []
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a handshake that the client broke off, which is what tests are about."""


@contextlib.contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[Asked]:
    with Asked(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


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


def test_the_address_is_trusted_by_the_authority_of_the_cluster(
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


def test_the_dns_endpoint_comes_first_and_is_trusted_by_the_public_authorities(
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


def test_the_authority_of_the_cluster_is_not_trusted_at_the_dns_endpoint(
    container: ContainerApi, directory: ClusterDirectory, tmp_path: Path
) -> None:
    own = make_authority(tmp_path)
    with serve(own.context) as api:
        dns = f"localhost:{api.server_port}"
        container.add_cluster(describe("203.0.113.10", own.encoded, dns))

        with pytest.raises(TransientError, match=r"(?i)certificate"):
            list(directory.connect(GPU_CLUSTER).list_nodes())


def test_a_cluster_that_nobody_knows_is_told_apart(directory: ClusterDirectory) -> None:
    with pytest.raises(UnknownClusterError, match=str(GPU_CLUSTER)):
        directory.connect(GPU_CLUSTER)


def test_a_location_that_does_not_exist_has_no_clusters(
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
def test_a_failure_of_the_container_api_tells_whose_fault_it_is(
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
def test_a_cluster_that_cannot_be_reached_is_a_fault_of_the_deployment(
    container: ContainerApi, directory: ClusterDirectory, body: dict[str, Any]
) -> None:
    container.add_cluster(body)

    with pytest.raises(ConfigurationError, match=str(GPU_CLUSTER)):
        directory.connect(GPU_CLUSTER)


def test_a_description_is_kept(
    container: ContainerApi, directory: ClusterDirectory, faults: Faults
) -> None:
    container.add_cluster({"name": "gpu", "location": "us-central1"})
    first = directory.connect(GPU_CLUSTER)
    listed = directory.list_clusters("demo")

    faults.add(Fault("container", status=403))

    assert directory.connect(GPU_CLUSTER) is first
    assert directory.list_clusters("demo") == listed


def test_a_cluster_that_moved_is_found_again(
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


def test_an_old_description_is_better_than_none(
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


def test_autopilot_is_known(container: ContainerApi, directory: ClusterDirectory) -> None:
    container.add_cluster(
        {"name": "gpu", "location": "us-central1", "autopilot": {"enabled": True}}
    )
    container.add_cluster({"name": "batch", "location": "europe-west4-b"})

    assert directory.connect(GPU_CLUSTER).is_autopilot is True
    assert directory.connect(OTHER).is_autopilot is False


GPU = {"accelerators": [{"acceleratorType": "nvidia-l4", "acceleratorCount": "1"}]}
STREAMING = {"gcfsConfig": {"enabled": True}}


def add_pools(container: ContainerApi, *pools: Any, name: str = "gpu", **fields: Any) -> None:
    container.add_cluster(
        {"name": name, "location": "us-central1", "nodePools": list(pools), **fields}
    )


def test_the_clusters_of_a_project_are_listed_with_what_makes_them_worth_watching(
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
def test_a_pool_with_accelerators_makes_a_cluster_worth_watching(
    container: ContainerApi, directory: ClusterDirectory, pool: Any
) -> None:
    add_pools(container, {"name": "cpu"}, {"name": "fast", **pool})

    (cluster,) = directory.list_clusters("demo")

    assert cluster.has_accelerators
    assert cluster.cold_pools == ("fast",)


def test_a_pool_streams_by_its_own_word_or_by_the_clusters(
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


def test_every_node_of_autopilot_streams(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    add_pools(container, {"name": "pool-1", "config": GPU}, autopilot={"enabled": True})

    (cluster,) = directory.list_clusters("demo")

    assert cluster.streams
    assert cluster.cold_pools == ()


@pytest.mark.parametrize("status", ["PROVISIONING", "STOPPING"])
def test_a_cluster_that_is_being_made_or_removed_is_not_listed(
    container: ContainerApi, directory: ClusterDirectory, status: str
) -> None:
    add_pools(container, {"name": "l4", "config": GPU}, status=status)
    add_pools(container, {"name": "l4", "config": GPU}, name="upgrading", status="RECONCILING")

    assert [each.name.name for each in directory.list_clusters("demo")] == ["upgrading"]


def test_a_list_of_clusters_is_kept_for_minutes(
    container: ContainerApi, directory: ClusterDirectory
) -> None:
    add_pools(container, {"name": "l4", "config": GPU})
    first = directory.list_clusters("demo")
    container.remove_cluster(str(GPU_CLUSTER))

    assert directory.list_clusters("demo") == first


def test_a_project_that_does_not_exist_is_a_fault_of_the_deployment(
    directory: ClusterDirectory, faults: Faults
) -> None:
    faults.add(Fault("container", status=404))

    with pytest.raises(ConfigurationError, match="no project 'demo'"):
        directory.list_clusters("demo")


# The token.


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*encoding, serialization.NoEncryption()).decode()


def make_credentials(private_key: str, token_uri: str) -> Any:
    info = {"client_email": "f@demo.iam.gserviceaccount.com", "token_uri": token_uri}
    return service_account.Credentials.from_service_account_info(
        {**info, "private_key": private_key},
        scopes=["https://www.googleapis.com/auth/userinfo.email"],
    )


def connect_with_tokens(api: Asked, credentials: Any) -> KubernetesCluster:
    from kubernetes.client import ApiClient

    configuration = make_configuration()
    configuration.host = f"http://127.0.0.1:{api.server_port}"
    AccessTokens(lambda: credentials).attach(configuration)
    return KubernetesCluster(GPU_CLUSTER, ApiClient(configuration), namespace="prestream")


def test_each_request_bears_a_token_that_is_fetched_once_while_it_is_valid(
    private_key: str,
) -> None:
    with serve() as google, serve() as api:
        credentials = make_credentials(private_key, f"http://127.0.0.1:{google.server_port}/token")
        cluster = connect_with_tokens(api, credentials)

        list(cluster.list_nodes())
        list(cluster.list_nodes())
        credentials.expiry = dates.datetime(2020, 1, 1)  # noqa: DTZ001
        list(cluster.list_nodes())

        tokens = [token for _, token in api.asked]
        assert tokens == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
        assert len(google.asked) == 2


def test_without_credentials_no_cluster_can_be_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    directory = ClusterDirectory(Endpoints(), namespace="prestream")

    with pytest.raises(ConfigurationError, match="credentials"):
        directory.connect(GPU_CLUSTER)


def test_no_answer_to_the_request_for_a_token_is_a_transient_failure(private_key: str) -> None:
    with serve() as api:
        credentials = make_credentials(private_key, "http://127.0.0.1:1/token")

        with pytest.raises(TransientError, match="token"):
            list(connect_with_tokens(api, credentials).list_nodes())

        assert api.asked == []
