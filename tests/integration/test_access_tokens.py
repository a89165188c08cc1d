"""Access tokens of the requests to a cluster."""

import datetime as dates
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.oauth2 import service_account

from shared.clients.container_api import AccessTokens, ClusterDirectory
from shared.clients.endpoint import Endpoints
from shared.clients.kubernetes_api import KubernetesCluster, make_configuration
from shared.errors import ConfigurationError, TransientError
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.http_servers import Asked, serve

pytestmark = pytest.mark.integration


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


def test_token_is_fetched_once_while_it_is_valid(
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


def test_lookup_without_credentials_is_misconfigured(
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
