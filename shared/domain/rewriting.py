"""Rewrite a reference to its mirror, and trace a mirror's reference back to its upstream."""

from collections.abc import Mapping
from dataclasses import replace

from shared.domain.references import ImageReference
from shared.domain.repositories import ArtifactPath, RepositoryName, is_google_registry


def rewrite_reference(reference: ImageReference, mirror: RepositoryName) -> ImageReference:
    """
    Return the reference under which a mirror serves an upstream's image.

    Tag and digest stay. A reference that lies at Google already is returned as it is, so
    rewriting twice is rewriting once.

    >>> from shared.domain.references import parse_reference
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
    Return the upstream reference that one in our own mirror stands for; None for any other.

    Args:
        reference: A reference as somebody wrote it.
        project: The project that our mirrors lie in.
        upstreams: The upstream registry of each mirror's repository id.
    """
    artifact = ArtifactPath.split(reference.registry, reference.repository)
    if artifact is None or artifact.repository.project != project:
        return None
    upstream = upstreams.get(artifact.repository.repository_id)
    if upstream is None:
        return None
    return replace(reference, registry=upstream, repository=artifact.path)
