"""The settings: defaults, the file, and the environment."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.domain.placement import Placement, Toleration
from shared.domain.upstream import Upstream
from shared.errors import ConfigurationError
from shared.settings.keys import Settings, load_settings

Load = Callable[[str], Settings]

SECRET = "projects/demo/secrets/ngc/versions/1"  # noqa: S105  # the name of a secret


@pytest.mark.parametrize("text", ["", "# a comment\n", "---\n", "---\n# a comment\n...\n", "{}"])
def test_file_without_keys_means_all_defaults(load: Load, text: str) -> None:
    settings = load(text)

    assert settings == Settings(project="demo", deployment_project="demo")


def test_defaults_are_those_of_the_design(load: Load) -> None:
    settings = load("")

    assert settings.location == "region"
    assert settings.dry_run is False
    assert settings.clusters == settings.targets == "auto"
    assert settings.spread == "region"
    assert settings.ladder == ("gpu-node", "any-node")
    assert settings.accelerators_only is True
    assert (settings.include, settings.exclude) == (("*",), ())
    assert settings.min_image_bytes == 200_000_000
    assert list(settings.upstreams) == [
        "docker.io",
        "ghcr.io",
        "quay.io",
        "nvcr.io",
        "registry.k8s.io",
        "public.ecr.aws",
    ]
    assert set(settings.upstreams.values()) == {Upstream()}
    assert settings.placement_keys == {
        "cloud.google.com/gke-accelerator",
        "cloud.google.com/gke-tpu-accelerator",
        "cloud.google.com/gke-spot",
        "cloud.google.com/gke-provisioning",
        "cloud.google.com/compute-class",
        "cloud.google.com/gke-nodepool",
        "nvidia.com/gpu",
        "google.com/tpu",
    }
    assert settings.namespace == "prestream"
    assert (settings.max_running, settings.period_hours, settings.deadline_minutes) == (5, 48, 60)
    assert settings.namespace_budget == 100
    assert settings.helper_image == "docker.io/library/busybox:1.37.0-musl"
    assert (settings.cleanup_days, settings.max_event_age_hours) == (90, 24)


def test_system_namespaces_are_exact_names(load: Load) -> None:
    namespaces = load("").system_namespaces

    assert {"kube-system", "gmp-system", "gke-managed-system", "gke-managed-cim"} <= namespaces
    assert namespaces.isdisjoint({"default", "gke-training", "istio-system", "prestream"})


def test_every_key_is_read(load: Load) -> None:
    settings = load(
        f"""
        project: mirrors-project
        location: us
        dry_run: true
        clusters: [gpu, projects/demo/locations/us-central1-a/clusters/other]
        targets:
          l4:
            nodeSelector: {{cloud.google.com/gke-accelerator: nvidia-l4}}
            tolerations: [{{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}}]
          anywhere:
        projects: [team-a]
        spread: cluster
        ladder: [prewarm-api, new-gpu-node]
        accelerators_only: false
        include: ["docker.io/*", "*vllm*"]
        exclude: ["localhost:5000/*"]
        min_image_bytes: 0
        upstreams:
          docker.io:
          ghcr.io: {{repository: github}}
          nvcr.io:
            username: $oauthtoken
            password_secret_version: {SECRET}
            paths: ["nvidia/*"]
          registry.example.com:5000: {{uri: "https://internal.example.com"}}
        placement_keys: [example.com/pool]
        system_namespaces: [kube-system]
        namespace: warmups
        max_running: 100
        period_hours: 0.5
        sweep_share: 0
        deadline_minutes: 1440
        helper_image: busybox:1.36-musl
        cleanup_days: 1
        max_event_age_hours: 0
        """
    )

    assert settings == Settings(
        project="mirrors-project",
        deployment_project="demo",
        location="us",
        dry_run=True,
        clusters=("gpu", "projects/demo/locations/us-central1-a/clusters/other"),
        targets={
            "l4": Placement(
                (("cloud.google.com/gke-accelerator", "nvidia-l4"),),
                (Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule"),),
            ),
            "anywhere": Placement(),
        },
        projects=("team-a",),
        spread="cluster",
        ladder=("prewarm-api", "new-gpu-node"),
        accelerators_only=False,
        include=("docker.io/*", "*vllm*"),
        exclude=("localhost:5000/*",),
        min_image_bytes=0,
        upstreams={
            "docker.io": Upstream(),
            "ghcr.io": Upstream(repository="github"),
            "nvcr.io": Upstream(
                username="$oauthtoken", password_secret_version=SECRET, paths=("nvidia/*",)
            ),
            "registry.example.com:5000": Upstream(uri="https://internal.example.com"),
        },
        placement_keys=frozenset({"example.com/pool"}),
        system_namespaces=frozenset({"kube-system"}),
        namespace="warmups",
        max_running=100,
        period_hours=0.5,
        sweep_share=0.0,
        deadline_minutes=1440.0,
        helper_image="busybox:1.36-musl",
        cleanup_days=1,
        max_event_age_hours=0.0,
    )


def test_upstreams_in_the_file_replace_the_default_ones(load: Load) -> None:
    assert list(load("upstreams: {quay.io: }").upstreams) == ["quay.io"]
    assert load("upstreams: {}").upstreams == {}


@pytest.mark.parametrize(
    ("environ", "project", "deployment_project"),
    [
        pytest.param({"GOOGLE_CLOUD_PROJECT": "demo"}, "mirrors", "demo", id="both"),
        pytest.param({}, "mirrors", "mirrors", id="file-only"),
        pytest.param({"GOOGLE_CLOUD_PROJECT": ""}, "mirrors", "mirrors", id="empty-variable"),
    ],
)
def test_mirrors_may_lie_in_another_project(
    tmp_path: Path, environ: dict[str, str], project: str, deployment_project: str
) -> None:
    path = tmp_path / "prestream.yaml"
    path.write_text("project: mirrors")

    settings = load_settings({"PRESTREAM_CONFIG": str(path), **environ})

    assert (settings.project, settings.deployment_project) == (project, deployment_project)


def test_missing_project_is_reported_with_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "prestream.yaml"
    path.touch()

    with pytest.raises(ConfigurationError, match="project: missing, set GOOGLE_CLOUD_PROJECT"):
        load_settings({"PRESTREAM_CONFIG": str(path)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("max_running: 7", "7", id="file-beside-the-entry-point"),
        pytest.param(None, "5", id="no-file"),
    ],
)
def test_default_file_lies_beside_the_entry_point(
    tmp_path: Path, text: str | None, expected: str
) -> None:
    shutil.copytree(Path(__file__).parents[2] / "shared", tmp_path / "shared")
    if text is not None:
        (tmp_path / "prestream.yaml").write_text(text)
    (tmp_path / "main.py").write_text(
        "from shared.settings.keys import load_settings\n"
        "print(load_settings({'GOOGLE_CLOUD_PROJECT': 'demo'}).max_running)\n"
    )

    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, str(tmp_path / "main.py")], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == expected


def test_configuration_may_be_text_as_terraform_sets_it() -> None:
    text = '{"max_running": 8, "upstreams": {"docker.io": null}}'

    settings = load_settings({"GOOGLE_CLOUD_PROJECT": "demo", "PRESTREAM_CONFIG": text})

    assert settings.max_running == 8
    assert set(settings.upstreams) == {"docker.io"}


def test_shipped_file_means_all_defaults() -> None:
    assert load_settings({"GOOGLE_CLOUD_PROJECT": "demo"}) == Settings(
        project="demo", deployment_project="demo"
    )


def test_missing_file_that_is_named_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "missing.yaml"

    with pytest.raises(ConfigurationError, match=r"cannot read .*missing\.yaml"):
        load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "demo"})


def test_project_of_the_environment_is_checked_as_well(tmp_path: Path) -> None:
    path = tmp_path / "prestream.yaml"
    path.write_text("project: mirrors")

    with pytest.raises(ConfigurationError, match="GOOGLE_CLOUD_PROJECT: 'My Project' is not"):
        load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "My Project"})


def test_settings_cannot_be_changed(load: Load) -> None:
    settings = load("upstreams: {quay.io: }")

    with pytest.raises(AttributeError):
        settings.dry_run = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.upstreams["evil.example.com"] = Upstream()  # type: ignore[index]
