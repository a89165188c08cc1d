"""Classify the refusals of registries by who is at fault."""

from datetime import UTC, datetime

from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import Source
from shared.domain.upstream import DEFAULT_PAUSE
from shared.errors import ConfigurationError, ImageError, TransientError

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429

_OUR_PERMISSION = "artifactregistry."
_OUR_QUOTA = ("quota metric", "artifactregistry.googleapis.com")


def judge_refusal(source: Source, refusal: RegistryRefusalError) -> Exception:
    """Return the error for a refused image whose repository exists, by who is at fault."""
    image = source.image
    if refusal.status == _TOO_MANY:
        return _limited(source, refusal)
    if refusal.status == _NOT_FOUND:
        return ImageError(
            "pull_failed",
            f"there is no image {image}: {refusal}",
            hint="Check the name and the tag; if the image is private upstream, give its upstream"
            " credentials in prestream.yaml.",
        )
    if _is_ours(source, refusal):
        return ConfigurationError(
            f"the function's identity may not read {source.mirror.name}: {refusal}; grant it"
            " roles/artifactregistry.reader there"
        )
    hint = (
        f"Grant roles/artifactregistry.reader on {image.name} to the nodes' and to Prestream's"
        " service accounts, if it exists."
        if source.repository is None
        else f"Check the name; if the image is private, give credentials for {image.registry} in"
        " prestream.yaml."
    )
    return ImageError("pull_failed", f"image {image} is refused: {refusal}", hint=hint)


def _is_ours(source: Source, refusal: RegistryRefusalError) -> bool:
    """Whether our identity is refused, at a repository that it has to read."""
    if refusal.by_upstream:
        return False
    return refusal.status == _UNAUTHORIZED or (
        refusal.status == _FORBIDDEN
        and source.repository is not None
        and _OUR_PERMISSION in refusal.message
    )


def _limited(source: Source, refusal: RegistryRefusalError) -> Exception:
    """Return the error for our own quota of Artifact Registry, or for an upstream's limit."""
    text = refusal.message.lower()
    ours = not refusal.by_upstream and any(word in text for word in _OUR_QUOTA)
    if source.repository is None or ours:
        return TransientError(f"Artifact Registry's quota is spent: {refusal}")
    upstream = source.repository.upstream
    return ImageError(
        "postponed",
        f"{upstream} limits pulls: {refusal}",
        hint=f"Give credentials for {upstream} in prestream.yaml to raise its limit.",
        not_before=refusal.retry_at or datetime.now(UTC) + DEFAULT_PAUSE,
    )
