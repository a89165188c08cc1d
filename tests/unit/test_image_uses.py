"""Checks of how workloads pull an image."""

from collections.abc import Mapping
from typing import Any

from cli.doctor.check import Check
from cli.doctor.checks.image_uses import check_uses, find_uses
from cli.doctor.response import Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import parse_reference
from shared.domain.mirror import Source

TEXT = "vllm/vllm-openai:v0.6.3"
MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/vllm/vllm-openai:v0.6.3"
SOURCE = Source(parse_reference(TEXT), parse_reference(MIRROR))
NAME = ClusterName("demo", "us-central1", "gpu")
DIGEST = f"sha256:{'a' * 64}"


def pod(image: Any, namespace: str = "ml", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "trainer", "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": image}], **spec},
    }


def check(*pods: Mapping[str, Any]) -> dict[str, Check]:
    uses = find_uses(pods, SOURCE, DIGEST)
    return {each.name: each for each in check_uses(TEXT, NAME, SOURCE, uses)}


def test_pod_that_pulls_from_the_mirror_is_ok() -> None:
    found = check(pod(MIRROR), pod("nginx"))

    assert {name: each.verdict for name, each in found.items()} == {
        "pulled-name": "ok",
        "pull-secrets": "ok",
    }


def test_pod_that_pulls_from_upstream_fails_with_the_command_that_opts_in() -> None:
    found = check(pod(TEXT), pod(MIRROR, "other"))["pulled-name"]

    assert (found.verdict, found.fix) == (
        "failed",
        (
            "kubectl --context=gke_demo_us-central1_gpu label --overwrite namespace ml"
            " prestream.dev/rewrite=enabled"
        ),
    )


def test_pull_secrets_are_a_warning() -> None:
    found = check(pod(MIRROR, imagePullSecrets=[{"name": "hub"}]))["pull-secrets"]

    assert (found.verdict, "core/v1/namespaces/ml/pods/trainer" in found.finding) == (
        "warning",
        True,
    )


def test_image_is_known_by_its_digest_and_in_a_volume() -> None:
    volume = {"name": "model", "image": {"reference": f"{MIRROR.rpartition(':')[0]}@{DIGEST}"}}

    assert len(find_uses([pod("nginx", volumes=[volume])], SOURCE, DIGEST)) == 1


def test_other_versions_and_what_is_no_image_are_left_out() -> None:
    others = [
        pod("vllm/vllm-openai:v0.7"),
        pod(f"vllm/vllm-openai@sha256:{'b' * 64}"),
        pod(None),
        pod("no image"),
    ]

    assert find_uses(others, SOURCE, DIGEST) == []


def test_use_is_unknown_without_readable_pods() -> None:
    unseen = check_uses(TEXT, NAME, SOURCE, Unavailable("pods", "403"))

    assert [each.verdict for each in unseen] == ["unknown", "unknown"]
    assert {each.verdict for each in check(pod("nginx")).values()} == {"unknown"}
