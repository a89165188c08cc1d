"""Every call of a client gives up within its bound, and a delivery within Pub/Sub's deadline."""

import functools
import inspect
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import werkzeug.exceptions
import yaml
from cloudevents.http import CloudEvent

from cli.connect.fact_reader import FactReader
from cli.connect.repository_removal import RepositoryRemoval
from cli.doctor.google_reader import GoogleReader
from cli.doctor.image_config import ImageConfigs
from cli.doctor.response import GoogleRequest, Unavailable
from shared.clients.artifact_registry import ArtifactRegistry
from shared.clients.container_api import AccessTokens, ClusterDirectory
from shared.clients.deadline import DELIVERY_S, LONGEST_CALL_S, SWEEP_S, limited_to
from shared.clients.endpoint import Endpoints
from shared.clients.fact_log import FactLog
from shared.clients.kubernetes_api import KubernetesCluster
from shared.clients.prewarm_api import PrewarmingClient
from shared.clients.publisher import TopicPublisher
from shared.clients.registry import RegistryClient
from shared.clients.vendor_error import google_errors, kubernetes_errors, request_errors
from shared.domain.cluster import ClusterName
from shared.domain.fact import StreamObserved, Subject
from shared.domain.image_reference import Digest, parse_reference
from shared.domain.mirror import RemoteRepository, RepositoryName
from shared.domain.prewarm import ArtifactVersion
from shared.domain.request import Cause
from shared.errors import TransientError
from shared.messages.tick import Tick
from shared.runtime.handler import timed_handler
from tests.contract.terraform_files import MODULE, find_block, read_local

SMALL_S = 0.05
PATIENCE_S = 20.0
"""The limit of a call in these tests, far above its bound."""

CLIENTS: tuple[type, ...] = (
    ArtifactRegistry,
    ClusterDirectory,
    FactLog,
    FactReader,
    ImageConfigs,
    GoogleReader,
    KubernetesCluster,
    PrewarmingClient,
    RegistryClient,
    RepositoryRemoval,
    TopicPublisher,
)

DIGEST = Digest(f"sha256:{'5f2d' * 16}")
NAME = ClusterName("demo", "us-central1", "gpu")
REPOSITORY = RepositoryName("demo", "us-central1", "dockerhub-mirror")
REMOTE = RemoteRepository(REPOSITORY, "docker.io", None, None, 90)
IMAGE = parse_reference("us-central1-docker.pkg.dev/demo/apps/tool:1")
VERSION = ArtifactVersion(REPOSITORY, "team/tool", DIGEST, "linux/amd64")
SUBJECT = Subject(image="tool:1", mirror=None, digest=DIGEST, cluster=str(NAME), cause=Cause())
FACT = StreamObserved(
    subject=SUBJECT,
    at=datetime(2026, 1, 1, tzinfo=UTC),
    node="n",
    layers=1,
    streamed_layers=1,
    text="",
).as_fact()
REQUEST = Tick(str(NAME))
LOOK = GoogleRequest("container", "v1/projects/demo", "demo", "p", "r")

SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "s"}}

CALLS: dict[str, Callable[[Any], object]] = {
    "ArtifactRegistry.create_repository": lambda c: c.create_repository(REMOTE),
    "ArtifactRegistry.fetch_repository": lambda c: c.fetch_repository(REPOSITORY),
    "ArtifactRegistry.update_credentials": lambda c: c.update_credentials(REMOTE),
    "ClusterDirectory.connect": lambda c: c.connect(NAME),
    "ClusterDirectory.fetch_cluster": lambda c: c.fetch_cluster(NAME),
    "ClusterDirectory.list_clusters": lambda c: c.list_clusters("demo"),
    "FactLog.write": lambda c: c.write(FACT),
    "FactReader.read": lambda c: list(c.read(datetime(2026, 1, 1, tzinfo=UTC))),
    "FactReader.write": lambda c: c.write(FACT),
    "ImageConfigs.fetch_manifest": lambda c: c.fetch_manifest(IMAGE),
    "ImageConfigs.fetch_platform_of": lambda c: c.fetch_platform_of(IMAGE, DIGEST),
    "GoogleReader.read": lambda c: c.read(LOOK),
    "KubernetesCluster.create_job": lambda c: c.create_job({}),
    "KubernetesCluster.create_object": lambda c: c.create_object("namespaces", SPACE),
    "KubernetesCluster.delete_job": lambda c: c.delete_job("j", "u"),
    "KubernetesCluster.delete_object": lambda c: c.delete_object("v1", "namespaces", "s"),
    "KubernetesCluster.fetch_config_map": lambda c: c.fetch_config_map("m"),
    "KubernetesCluster.fetch_discovery": lambda c: c.fetch_discovery("/version"),
    "KubernetesCluster.fetch_group_versions": lambda c: c.fetch_group_versions(),
    "KubernetesCluster.fetch_job": lambda c: c.fetch_job("j"),
    "KubernetesCluster.fetch_namespace": lambda c: c.fetch_namespace(),
    "KubernetesCluster.fetch_node": lambda c: c.fetch_node("n"),
    "KubernetesCluster.fetch_object": lambda c: c.fetch_object("v1", "pods", "p", "ml"),
    "KubernetesCluster.list_events": lambda c: list(c.list_events("")),
    "KubernetesCluster.list_jobs": lambda c: list(c.list_jobs("")),
    "KubernetesCluster.list_nodes": lambda c: list(c.list_nodes()),
    "KubernetesCluster.list_objects": lambda c: list(c.list_objects("v1", "pods")),
    "KubernetesCluster.list_pod_events": lambda c: list(c.list_pod_events("")),
    "KubernetesCluster.fetch_pod": lambda c: c.fetch_pod("p", "ml"),
    "KubernetesCluster.list_pending_pods": lambda c: list(c.list_pending_pods()),
    "KubernetesCluster.list_pods": lambda c: list(c.list_pods("")),
    "KubernetesCluster.patch_config_map": lambda c: c.patch_config_map("m", {}),
    "KubernetesCluster.patch_job": lambda c: c.patch_job("j", {}),
    "KubernetesCluster.review_access": lambda c: c.review_access({}),
    "PrewarmingClient.check": lambda c: c.check(VERSION, location="us-central1"),
    "PrewarmingClient.list_artifacts": lambda c: list(c.list_artifacts(REPOSITORY)),
    "PrewarmingClient.list_repositories": lambda c: list(c.list_repositories("p")),
    "PrewarmingClient.prewarm": lambda c: c.prewarm(
        VERSION, location="us-central1", retention_days=7
    ),
    "PrewarmingClient.remove": lambda c: c.remove(VERSION, location="us-central1"),
    "RegistryClient.fetch_manifest": lambda c: c.fetch_manifest(IMAGE),
    "RepositoryRemoval.create_repository": lambda c: c.create_repository(REMOTE),
    "RepositoryRemoval.delete_repository": lambda c: c.delete_repository(REPOSITORY),
    "RepositoryRemoval.fetch_repository": lambda c: c.fetch_repository(REPOSITORY),
    "RepositoryRemoval.update_credentials": lambda c: c.update_credentials(REMOTE),
    "TopicPublisher.publish": lambda c: c.publish([REQUEST]),
    "TopicPublisher.send": lambda c: c.send([REQUEST]),
}


@pytest.fixture(scope="module", params=["silent", "closed"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield an address that takes connections and never answers, or that takes none."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "silent":
            server.listen(128)
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = {"TIMEOUT": (SMALL_S, SMALL_S), "RPC_TIMEOUT_S": SMALL_S}
    for name, module in tuple(sys.modules.items()):
        if name.startswith(("shared.clients.", "cli.connect.", "cli.doctor.")):
            for bound, value in bounds.items():
                if hasattr(module, bound):
                    monkeypatch.setattr(module, bound, value)


@pytest.fixture
def made(address: str, tmp_path: Path) -> Callable[[str], Any]:
    """Make a client of a name whose service is at that address."""

    def make(name: str) -> Any:
        if name == "KubernetesCluster":
            return connected(address, tmp_path)
        if name in {"FactLog", "FactReader"}:
            return {"FactLog": FactLog, "FactReader": FactReader}[name](
                "demo", emulator_host=address
            )
        if name == "ClusterDirectory":
            return ClusterDirectory(Endpoints(gke=address), namespace="prestream")
        if name == "GoogleReader":
            return GoogleReader(Endpoints(gke=address))
        if name == "TopicPublisher":
            return TopicPublisher("demo", "topic", emulator_host=address)
        clients: dict[str, Any] = {each.__name__: each for each in CLIENTS}
        return clients[name](emulator_host=address)

    return make


def connected(address: str, folder: Path) -> KubernetesCluster:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://{address}"}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    directory = ClusterDirectory(Endpoints(kubeconfig=str(path)), namespace="prestream")
    return directory.connect(NAME)


def ended(call: Callable[[], object]) -> object:
    """Return what a call returned or raised; fail if it does neither."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as exc:  # noqa: BLE001 - it is looked at by the test
            found.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert found, "the call waits for ever"
    return found[0]


@pytest.mark.parametrize("name", sorted(CALLS))
def test_call_without_an_answer_is_transient(name: str, made: Callable[[str], Any]) -> None:
    client = made(name.partition(".")[0])

    result = ended(lambda: CALLS[name](client))

    # The doctor reports that it could not see the service.
    assert isinstance(result, Unavailable if name == "GoogleReader.read" else TransientError)


def test_calls_of_all_clients_are_tried() -> None:
    methods = {
        f"{client.__name__}.{name}"
        for client in CLIENTS
        for name, member in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
    }

    assert methods == set(CALLS)


def test_all_clients_are_tried() -> None:
    import pkgutil
    from importlib import import_module

    import cli.connect
    import cli.doctor
    import shared.clients

    packages = (shared.clients, cli.connect, cli.doctor)
    clients = {
        member
        for package in packages
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        for _, member in inspect.getmembers(import_module(module.name), inspect.isclass)
        if member.__module__ == module.name
        and any(
            "self._call" in text or "_errors(" in text or "make_session" in text
            for base in member.__mro__
            if base.__module__.startswith(("shared.", "cli."))
            for text in [inspect.getsource(base)]
        )
    }
    # Publishers to one topic each; tokens are another test's.
    others = {"AccessTokens", "ReferencePublisher", "TickPublisher"}
    names = {each.__name__ for each in clients} - others

    assert names == {each.__name__ for each in CLIENTS}


def test_request_for_a_token_without_an_answer_is_transient(address: str) -> None:
    class Expired:
        valid = False
        token = None

        def refresh(self, request: Callable[..., Any]) -> None:
            request(f"http://{address}/token", method="GET")

    tokens = AccessTokens(Expired)

    result = ended(functools.partial(tokens, None))

    assert isinstance(result, TransientError)


# Deliveries.


@pytest.mark.parametrize("errors", [google_errors, kubernetes_errors, request_errors])
def test_late_delivery_makes_no_call(errors: Any) -> None:
    called = []

    with limited_to(-1.0), pytest.raises(TransientError, match="too long"), errors("look"):
        called.append(True)

    assert called == []


def test_command_has_no_such_limit() -> None:
    with limited_to(-1.0):
        pass
    with request_errors("look"):
        called = True

    assert called


def test_delivery_that_took_too_long_is_deferred() -> None:
    def handle(_: CloudEvent) -> Any:
        with request_errors("look"):
            raise AssertionError

    settle = timed_handler(-1.0)(handle)

    with pytest.raises(werkzeug.exceptions.ServiceUnavailable):
        settle(CloudEvent({"type": "t", "source": "s", "id": "m-1"}, {}))


def test_delivery_ends_before_pubsub_takes_it_for_lost() -> None:
    functions = read_local("functions")

    for name, function in functions.items():
        limit_s = SWEEP_S if name == "scheduled_sweep" else DELIVERY_S
        assert limit_s + LONGEST_CALL_S < function["timeout_s"], name


def test_pubsub_waits_as_long_as_the_function_may_take() -> None:
    subscription = find_block("resource", "google_pubsub_subscription.main", MODULE)

    assert subscription["ack_deadline_seconds"] == "${var.limits.timeout_s}"
