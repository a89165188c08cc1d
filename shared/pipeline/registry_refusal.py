"""Classify the refusals of registries by who is at fault."""

from collections.abc import Collection
from datetime import UTC, datetime

from shared.domain.manifest import RegistryRefusalError
from shared.domain.mirror import Source, project_of
from shared.domain.upstream import DEFAULT_PAUSE
from shared.errors import ConfigurationError, ImageError, TransientError

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429

_OUR_PERMISSION = "artifactregistry."
_OUR_QUOTA = ("quota metric", "artifactregistry.googleapis.com")


def judge_refusal(
    source: Source, refusal: RegistryRefusalError, projects: Collection[str]
) -> Exception:
    """
    Return the error for a refused image whose repository exists, by who is at fault.

    Args:
        source: The image.
        refusal: The answer of its registry.
        projects: Our projects. A tenant can name an image of any other project, so a refusal
            there never shows a fault of our identity or our quota.
    """
    image = source.image
    if source.repository is None and source.has_upstream:
        return _judge_in_place(source, refusal)
    is_foreign = source.repository is None and project_of(image) not in projects
    if refusal.status == _TOO_MANY:
        return _limited(source, refusal, is_foreign=is_foreign)
    if refusal.status == _NOT_FOUND:
        return ImageError(
            "pull_failed",
            f"there is no image {image}: {refusal}",
            hint="Check the name and the tag; if the image is private upstream, give its upstream"
            " credentials in prestream.yaml.",
        )
    if not is_foreign and _is_ours(source, refusal):
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


def _judge_in_place(source: Source, refusal: RegistryRefusalError) -> ImageError:
    """Return the error for an image that is read from its upstream, anonymously."""
    image = source.image
    setting = f"`upstreams.{image.registry}.mirror: always`"
    if refusal.status == _TOO_MANY:
        return ImageError(
            "postponed",
            f"{image.registry} limits pulls: {refusal}",
            hint=f"Set {setting} in prestream.yaml, with credentials, to raise the limit.",
            not_before=refusal.retry_at or datetime.now(UTC) + DEFAULT_PAUSE,
        )
    return ImageError(
        "pull_failed",
        f"image {image} cannot be read: {refusal}",
        hint=f"Check the name and the tag; a private image needs {setting}, with credentials.",
    )


def _is_ours(source: Source, refusal: RegistryRefusalError) -> bool:
    """Whether our identity is refused, at a repository that it has to read."""
    if refusal.by_upstream:
        return False
    return refusal.status == _UNAUTHORIZED or (
        refusal.status == _FORBIDDEN
        and source.repository is not None
        and _OUR_PERMISSION in refusal.message
    )


def _limited(source: Source, refusal: RegistryRefusalError, *, is_foreign: bool) -> Exception:
    """Return the error for our own quota of Artifact Registry, or for the limit of another."""
    text = refusal.message.lower()
    ours = not refusal.by_upstream and any(word in text for word in _OUR_QUOTA)
    if source.repository is not None and not ours:
        limiter = source.repository.upstream
        hint = f"Give credentials for {limiter} in prestream.yaml to raise its limit."
    elif is_foreign:
        limiter = f"project {project_of(source.image)}"
        hint = "Ask the owner of the project for more quota, or copy the image to your project."
    else:
        return TransientError(f"Artifact Registry's quota is spent: {refusal}")
    return ImageError(
        "postponed",
        f"{limiter} limits pulls: {refusal}",
        hint=hint,
        not_before=refusal.retry_at or datetime.now(UTC) + DEFAULT_PAUSE,
    )
