"""
Rewrite an image to its mirror, and trace a mirror's image back to its upstream.

The API server rewrites pods, and ``prestream rewrite`` rewrites files. Both follow one rule: this
module and infra/kubernetes/rewriting/policy.yaml, which one table of cases tests
(tests/contract/rewriting_cases.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.domain.image_fields import ImageField
from shared.domain.image_reference import (
    DEFAULT_NAMESPACE,
    DOCKER_HUB,
    DOCKER_HUB_ALIASES,
    MAX_REPOSITORY_LENGTH,
    ImageReference,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.json_access import mapping_of
from shared.domain.mirror import ArtifactPath, RepositoryName, is_google_registry
from shared.domain.proven_mirrors import Proof, PullSecrets

OPT_IN = ("prestream.dev/rewrite", "enabled")
"""The label of a namespace whose new pods are rewritten."""

OPT_OUT = ("prestream.dev/rewrite", "disabled")
"""A label or an annotation of a pod that must not be rewritten."""

SKIPPED_ANNOTATION = "prestream.dev/rewrite-skipped"
"""The annotation with the reason, on a pod that was not rewritten."""


class Left(StrEnum):
    """The reason for which an image is not rewritten."""

    INVALID = "invalid"
    """The image is not a reference."""
    AT_GOOGLE = "at_google"
    """The image is in a registry of Google's, perhaps in a mirror."""
    NO_MIRROR = "no_mirror"
    """A proven mirror of the registry, or of the path, does not exist."""
    TOO_LONG = "too_long"
    """The rewritten reference would be too long."""
    OPTED_OUT = "opted_out"
    """A label or an annotation of the pod excludes it."""
    NEVER_PULLED = "never_pulled"
    """The image is already on the node, under its written name."""
    PULL_SECRETS = "pull_secrets"
    """The pod has imagePullSecrets."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The result for an image: its mirror's reference, or the reason to keep it."""

    image: str
    """The image as written."""
    mirror: str | None = None
    """The reference that is pulled instead."""
    left: Left | None = None
    sentence: str | None = None
    """The reason as a sentence."""


def rewrite_image(text: str, proofs: Mapping[str, Proof]) -> Rewrite:
    """
    Rewrite the text of an image field.

    Tag and digest stay as they are written. Images in Google's registries are not rewritten, so a
    second rewrite changes nothing.

    >>> proofs = {"docker.io": Proof("us-docker.pkg.dev/demo/dockerhub-mirror")}
    >>> rewrite_image("nginx:1.27", proofs).mirror
    'us-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:1.27'
    >>> rewrite_image("quay.io/acme/app", proofs).sentence
    'no mirror of quay.io is known'
    """
    try:
        reference = parse_reference(text)
    except InvalidReferenceError as exc:
        return Rewrite(text, left=Left.INVALID, sentence=str(exc))
    host, repository = _full_name(reference)
    if is_google_registry(host):
        return Rewrite(text, left=Left.AT_GOOGLE, sentence="it lies at Google already")
    proof = proofs.get(host)
    if proof is None or not proof.covers(repository):
        what = f"{repository} from {host}" if proof and proof.pin != "off" else host
        return Rewrite(text, left=Left.NO_MIRROR, sentence=f"no mirror of {what} is known")
    name = f"{proof.mirror}/{repository}"
    if len(name) > MAX_REPOSITORY_LENGTH:
        sentence = f"the mirror's name would have more than {MAX_REPOSITORY_LENGTH} characters"
        return Rewrite(text, left=Left.TOO_LONG, sentence=sentence)
    last = reference.repository.rpartition("/")[2]
    return Rewrite(text, f"{name}{text.rpartition('/')[2].removeprefix(last)}")


def rewrite_field(field: ImageField, proofs: Mapping[str, Proof], secrets: PullSecrets) -> Rewrite:
    """
    Rewrite an image field of a pod, or of a pod template.

    Args:
        field: The field; its image must be a text.
        proofs: The proven mirrors, by the upstream's host.
        secrets: Whether pods with imagePullSecrets are skipped.
    """
    rewrite = rewrite_image(field.image, proofs)
    if rewrite.mirror is None:
        return rewrite
    key, value = OPT_OUT
    marks = (mapping_of(field.metadata.get(name)) for name in ("labels", "annotations"))
    if any(mark.get(key) == value for mark in marks):
        sentence = f"the pod opts out with {key}: {value}"
        return Rewrite(field.image, left=Left.OPTED_OUT, sentence=sentence)
    if field.pull_policy == "Never":
        return Rewrite(field.image, left=Left.NEVER_PULLED, sentence="it is never pulled")
    if secrets == "skip" and field.holder.get("imagePullSecrets"):
        sentence = "the pod has imagePullSecrets"
        return Rewrite(field.image, left=Left.PULL_SECRETS, sentence=sentence)
    return rewrite


def _full_name(reference: ImageReference) -> tuple[str, str]:
    """Return the registry, in lower case, and the repository."""
    host = reference.registry.lower()
    if host not in {DOCKER_HUB, *DOCKER_HUB_ALIASES}:
        return host, reference.repository
    path = reference.repository
    return DOCKER_HUB, path if "/" in path else f"{DEFAULT_NAMESPACE}/{path}"


def rewrite_reference(reference: ImageReference, mirror: RepositoryName) -> ImageReference:
    """
    Return the reference under which a mirror serves an upstream's image.

    Tag and digest stay. A reference to a registry of Google's is returned unchanged, so a second
    rewrite changes nothing.

    >>> from shared.domain.image_reference import parse_reference
    >>> mirror = RepositoryName("demo", "us-central1", "dockerhub-mirror")
    >>> str(rewrite_reference(parse_reference("nginx:1.27"), mirror))
    'us-central1-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:1.27'
    """
    if is_google_registry(reference.registry):
        return reference
    return replace(
        reference,
        registry=mirror.registry,
        repository=f"{mirror.path}/{reference.repository}",
    )


def trace_upstream(
    reference: ImageReference, project: str, upstreams: Mapping[str, str]
) -> ImageReference | None:
    """
    Return the upstream reference of a reference to our own mirror; ``None`` for any other.

    Args:
        reference: A reference as written.
        project: The project of our mirrors.
        upstreams: The upstream registry of each mirror's repository ID.
    """
    artifact = ArtifactPath.split(reference.registry, reference.repository)
    if artifact is None or artifact.repository.project != project:
        return None
    upstream = upstreams.get(artifact.repository.repository_id)
    if upstream is None:
        return None
    return replace(reference, registry=upstream, repository=artifact.path)
