"""Problems in a settings file: each names its key and the allowed values."""

from collections.abc import Callable

import pytest

Refuse = Callable[[str], list[str]]
SECRET = "projects/demo/secrets/ngc/versions/1"  # noqa: S105  # the name of a secret


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
        pytest.param(
            "upstreams: {docker.io: {mirror: sometimes}}",
            "upstreams.docker.io.mirror",
            "always or never",
            id="mirror",
        ),
        pytest.param(
            "upstreams: {ghcr.io: {mirror: never}}",
            "upstreams.ghcr.io.mirror",
            "only docker.io",
            id="in-place-of-others",
        ),
        pytest.param(
            "upstreams: {docker.io: {mirror: never, repository: hub}}",
            "upstreams.docker.io",
            "repository belongs to a mirror",
            id="repository-without-a-mirror",
        ),
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
def test_problem_names_the_key_and_what_is_allowed(
    refuse: Refuse, text: str, key: str, words: str
) -> None:
    (problem,) = refuse(text)

    assert problem.startswith(f"{key}: ")
    assert words in problem


def test_value_that_grows_without_end_is_cut_in_the_message(refuse: Refuse) -> None:
    levels = [
        f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]" for name in "bcdefgh"
    ]

    problems = refuse("\n".join(["a: &a [x]", *levels, "include: *h"]))

    assert any(each.startswith("include[0]: [[[") for each in problems)
    assert max(map(len, problems)) < 1000


def test_line_feed_at_the_end_of_a_value_is_refused(refuse: Refuse) -> None:
    assert refuse('namespace: "prestream\\n"')[0].startswith("namespace: ")


@pytest.mark.parametrize("value", ["hunter2", "[hunter2]", "{hunter2: hunter2}"])
def test_password_in_place_of_its_secret_is_not_repeated(refuse: Refuse, value: str) -> None:
    text = f"upstreams: {{quay.io: {{username: me, password_secret_version: {value}}}}}"

    (problem,) = (each for each in refuse(text) if "password_secret_version: " in each)

    assert "what is given is not allowed" in problem
    assert "hunter2" not in problem
