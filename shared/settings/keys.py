"""
The settings of a deployment, from the configuration file and the environment.

Every key has a default, so an empty file works. Only entry points read the environment, and pass it
to this module.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.domain.image_reference import (
    DOCKER_HUB,
    DOCKER_HUB_ALIASES,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.mirror import is_google_registry, make_repository_id
from shared.domain.placement import Placement
from shared.domain.upstream import Upstream
from shared.errors import ConfigurationError
from shared.settings import value_type as kinds
from shared.settings.reader import ValueReader
from shared.settings.value_type import allowed
from shared.settings.yaml_file import Document, parse_document, read_document

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "prestream.yaml"
"""The file beside ``main.py`` in an archive, and at the root of a checkout."""

DEFAULT_UPSTREAMS: Mapping[str, Upstream] = MappingProxyType(
    {
        host: Upstream()
        for host in (
            "docker.io",
            "ghcr.io",
            "quay.io",
            "nvcr.io",
            "registry.k8s.io",
            "public.ecr.aws",
        )
    }
)

DEFAULT_PLACEMENT_KEYS = frozenset(
    {
        "cloud.google.com/compute-class",
        "cloud.google.com/gke-accelerator",
        "cloud.google.com/gke-nodepool",
        "cloud.google.com/gke-provisioning",
        "cloud.google.com/gke-spot",
        "cloud.google.com/gke-tpu-accelerator",
        "google.com/tpu",
        "nvidia.com/gpu",
    }
)

# The namespaces of Kubernetes, and those of GKE for its add-ons, which Autopilot protects. Names
# that users also choose, such as istio-system, are omitted: their workloads may run there.
DEFAULT_SYSTEM_NAMESPACES = frozenset(
    {
        "asm-system",
        "cnrm-system",
        "config-management-monitoring",
        "config-management-system",
        "configconnector-operator-system",
        "gke-connect",
        "gke-gmp-system",
        "gke-managed-ambient",
        "gke-managed-checkpointing",
        "gke-managed-cim",
        "gke-managed-dpv2-observability",
        "gke-managed-filestorecsi",
        "gke-managed-lustrecsi",
        "gke-managed-metrics-server",
        "gke-managed-mldiagnostics",
        "gke-managed-networking-dra-driver",
        "gke-managed-otel",
        "gke-managed-parallelstorecsi",
        "gke-managed-pod-snapshots",
        "gke-managed-slurm",
        "gke-managed-system",
        "gke-managed-volumepopulator",
        "gke-system",
        "gkebackup",
        "gmp-public",
        "gmp-system",
        "kube-node-lease",
        "kube-public",
        "kube-system",
        "resource-group-system",
    }
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of the file, and the values of the environment."""

    project: kinds.Project
    """Project of the mirrors; by default `GOOGLE_CLOUD_PROJECT`."""

    deployment_project: str
    """Project of the topics and functions (`GOOGLE_CLOUD_PROJECT`)."""

    location: kinds.Location = "region"
    """Location of the mirrors: `region` (of the cluster), `multi-region` (that contains it), or
    the name of a location."""

    dry_run: kinds.Flag = False
    """Decide and log everything, change nothing."""

    clusters: Annotated[
        Literal["auto"] | Annotated[tuple[kinds.ClusterName, ...], Meta(min_length=1)],
        allowed("auto, or a list of at least one cluster's name"),
    ] = "auto"
    """Watched clusters: `auto` (all with an accelerator pool or on Autopilot), or a list of names,
    short or as `projects/P/locations/L/clusters/C`."""

    projects: Annotated[
        tuple[kinds.Project, ...], allowed("a list of ids of projects, which may be empty")
    ] = ()
    """Further projects to search for clusters, in addition to the project of the functions."""

    targets: Annotated[
        Literal["auto"] | Annotated[Mapping[kinds.Target, Placement], Meta(min_length=1)],
        allowed("auto, or at least one name with a nodeSelector and tolerations"),
    ] = "auto"
    """Targets of a reference without placement: `auto` (every accelerator pool), or names, each
    with a `nodeSelector` and `tolerations`."""

    spread: kinds.Spread = "region"
    """Warm in one cluster per `region`, because its clusters share a streaming cache, or in each
    `cluster`."""

    ladder: Annotated[
        tuple[kinds.Rung, ...],
        Meta(min_length=1),
        allowed("a list of at least one of gpu-node, any-node, new-gpu-node and prewarm-api"),
    ] = ("gpu-node", "any-node")
    """Rungs, tried in this order: `gpu-node` (a ready node of the target), `any-node` (a ready
    node that streams), `new-gpu-node` (a node is added), `prewarm-api` (without a node)."""

    warm_pool: kinds.Flag = False
    """The watched clusters have the warm pool that Terraform can create: `any-node` adds a node
    there if no ready node streams."""

    accelerators_only: kinds.Flag = True
    """From the audit log, select only workloads that request an accelerator."""

    include: Annotated[
        tuple[kinds.ImagePattern, ...],
        Meta(min_length=1),
        allowed("a list of at least one pattern over REGISTRY/REPOSITORY"),
    ] = ("*",)
    """Patterns over the full name of an image, `REGISTRY/REPOSITORY`. At least one must match."""

    exclude: Annotated[
        tuple[kinds.ImagePattern, ...], allowed("a list of patterns over REGISTRY/REPOSITORY")
    ] = ()
    """Patterns over the full name of an image. An image that matches one is skipped."""

    min_image_bytes: kinds.Bytes = 200_000_000
    """Compressed size below which an image is skipped, because it starts fast anyway."""

    upstreams: Annotated[
        Mapping[kinds.Host, Upstream], allowed("hosts of registries, with or without details")
    ] = DEFAULT_UPSTREAMS
    """The only registries that may be mirrored. Each value may be empty."""

    placement_keys: Annotated[
        frozenset[kinds.LabelKey], allowed("a list of keys of labels and taints")
    ] = DEFAULT_PLACEMENT_KEYS
    """Keys of selectors and tolerations that a warmup may copy from a workload."""

    system_namespaces: Annotated[
        frozenset[kinds.Namespace], allowed("a list of exact names of namespaces")
    ] = DEFAULT_SYSTEM_NAMESPACES
    """Exact names of namespaces that are never watched."""

    namespace: kinds.Namespace = "prestream"
    """Namespace of warmup Jobs, in every cluster."""

    max_running: kinds.MaxRunning = 5
    """Maximum of running warmups in a cluster; others wait in the queue."""

    namespace_budget: kinds.NamespaceBudget = 100
    """Maximum of pending and running warmups for the workloads of one namespace in a cluster;
    further requests are postponed. Images that are built or pushed count for their repository.
    `0`: no limit."""

    namespace_daily_budget: kinds.NamespaceDailyBudget = 1_000_000_000_000
    """Maximum of compressed bytes that the warmups for one namespace may move in a cluster in 24
    hours; further requests are postponed. `0`: no limit."""

    period_hours: kinds.PeriodHours = 48.0
    """Hours after which an image in use is warmed again."""

    sweep_share: kinds.Share = 0.5
    """Share of a registry's rate limit that the sweep may use; the rest is for workloads. It needs
    the headers `ratelimit-limit` and `ratelimit-remaining`."""

    prewarm_days: kinds.PrewarmDays = 3
    """Days for which the rung `prewarm-api` caches an image; the sweep renews it before a third is
    left, if it is still in use."""

    deadline_minutes: kinds.DeadlineMinutes = 60.0
    """Deadline of a running warmup in minutes."""

    helper_image: kinds.Image = "docker.io/library/busybox:1.37.0-musl"
    """Image with the static binary that a warmup runs instead of the image's code."""

    image_paths: Annotated[
        Mapping[
            kinds.ResourceKind,
            Annotated[
                tuple[kinds.FieldPath, ...], allowed("a list of paths, such as spec.steps[].image")
            ],
        ],
        allowed("KIND.GROUP, each with a list of paths, such as spec.steps[].image"),
    ] = MappingProxyType({})
    """Fields of custom resources that name an image outside a pod spec, in addition to the table of
    [`prestream rewrite`](rewriting.md#custom-resources). `**.` before a path: at any depth."""

    cleanup_days: kinds.CleanupDays = 90
    """Days for which a mirror keeps a cached version, beside the five most recent of each image."""

    max_event_age_hours: kinds.MaxEventAgeHours = 24.0
    """Hours after which a published event is ignored. `0`: no limit."""

    @property
    def mirror_hosts(self) -> Mapping[str, str]:
        """The upstream registry of each mirror, by the ID of its repository."""
        return {
            upstream.repository or make_repository_id(host): host
            for host, upstream in self.upstreams.items()
        }


NOT_IN_FILE = frozenset({"deployment_project"})
"""Fields of the settings that are not keys of the file."""


def load_settings(environ: Mapping[str, str]) -> Settings:
    """
    Load the settings from the configuration file and the environment.

    ``PRESTREAM_CONFIG`` names the file, or is its text as a JSON object, as Terraform sets it.
    Without it, the file is `DEFAULT_FILE`, which may be missing.

    Raises:
        ConfigurationError: The file cannot be read or is invalid; the error names every problem.
    """
    name = environ.get("PRESTREAM_CONFIG")
    if name and name.startswith("{"):
        document = parse_document(name, name="PRESTREAM_CONFIG")
        return make_settings(document, environ, name="PRESTREAM_CONFIG")
    path = Path(name) if name else DEFAULT_FILE
    missing = not name and not path.exists()
    document = Document({}) if missing else read_document(path)
    return make_settings(document, environ, name=path.name)


def make_settings(document: Document, environ: Mapping[str, str], *, name: str) -> Settings:
    """
    Make the settings of a parsed file; errors call the file ``name``.

    Raises:
        ConfigurationError: A value is invalid; the error names every problem.
    """
    reader = ValueReader(list(document.problems))
    values = reader.read_fields(document.values, Settings, "", hidden=NOT_IN_FILE)
    deployment_project = reader.read(
        environ.get("GOOGLE_CLOUD_PROJECT") or None, kinds.Project | None, "GOOGLE_CLOUD_PROJECT"
    )
    if "project" not in document.values:
        values["project"] = deployment_project
        if deployment_project is None:
            reader.problems.append("project: missing, set GOOGLE_CLOUD_PROJECT or this key")
    problems = [*reader.problems, *_list_faults(values)]
    if problems:
        separator = "\n- " if len(problems) > 1 else " "
        raise ConfigurationError(separator.join([f"invalid settings in {name}:", *problems]))
    return Settings(**values, deployment_project=deployment_project or values["project"])


def _list_faults(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of values that are valid alone but not together."""
    if "helper_image" in values:
        try:
            parse_reference(values["helper_image"])
        except InvalidReferenceError as exc:
            yield f"helper_image: {exc}"
    repositories: dict[str, str] = {}
    for host, upstream in values.get("upstreams", {}).items():
        if host in DOCKER_HUB_ALIASES:
            yield f"upstreams.{host}: is an alias, only its full name is allowed: {DOCKER_HUB}"
        if is_google_registry(host):
            yield f"upstreams.{host}: is Google's own, whose images need no mirror"
        if not upstream.is_mirrored and host != DOCKER_HUB:
            yield f"upstreams.{host}.mirror: only {DOCKER_HUB} may be used without a mirror"
        repository = upstream.repository or make_repository_id(host)
        if repository in repositories:
            yield (
                f"upstreams.{host}.repository: {repository!r} is the mirror of"
                f" {repositories[repository]} already"
            )
        repositories.setdefault(repository, host)
