"""The settings, from a file and an environment, and what is said about a file that is wrong."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shared.domain.placement import Placement, Toleration
from shared.domain.upstream import Upstream
from shared.errors import ConfigurationError
from shared.settings.keys import Settings, load_settings

Load = Callable[[str], Settings]
Refuse = Callable[[str], list[str]]

SECRET = "projects/demo/secrets/ngc/versions/1"  # noqa: S105  # the name of a secret


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load the settings of a file with this text."""

    def load_text(text: str) -> Settings:
        path = tmp_path / "custom.yaml"
        path.write_text(text, encoding="utf-8")
        return load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "demo"})

    return load_text


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """Return the problems for which a file with this text is refused."""

    def refuse_text(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        head, *problems = str(caught.value).split("\n- ")
        return problems or [head.partition("custom.yaml: ")[2] or head]

    return refuse_text


@pytest.mark.parametrize("text", ["", "# a comment\n", "---\n", "---\n# a comment\n...\n", "{}"])
def test_a_file_without_keys_means_all_defaults(load: Load, text: str) -> None:
    settings = load(text)

    assert settings == Settings(project="demo", deployment_project="demo")


def test_the_defaults_are_those_of_the_design(load: Load) -> None:
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


def test_without_any_project_the_error_says_what_to_set(tmp_path: Path) -> None:
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
def test_the_default_file_lies_beside_the_entry_point(
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


def test_the_shipped_file_means_all_defaults() -> None:
    assert load_settings({"GOOGLE_CLOUD_PROJECT": "demo"}) == Settings(
        project="demo", deployment_project="demo"
    )


def test_a_missing_file_that_is_named_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "missing.yaml"

    with pytest.raises(ConfigurationError, match=r"cannot read .*missing\.yaml"):
        load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "demo"})


def test_every_problem_is_named_at_once(refuse: Refuse) -> None:
    problems = refuse(
        """
        max_runing: 3
        dry_run: maybe
        ladder: [any-node, gpu-nod]
        upstreams:
          nvcr.io: {username: me, pasword_secret_version: x}
          ghcr.io: {repository: dockerhub-mirror}
          docker.io:
        targets:
          l4: {tolerations: [{operator: Exists}]}
        """
    )

    assert problems == [
        "max_runing: unknown key, did you mean 'max_running'?",
        "dry_run: 'maybe' is not allowed, only true or false",
        "ladder[1]: 'gpu-nod' is not allowed, only gpu-node, any-node, new-gpu-node or prewarm-api",
        (
            "upstreams.nvcr.io.pasword_secret_version: unknown key,"
            " did you mean 'password_secret_version'?"
        ),
        "targets.l4.tolerations[0].key: missing",
        "upstreams.docker.io.repository: 'dockerhub-mirror' is the mirror of ghcr.io already",
    ]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        pytest.param("project: Demo", "project", "'Demo'", id="project"),
        pytest.param("project: ''", "project", "''", id="empty-project"),
        pytest.param("project:", "project", "no value", id="project-without-value"),
        pytest.param("location: us-central1-a", "location", "us-central1", id="zone"),
        pytest.param("location: regoin", "location", "multi-region", id="location"),
        pytest.param("dry_run: yes", "dry_run", "true or false", id="yaml-1.1-bool"),
        pytest.param("dry_run: 1", "dry_run", "true or false", id="number-for-bool"),
        pytest.param("clusters: gpu", "clusters", "a list", id="one-cluster"),
        pytest.param("clusters: []", "clusters", "at least one", id="no-cluster"),
        pytest.param("clusters: [a, a]", "clusters[1]", "twice", id="cluster-twice"),
        pytest.param("clusters: [p/l/c]", "clusters[0]", "projects/P", id="cluster-name"),
        pytest.param("targets: {}", "targets", "at least one", id="no-target"),
        pytest.param("targets: {'a b': }", "targets.a b", "label", id="target-name"),
        pytest.param(
            "targets: {a: {nodeSelector: {gpu: true}}}",
            "targets.a.nodeSelector.gpu",
            "as a string",
            id="selector-value",
        ),
        pytest.param(
            "targets: {a: {nodeSelector: l4}}", "targets.a.nodeSelector", "labels", id="selector"
        ),
        pytest.param("targets: {a: l4}", "targets.a", "keys with values", id="target"),
        pytest.param(
            "targets: {a: {tolerations: [{key: k, operator: Exists, value: v}]}}",
            "targets.a",
            "tolerations[0] has a value",
            id="toleration",
        ),
        pytest.param("spread: zone", "spread", "region or cluster", id="spread"),
        pytest.param("ladder: []", "ladder", "at least one", id="no-rung"),
        pytest.param("ladder: [any-node, any-node]", "ladder[1]", "twice", id="rung-twice"),
        pytest.param("include: []", "include", "at least one", id="no-pattern"),
        pytest.param("include: ['ghcr.io/a:1']", "include[0]", "without tag", id="tag-in-pattern"),
        pytest.param("exclude: [nginx]", "exclude[0]", "REGISTRY/REPOSITORY", id="short-pattern"),
        pytest.param("min_image_bytes: 1.5", "min_image_bytes", "whole number", id="half-a-byte"),
        pytest.param("min_image_bytes: 200MB", "min_image_bytes", "bytes", id="unit"),
        pytest.param("upstreams: [docker.io]", "upstreams", "hosts", id="upstream-list"),
        pytest.param("upstreams:", "upstreams", "no value", id="upstreams-without-value"),
        pytest.param("upstreams: {Docker.io: }", "upstreams.Docker.io", "lower case", id="case"),
        pytest.param("upstreams: {ghcr.io/a: }", "upstreams.ghcr.io/a", "host", id="path-in-host"),
        pytest.param(
            "upstreams: {index.docker.io: }", "upstreams.index.docker.io", "docker.io", id="alias"
        ),
        pytest.param(
            "upstreams: {us-docker.pkg.dev: }",
            "upstreams.us-docker.pkg.dev",
            "need no mirror",
            id="google-registry",
        ),
        pytest.param(
            "upstreams: {quay.io: {repository: Quay}}",
            "upstreams.quay.io.repository",
            "lower-case",
            id="repository",
        ),
        pytest.param(
            "upstreams: {quay.io: {username: me, paths: [a]}}",
            "upstreams.quay.io",
            "only allowed together",
            id="username-alone",
        ),
        pytest.param(
            f"upstreams: {{quay.io: {{password_secret_version: {SECRET}, paths: [a]}}}}",
            "upstreams.quay.io",
            "only allowed together",
            id="secret-alone",
        ),
        pytest.param(
            f"upstreams: {{quay.io: {{username: me, password_secret_version: {SECRET}}}}}",
            "upstreams.quay.io",
            "paths must list",
            id="credentials-without-paths",
        ),
        pytest.param(
            "upstreams: {quay.io: {username: me, password_secret_version: hunter2, paths: [a]}}",
            "upstreams.quay.io.password_secret_version",
            "projects/P/secrets/S/versions/V",
            id="secret-name",
        ),
        pytest.param(
            "upstreams: {quay.io: {paths: nvidia}}",
            "upstreams.quay.io.paths",
            "a list",
            id="path-without-list",
        ),
        pytest.param(
            "upstreams: {quay.io: {paths: ['/a']}}",
            "upstreams.quay.io.paths[0]",
            "without its registry",
            id="absolute-path",
        ),
        pytest.param(
            "upstreams: {quay.io: {uri: 'http://quay.io'}}",
            "upstreams.quay.io.uri",
            "https://",
            id="plain-http",
        ),
        pytest.param(
            "upstreams: {quay.io: {uri: 'https://me:secret@quay.io'}}",
            "upstreams.quay.io.uri",
            "https://",
            id="credentials-in-uri",
        ),
        pytest.param("placement_keys: [a b]", "placement_keys[0]", "key of a label", id="key"),
        pytest.param(
            "system_namespaces: ['gke-*']", "system_namespaces[0]", "exact name", id="wildcard"
        ),
        pytest.param("namespace: Pre_Stream", "namespace", "namespace", id="namespace"),
        pytest.param("max_running: 0", "max_running", "from 1 to 100", id="none-running"),
        pytest.param("sweep_share: 50", "sweep_share", "from 0 (nothing) to 1", id="percentage"),
        pytest.param("projects: [Demo]", "projects[0]", "id of a project", id="no-project"),
        pytest.param("max_running: 101", "max_running", "from 1 to 100", id="too-many-running"),
        pytest.param("max_running: true", "max_running", "whole number", id="bool-for-number"),
        pytest.param("period_hours: 0", "period_hours", "more than 0", id="no-period"),
        pytest.param("period_hours: .nan", "period_hours", "more than 0", id="not-a-number"),
        pytest.param("period_hours: .inf", "period_hours", "8760", id="infinite"),
        pytest.param("period_hours: '48'", "period_hours", "'48'", id="number-in-quotes"),
        pytest.param("deadline_minutes: -1", "deadline_minutes", "more than 0", id="deadline"),
        pytest.param("helper_image: Busy Box", "helper_image", "'Busy Box'", id="helper-image"),
        pytest.param("cleanup_days: 0", "cleanup_days", "from 1", id="cleanup"),
        pytest.param("max_event_age_hours: -1", "max_event_age_hours", "no limit", id="age"),
        pytest.param(
            "deployment_project: other", "deployment_project", "unknown key", id="no-key-of-file"
        ),
        pytest.param("5: 6", "5", "unknown key, only accelerators_only", id="nothing-near"),
    ],
)
def test_a_problem_names_the_key_and_what_is_allowed(
    refuse: Refuse, text: str, key: str, words: str
) -> None:
    (problem,) = refuse(text)

    assert problem.startswith(f"{key}: ")
    assert words in problem


def test_the_project_of_the_environment_is_checked_as_well(tmp_path: Path) -> None:
    path = tmp_path / "prestream.yaml"
    path.write_text("project: mirrors")

    with pytest.raises(ConfigurationError, match="GOOGLE_CLOUD_PROJECT: 'My Project' is not"):
        load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "My Project"})


def test_a_key_that_is_given_twice_is_refused_with_both_lines(refuse: Refuse) -> None:
    problems = refuse("max_running: 1\nupstreams:\n  quay.io:\n  quay.io:\nmax_running: 2\n")

    assert problems == [
        "max_running: given twice, in line 1 and in line 5",
        "quay.io: given twice, in line 3 and in line 4",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("dry_run: true\n  max_running: 1\n", "line 2, column 14", id="indentation"),
        pytest.param("include: [a\n", "line 2, column 1", id="open-list"),
        pytest.param("location: %us\n", "line 1, column 11", id="odd-character"),
        pytest.param("a: !!python/object:os.system x\n", "line 1, column 4", id="python-object"),
        pytest.param("a: 1\n---\na: 2\n", "line 2, column 1", id="two-documents"),
        pytest.param("a: *nothing\n", "line 1, column 4", id="unknown-alias"),
        pytest.param("[a]: 1\n", "line 1, column 1", id="list-as-key"),
        pytest.param("a: \x00\n", "not valid YAML", id="nul"),
        pytest.param("- a\n", "holds a list", id="list"),
        pytest.param("prestream\n", "holds a str", id="text"),
        pytest.param("a: " + "[" * 5000, "not valid YAML", id="deep-nesting"),
        pytest.param("max_running: 1" + "0" * 5000, "not valid YAML", id="huge-number"),
    ],
)
def test_what_is_no_yaml_of_keys_is_refused_with_its_place(
    refuse: Refuse, text: str, words: str
) -> None:
    (problem,) = refuse(text)

    assert words in problem


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prestream.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationError, match="cannot read"):
        load_settings({"PRESTREAM_CONFIG": str(path), "GOOGLE_CLOUD_PROJECT": "demo"})


def test_numbers_are_those_of_yaml_1_2(load: Load) -> None:
    settings = load("cleanup_days: 0100\nmin_image_bytes: 0x10\nmax_running: 0o17\n")

    assert (settings.cleanup_days, settings.min_image_bytes, settings.max_running) == (100, 16, 15)


def test_the_parser_in_python_reads_the_same(
    load: Load, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyYAML is without its parser in C where libyaml was missing when it was built.
    monkeypatch.delattr(yaml, "CSafeLoader")

    assert load("# nothing") == Settings(project="demo", deployment_project="demo")
    assert load("cleanup_days: 0100").cleanup_days == 100
    assert refuse("dry_run: yes\ndry_run: true") == [
        "dry_run: given twice, in line 1 and in line 2"
    ]
    assert "line 2, column 1" in refuse("include: [a\n")[0]


def test_anchors_and_merges_are_followed(load: Load) -> None:
    settings = load(
        """
        upstreams:
          quay.io: &login
            username: me
            password_secret_version: projects/p/secrets/s/versions/latest
            paths: [a]
          ghcr.io: {<<: *login, paths: [b]}
        """
    )

    assert settings.upstreams["ghcr.io"].username == "me"
    assert settings.upstreams["ghcr.io"].paths == ("b",)


def test_a_value_that_grows_without_end_is_cut_in_the_message(refuse: Refuse) -> None:
    levels = [
        f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]" for name in "bcdefgh"
    ]

    problems = refuse("\n".join(["a: &a [x]", *levels, "include: *h"]))

    assert any(each.startswith("include[0]: [[[") for each in problems)
    assert max(map(len, problems)) < 1000


def test_a_line_feed_at_the_end_of_a_value_is_refused(refuse: Refuse) -> None:
    assert refuse('namespace: "prestream\\n"')[0].startswith("namespace: ")


def test_settings_cannot_be_changed(load: Load) -> None:
    settings = load("upstreams: {quay.io: }")

    with pytest.raises(AttributeError):
        settings.dry_run = True  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.upstreams["evil.example.com"] = Upstream()  # type: ignore[index]


@pytest.mark.parametrize("value", ["hunter2", "[hunter2]", "{hunter2: hunter2}"])
def test_a_password_where_the_name_of_its_secret_belongs_is_not_repeated(
    refuse: Refuse, value: str
) -> None:
    text = f"upstreams: {{quay.io: {{username: me, password_secret_version: {value}}}}}"

    (problem,) = (each for each in refuse(text) if "password_secret_version: " in each)

    assert "what is given is not allowed" in problem
    assert "hunter2" not in problem
