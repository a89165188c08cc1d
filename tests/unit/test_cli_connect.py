"""The cluster and project of a command: short names, contexts, and gcloud's configuration."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer

from cli.connect.clusters import resolve_clusters
from cli.connect.configuration import read_settings
from cli.connect.service_error import LOGIN, explain
from cli.doctor.check import unknown
from cli.doctor.check_list import print_checks
from cli.doctor.response import Unavailable
from tests.fakes.command_line import run_command

GPU = "projects/demo/locations/us-central1/clusters/gpu"


def write_kubeconfig(environ: dict[str, str], *contexts: str) -> None:
    path = Path(environ["HOME"]) / "kubeconfig"
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [],
        "users": [],
        "contexts": [{"name": each, "context": {}} for each in contexts],
    }
    path.write_text(json.dumps(body), encoding="utf-8")
    environ["KUBECONFIG"] = str(path)


def resolve(environ: Mapping[str, str], name: str, *, offline: bool = False) -> list[str]:
    return resolve_clusters(environ, read_settings(environ, None), [name], offline=offline)


@pytest.mark.parametrize("name", ["gpu", GPU])
def test_cluster_of_the_kubeconfig_is_found_by_its_name(environ: dict[str, str], name: str) -> None:
    write_kubeconfig(environ, "kind-gpu", "gke_demo_us-central1_gpu", "gke_demo_us-central1_cpu")

    assert resolve(environ, name, offline=True) == [GPU]


def test_name_of_two_clusters_is_refused_with_both(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_kubeconfig(environ, "gke_demo_us-central1_gpu", "gke_other_europe-west4_gpu")

    with pytest.raises(typer.Exit) as ended:
        resolve(environ, "gpu")

    assert ended.value.exit_code == 2
    assert f"{GPU}, projects/other/locations/europe-west4/clusters/gpu" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "policy --status", "wait nginx", "doctor"])
def test_unknown_context_is_refused_with_the_known_ones(
    environ: dict[str, str], command: str
) -> None:
    write_kubeconfig(environ, "gke_demo_us-central1_gpu")

    ended = run_command(environ, *command.split(), "--context", "nope")

    assert ended.exit_code == 2
    assert "no context 'nope'" in ended.stderr
    assert "gke_demo_us-central1_gpu" in ended.stderr


@pytest.mark.parametrize(
    ("variables", "files", "project"),
    [
        ({}, {"active_config": "work", "configurations/config_work": "[core]\nproject = a"}, "a"),
        ({"CLOUDSDK_CORE_PROJECT": "c"}, {}, "c"),
        (
            {"CLOUDSDK_ACTIVE_CONFIG_NAME": "d"},
            {"configurations/config_d": "[core]\nproject = d"},
            "d",
        ),
        (
            {"GOOGLE_CLOUD_PROJECT": "named", "CLOUDSDK_CORE_PROJECT": "gcloud-s"},
            {},
            "named",
        ),
    ],
)
def test_project_of_gcloud_counts_without_another(
    environ: dict[str, str],
    variables: dict[str, str],
    files: dict[str, str],
    project: str,
) -> None:
    del environ["GOOGLE_CLOUD_PROJECT"]
    for name, text in files.items():
        path = Path(environ["HOME"]) / ".config" / "gcloud" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    assert read_settings({**environ, **variables}, None).deployment_project == project


@pytest.mark.parametrize("text", ["[core]\n", "no ini", "[core]\nproject =", None])
def test_missing_project_is_reported_with_its_options(
    environ: dict[str, str], text: str | None
) -> None:
    del environ["GOOGLE_CLOUD_PROJECT"]
    folder = Path(environ["HOME"]) / ".config" / "gcloud" / "configurations"
    folder.mkdir(parents=True)
    (folder.parent / "active_config").write_text("default\n", encoding="utf-8")
    if text is not None:
        (folder / "config_default").write_text(text, encoding="utf-8")

    ended = run_command(environ, "status")

    assert ended.exit_code == 4
    assert "--project, or gcloud config set project" in ended.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot find the function's credentials: Your default credentials were not found.", LOGIN),
        (
            "cannot find the function's credentials: File a.json was not found.",
            f"credentials are missing: File a.json was not found. Run {LOGIN}",
        ),
        ("cannot read x: Reauthentication is needed. Please run `gcloud auth login`", LOGIN),
        (
            "cannot list nodes: HTTPSConnectionPool(host='a.example', port=443): resolution",
            "a.example:443 does not answer (its name cannot be resolved)",
        ),
        ("cannot read a\x1b[2J", "cannot read a\\x1b[2J"),
    ],
)
def test_error_of_a_service_is_explained(text: str, expected: str) -> None:
    assert explain(text).endswith(expected)


def test_one_cause_of_several_unknown_checks_is_printed_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cause = Unavailable("it", "credentials are missing")

    print_checks(
        [
            unknown("messages", "sink", "sink a", cause),
            unknown("messages", "sink", "sink b", cause),
            unknown("services", "api-enabled", "project demo", cause),
        ]
    )

    output = capsys.readouterr().out
    assert output.count("credentials are missing") == 1
    assert "3 checks could not be made" in output
    assert "sink: sink a, sink b" in output
    assert "api-enabled: project demo" in output
