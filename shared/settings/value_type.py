"""
The types of values in the configuration file.

Each is a type with its constraints and, in ``extra``, the description of its allowed values. The
check of a file, its JSON Schema and its reference use them, so that they cannot differ.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.domain.placement import Placement, Toleration
from shared.domain.upstream import Upstream

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LABEL_VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = rf"(?:{_LABEL}(?:\.{_LABEL})*/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?"
_PROJECT = r"(?:[a-z0-9.-]+:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_REGION = r"[a-z]+-[a-z]+[0-9]+"
_CLUSTER = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"


def allowed(words: str) -> Meta:
    """Return the annotation with the description of the allowed values."""
    return Meta(extra={"allowed": words})


def _pattern(pattern: str) -> Meta:
    """Return the constraint; in Python, ``$`` alone would admit a final line feed."""
    return Meta(pattern=rf"^(?:{pattern})$(?!\n)")


Flag = Annotated[bool, allowed("true or false")]

Project = Annotated[
    str, _pattern(_PROJECT), allowed("the id of a project (lower-case letters, digits, hyphens)")
]

Location = Annotated[
    str,
    _pattern(rf"region|multi-region|us|europe|asia|{_REGION}"),
    allowed("region, multi-region, or a location such as us-central1, us, europe or asia"),
]

ClusterName = Annotated[
    str,
    _pattern(rf"{_CLUSTER}|projects/{_PROJECT}/locations/{_REGION}(?:-[a-z])?/clusters/{_CLUSTER}"),
    allowed("a cluster's name, alone or as projects/P/locations/L/clusters/C"),
]

Spread = Annotated[Literal["region", "cluster"], allowed("region or cluster")]

Rung = Annotated[
    Literal["gpu-node", "any-node", "new-gpu-node", "prewarm-api"],
    allowed("gpu-node, any-node, new-gpu-node or prewarm-api"),
]

ImagePattern = Annotated[
    str,
    _pattern(r"[^\s@:,]*[*/][^\s@:,]*|[^\s@:,/]+:[0-9*]+/[^\s@:,]+"),
    allowed("a pattern over REGISTRY/REPOSITORY, without tag or digest, such as ghcr.io/acme/*"),
]

Host = Annotated[
    str,
    _pattern(rf"(?:{_LABEL}(?:\.{_LABEL})+|localhost)(?::[0-9]{{1,5}})?"),
    allowed("the host of a registry in lower case, such as ghcr.io"),
]

# https://docs.cloud.google.com/artifact-registry/docs/repositories/create-repos
RepositoryId = Annotated[
    str,
    _pattern(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"),
    allowed("at most 63 lower-case letters, digits and hyphens, a letter first, no hyphen last"),
]

Username = Annotated[str, Meta(min_length=1, max_length=256), allowed("a name of 1 to 256 letters")]

SecretVersion = Annotated[
    str,
    _pattern(
        rf"projects/(?:{_PROJECT}|[0-9]+)/secrets/[A-Za-z0-9_-]{{1,255}}/versions/(?:[1-9][0-9]*|latest)"
    ),
    allowed("projects/P/secrets/S/versions/V, V a number or latest"),
]

RepositoryPath = Annotated[
    str,
    _pattern(r"(?:[a-z0-9*][a-z0-9._*-]*)(?:/[a-z0-9*][a-z0-9._*-]*)*"),
    allowed("a pattern over the repository without its registry, such as nvidia/*"),
]

Uri = Annotated[
    str,
    _pattern(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"),
    allowed("an https:// address without query, such as https://registry.example.com"),
]

AnonymousPulls = Annotated[
    int, Meta(ge=0, le=100_000), allowed("a whole number up to 100000; 0 for no limit")
]

LabelKey = Annotated[
    str,
    _pattern(_LABEL_KEY),
    allowed("the key of a label or taint, such as cloud.google.com/gke-spot"),
]

LabelValue = Annotated[
    str, _pattern(rf"(?:{_LABEL_VALUE})?"), allowed("the value of a label, as a string")
]

Target = Annotated[
    str,
    _pattern(_LABEL_VALUE),
    allowed("a name that can be a label's value: at most 63 letters, digits, '-', '_' and '.'"),
]

Namespace = Annotated[
    str,
    _pattern(_LABEL),
    allowed("the exact name of a namespace: at most 63 lower-case letters, digits and hyphens"),
]

Bytes = Annotated[int, Meta(ge=0), allowed("a whole number of bytes, 0 or more")]

MaxRunning = Annotated[int, Meta(ge=1, le=100), allowed("a whole number from 1 to 100")]

NamespaceBudget = Annotated[
    int, Meta(ge=0, le=100_000), allowed("a whole number up to 100000; 0 for no limit")
]

NamespaceDailyBudget = Annotated[
    int, Meta(ge=0, le=10**18), allowed("a whole number of bytes; 0 for no limit")
]

PeriodHours = Annotated[float, Meta(gt=0, le=8760), allowed("more than 0 and up to 8760 hours")]

Share = Annotated[float, Meta(ge=0, le=1), allowed("from 0 (nothing) to 1 (all of it)")]

DeadlineMinutes = Annotated[
    float, Meta(gt=0, le=1440), allowed("more than 0 and up to 1440 minutes")
]

CleanupDays = Annotated[int, Meta(ge=1, le=3650), allowed("a whole number of days from 1 to 3650")]

PrewarmDays = Annotated[int, Meta(ge=1, le=30), allowed("a whole number of days from 1 to 30")]

MaxEventAgeHours = Annotated[
    float, Meta(ge=0, le=744), allowed("from 0 (no limit) up to 744 hours")
]

Image = Annotated[
    str,
    Meta(min_length=1),
    allowed("an image reference, such as docker.io/library/busybox:1.37.0-musl"),
]


# KIND.GROUP and a path in its objects: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/custom-resources/
ResourceKind = Annotated[
    str,
    _pattern(rf"[A-Z][A-Za-z0-9]*\.{_LABEL}(?:\.{_LABEL})+"),
    allowed("KIND.GROUP, such as RayJob.ray.io"),
]

FieldPath = Annotated[
    str,
    _pattern(r"(?:\*\*\.)?[A-Za-z0-9_-]+(?:\[\])?(?:\.[A-Za-z0-9_-]+(?:\[\])?)*"),
    allowed("keys with dots between, [] after a list, such as spec.steps[].image"),
]


class UpstreamForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registry that may be mirrored, in the form of the file."""

    mirror: Annotated[Literal["always", "never"], allowed("always or never")] = "always"
    """`always`: nodes pull from a mirror. `never`, for Docker Hub alone: nodes pull public images
    from the registry itself, no mirror is created, and nothing is rewritten
    ([which one?](rewriting.md#docker-hub-without-a-mirror))."""

    repository: RepositoryId | None = None
    """ID of the mirror in Artifact Registry; by default `dockerhub-mirror` for Docker Hub,
    otherwise the host with dashes and `-mirror`."""

    username: Username | None = None
    """User with which Artifact Registry logs in; requires `password_secret_version`."""

    password_secret_version: SecretVersion | None = None
    """Secret Manager version with the password, which only Artifact Registry reads."""

    paths: Annotated[
        tuple[RepositoryPath, ...],
        allowed("a list of patterns over repositories without the registry, such as nvidia/*"),
    ] = ()
    """Patterns of the repositories that may be mirrored; empty: all. Required with credentials,
    because nodes can then read everything that the credentials can."""

    uri: Uri | None = None
    """Address of the registry, if it is not `https://HOST`."""

    anonymous_pulls: AnonymousPulls | None = None
    """Pulls that one sweep of a cluster may cause at a registry without credentials; by default 8
    for Docker Hub, otherwise no limit. `0`: no limit."""

    def list_faults(self) -> Iterator[str]:
        """Yield the problems of fields that are not valid together."""
        if (self.username is None) != (self.password_secret_version is None):
            yield "username and password_secret_version are only allowed together"
        if self.password_secret_version is not None and not self.paths:
            yield (
                "paths must list what may be mirrored with credentials, since every node could"
                " read whatever they can"
            )
        if self.mirror == "never":
            for name in ("repository", "username", "password_secret_version", "uri"):
                if getattr(self, name) is not None:
                    yield f"{name} belongs to a mirror, and mirror is never"

    def as_value(self) -> Upstream:
        """Return the value that the form describes."""
        return Upstream(
            repository=self.repository,
            username=self.username,
            password_secret_version=self.password_secret_version,
            paths=self.paths,
            uri=self.uri,
            anonymous_pulls=self.anonymous_pulls,
            is_mirrored=self.mirror == "always",
        )


class TolerationForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A toleration of a taint, as Kubernetes writes it."""

    key: LabelKey
    """Key of the taint. A toleration of every taint is not allowed."""

    operator: Annotated[Literal["Equal", "Exists"], allowed("Equal or Exists")] = "Equal"
    """`Equal` compares the value; `Exists` compares only the key."""

    value: LabelValue = ""
    """Value of the taint for `Equal`."""

    effect: Annotated[
        Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"],
        allowed("NoSchedule, PreferNoSchedule or NoExecute"),
    ] = ""
    """Effect of the taint; empty: all effects."""


class PlacementForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where warmups of a target run, as Kubernetes writes it."""

    nodeSelector: Annotated[  # noqa: N815  # Kubernetes' own word
        dict[LabelKey, LabelValue], allowed("labels with their values, as strings")
    ] = {}
    """Required labels of a node."""

    tolerations: Annotated[
        tuple[TolerationForm, ...], allowed("a list of tolerations, each with a key")
    ] = ()
    """Taints that the warmup tolerates."""

    def list_faults(self) -> Iterator[str]:
        """Yield the problems of fields that are not valid together."""
        for index, each in enumerate(self.tolerations):
            if each.operator == "Exists" and each.value:
                yield f"tolerations[{index}] has a value, which goes with the operator Equal only"

    def as_value(self) -> Placement:
        """Return the value that the form describes."""
        return Placement.of(
            self.nodeSelector,
            [
                Toleration(each.key, each.operator, each.value, each.effect)
                for each in self.tolerations
            ],
        )


Form = UpstreamForm | PlacementForm

FORMS: Mapping[type, type[Form]] = {Upstream: UpstreamForm, Placement: PlacementForm}
"""Types of the domain, and their forms in the file."""
