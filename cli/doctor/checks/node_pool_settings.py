"""
Whether the nodes of a pool can stream, from its configuration.

https://docs.cloud.google.com/kubernetes-engine/docs/how-to/image-streaming
"""

from collections.abc import Iterator
from typing import Final

from cli.doctor.check import Check, Verdict, command
from cli.doctor.response import Body
from shared.domain.cluster import ClusterName
from shared.domain.json_access import field_at, list_of, mappings_of, text_of
from shared.domain.node_pool import has_accelerators, streams

_IMAGE: Final = "COS_CONTAINERD"
_UBUNTU: Final = "UBUNTU_CONTAINERD"
"""Newer than the requirement: secondary boot disks, which stream too, support this image."""
_SCOPE: Final = "https://www.googleapis.com/auth/"
_READING_SCOPES: Final = frozenset(
    {
        f"{_SCOPE}cloud-platform",
        f"{_SCOPE}devstorage.full_control",
        f"{_SCOPE}devstorage.read_only",
        f"{_SCOPE}devstorage.read_write",
    }
)
"""Any of them lets a node read images; GKE's default is ``devstorage.read_only``."""


def check_pool(name: ClusterName, pool: Body, cluster: Body) -> Iterator[Check]:
    """Check a pool by its description in the Container API."""
    pool_name = text_of(pool.get("name")) or "?"
    yield _check_streaming(name, pool_name, pool, is_on=streams(pool, cluster))
    yield _check_node_image(name, pool_name, pool)
    yield _check_scopes(name, pool_name, pool)


def _check_streaming(name: ClusterName, pool_name: str, pool: Body, *, is_on: bool) -> Check:
    wanted = has_accelerators(pool)
    effect = (
        "its nodes download every image whole"
        if wanted
        else "its nodes download every image whole, and cannot warm the cache for others"
    )
    return Check(
        topic="nodes",
        name="streaming-on",
        subject=f"node pool {pool_name} of cluster {name.name}",
        verdict="ok" if is_on else "failed" if wanted else "warning",
        looked_at=f"config.gcfsConfig of node pool {pool_name} in {name}",
        finding="image streaming is on"
        if is_on
        else f"image streaming is off: {effect}. The fix recreates the nodes",
        fix=None
        if is_on
        else command(
            *("gcloud", "container", "node-pools", "update", pool_name),
            *_in_cluster(name),
            "--enable-image-streaming",
        ),
    )


def _check_node_image(name: ClusterName, pool_name: str, pool: Body) -> Check:
    image = (text_of(field_at(pool, ("config", "imageType"))) or "").upper()
    is_fit = image == _IMAGE
    unfit: Verdict = "warning" if image == _UBUNTU else "failed"
    return Check(
        topic="nodes",
        name="node-image",
        subject=f"node pool {pool_name} of cluster {name.name}",
        verdict="ok" if is_fit else unfit if image else "unknown",
        looked_at=f"config.imageType of node pool {pool_name} in {name}",
        finding=_describe_image(image),
        fix=None
        if is_fit or not image
        else command(
            *("gcloud", "container", "clusters", "upgrade", name.name, f"--node-pool={pool_name}"),
            *(f"--location={name.location}", f"--project={name.project}"),
            f"--image-type={_IMAGE}",
        ),
    )


def _describe_image(image: str) -> str:
    if not image:
        return "the pool's description does not name the image of its nodes"
    if image == _IMAGE:
        return f"its nodes run {_IMAGE}"
    doubt = (
        f"and Google's documentation requires {_IMAGE}; a pull shows whether they stream"
        if image == _UBUNTU
        else f"and only {_IMAGE} streams"
    )
    return f"its nodes run {image}, {doubt}. The fix recreates the nodes"


def _check_scopes(name: ClusterName, pool_name: str, pool: Body) -> Check:
    scopes = [str(each) for each in list_of(field_at(pool, ("config", "oauthScopes")))]
    may_read = not _READING_SCOPES.isdisjoint(scopes)
    return Check(
        topic="nodes",
        name="node-scopes",
        subject=f"node pool {pool_name} of cluster {name.name}",
        verdict="ok" if may_read else "failed",
        looked_at=f"config.oauthScopes of node pool {pool_name} in {name}",
        finding="its nodes' access scopes let them read images"
        if may_read
        else "its nodes' access scopes do not let them read images, regardless of IAM; scopes"
        " cannot be changed, so the pool has to be replaced",
        fix=None
        if may_read
        else command(
            *("gcloud", "container", "node-pools", "create", f"{pool_name}-streaming"),
            *_in_cluster(name),
            *(f"--machine-type={_machine(pool)}", *_accelerators(pool)),
            "--scopes=cloud-platform",
            "--enable-image-streaming",
        ),
    )


def _machine(pool: Body) -> str:
    return text_of(field_at(pool, ("config", "machineType"))) or "e2-standard-4"


def _accelerators(pool: Body) -> list[str]:
    return [
        f"--accelerator=type={each.get('acceleratorType')},count={each.get('acceleratorCount')}"
        for each in mappings_of(field_at(pool, ("config", "accelerators")))
    ]


def _in_cluster(name: ClusterName) -> tuple[str, ...]:
    return f"--cluster={name.name}", f"--location={name.location}", f"--project={name.project}"
