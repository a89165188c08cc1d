"""prestream policy: what it prints for kubectl, and what it shows of a cluster."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from typer.testing import Result

from cli.connect.clusters import Reached
from cli.exits import ExitCode
from cli.policy import policy as module
from shared.domain.proven_mirrors import ProvenMirrors
from shared.errors import TransientError
from tests.fakes.clusters import GPU_CLUSTER, FakeCluster
from tests.fakes.clusters import POLICY_GROUP as GROUP
from tests.fakes.command_line import run_command

MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
CONTEXT = "gke_demo_us-central1_gpu"
Run = Callable[..., Result]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(GPU_CLUSTER)


@pytest.fixture
def run(cluster: FakeCluster, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command on this cluster."""

    def reach(*_: Any) -> Reached:
        return Reached(cluster)  # type: ignore[arg-type]  # a fake

    monkeypatch.setattr(module, "reach_cluster", reach)
    return functools.partial(run_command, environ, "policy")


def prove(cluster: FakeCluster, **data: str) -> None:
    entries = {key.replace("__", "."): text for key, text in data.items()}
    metadata = {"name": "proven-mirrors", "namespace": "prestream"}
    cluster.config_maps["proven-mirrors"] = {"metadata": metadata, "data": entries}


def test_status_shows_each_upstream(run: Run, cluster: FakeCluster) -> None:
    prove(
        cluster,
        docker__io=MIRROR,
        nvcr__io=f"on {MIRROR} nvidia/* !nvidia/tao",
        quay__io="off",
        ghcr__io="nonsense",
        pullSecrets="ignore",
    )

    output = run("--status").stdout
    rows = {line.split()[0]: line for line in output.splitlines()}

    assert str(GPU_CLUSTER) in output
    assert "proven" in rows["docker.io"]
    assert MIRROR in rows["docker.io"]
    assert "pinned on" in rows["nvcr.io"]
    assert "nvidia/*, but not nvidia/tao" in rows["nvcr.io"]
    assert "pinned off" in rows["quay.io"]
    assert "broken" in rows["ghcr.io"]
    assert "'nonsense'" in rows["ghcr.io"]
    assert "rewritten as well" in output


def test_status_as_json_has_the_same_content(run: Run, cluster: FakeCluster) -> None:
    prove(cluster, docker__io=f"{MIRROR} library/*", pullSecrets="skip")

    assert json.loads(run("--status", "--json").stdout) == {
        "cluster": str(GPU_CLUSTER),
        "parameter": "proven-mirrors",
        "pull_secrets": "skip",
        "upstreams": [
            {
                "upstream": "docker.io",
                "state": "proven",
                "mirror": MIRROR,
                "repositories": ["library/*"],
                "excluded": [],
                "fault": None,
            }
        ],
    }


def test_missing_parameter_rewrites_nothing(run: Run) -> None:
    result = run("--status")

    assert result.exit_code == ExitCode.DONE
    assert "nothing is rewritten" in result.stdout
    assert "ConfigMap proven-mirrors is missing" in result.stderr
    assert json.loads(run("--status", "--json").stdout)["parameter"] is None


def test_empty_parameter_has_a_hint(run: Run, cluster: FakeCluster) -> None:
    prove(cluster, pullSecrets="skip")

    assert "no mirror is proven yet" in run("--status").stdout


def test_silent_cluster_is_reported(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise TransientError("the cluster is away")

    monkeypatch.setattr(cluster, "fetch_config_map", fail)
    result = run("--status")

    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "the cluster is away" in result.stderr


def versions_of(output: str) -> list[str]:
    return [each["apiVersion"] for each in yaml.safe_load_all(output)]


def serve(cluster: FakeCluster, minor: str, *versions: str) -> None:
    """Let the API server serve other kinds of v1, and the policy in these versions."""
    other = {"name": "validatingadmissionpolicies"}
    policies = {"name": "mutatingadmissionpolicies"}
    cluster.discovery = {
        f"/apis/{GROUP}/v1": {"resources": [other]},
        "/version": {"major": "1", "minor": minor},
    }
    for version in versions:
        cluster.discovery[f"/apis/{GROUP}/{version}"] = {"resources": [other, policies]}


@pytest.mark.parametrize(
    ("minor", "served", "printed"),
    [
        pytest.param("36", ["v1"], "v1", id="1.36"),
        pytest.param("35+", ["v1beta1"], "v1beta1", id="1.35-with-the-beta-api"),
        pytest.param("37", ["v1beta1", "v1"], "v1", id="both"),
    ],
)
def test_version_is_the_one_that_the_api_server_serves(
    run: Run, cluster: FakeCluster, minor: str, served: list[str], printed: str
) -> None:
    serve(cluster, minor, *served)

    result = run("--context", CONTEXT)

    expected = f"{GROUP}/{printed}"
    assert versions_of(result.stdout) == [expected, expected, "v1"]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("minor", "can_enable"),
    [("33", False), ("34", True), ("35+", True), ("36", False), ("", False)],
)
def test_command_that_enables_the_beta_api_is_offered_where_it_exists(
    run: Run, cluster: FakeCluster, minor: str, *, can_enable: bool
) -> None:
    serve(cluster, minor)

    result = run("--context", CONTEXT)

    enabling = (
        "gcloud container clusters update gpu --project=demo --location=us-central1"
        f" --enable-kubernetes-unstable-apis={GROUP}/v1beta1/mutatingadmissionpolicies,"
        f"{GROUP}/v1beta1/mutatingadmissionpolicybindings"
    )
    assert (result.exit_code, result.stdout) == (ExitCode.UNAVAILABLE, "")
    assert "prestream rewrite" in result.stderr
    assert (enabling in result.stderr.splitlines()) == can_enable


def test_cluster_that_does_not_answer_prints_nothing(run: Run, cluster: FakeCluster) -> None:
    cluster.fail("fetch_discovery", TransientError("the cluster is away"))

    result = run("--context", CONTEXT)

    assert (result.exit_code, result.stdout) == (ExitCode.UNAVAILABLE, "")
    assert "the cluster is away" in result.stderr


def test_named_version_is_printed_without_a_cluster(run: Run, cluster: FakeCluster) -> None:
    cluster.fail("fetch_discovery", TransientError("the cluster is away"))

    printed = run("--api-version", "v1beta1", "--context", CONTEXT).stdout

    assert versions_of(printed) == [f"{GROUP}/v1beta1"] * 2 + ["v1"]


def test_version_without_a_cluster_is_noted(run: Run) -> None:
    result = run()

    assert versions_of(result.stdout) == [f"{GROUP}/v1"] * 2 + ["v1"]
    assert "no cluster to ask" in result.stderr


def test_policy_is_printed_as_it_is_applied(run: Run) -> None:
    bodies = list(yaml.safe_load_all(run().stdout))
    listed = json.loads(run("--json").stdout)

    assert [each["kind"] for each in bodies] == [
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ConfigMap",
    ]
    assert (listed["kind"], listed["items"]) == ("List", bodies)


def test_printed_parameter_proves_no_mirror(run: Run) -> None:
    *_, parameter = yaml.safe_load_all(run().stdout)

    assert ProvenMirrors.from_data(parameter["data"]) == ProvenMirrors()
