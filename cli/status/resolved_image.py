"""The version of an image that a node would pull now."""

from dataclasses import dataclass, replace
from datetime import datetime

from cli.connect.service_error import explain
from cli.status.warmup_state import Observation
from shared.domain.cluster import ClusterName
from shared.domain.image_reference import Digest, WrittenImage
from shared.domain.manifest import Manifest
from shared.domain.mirror import Source
from shared.domain.postponement import Postponement
from shared.errors import ConfigurationError, EventError, ImageError, TransientError
from shared.pipeline.mirror_lookup import Mirrors, MissingMirrorError
from shared.pipeline.ports import ClusterApi
from shared.pipeline.upstream_limit import read_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImage:
    """The version of an image that a node of a cluster would pull now."""

    written: WrittenImage
    cluster: ClusterName
    mirror: str | None = None
    """The reference without a digest."""
    digest: Digest | None = None
    """``None`` if the digest could not be resolved; no warmup can then be matched to this image."""
    manifest: Manifest | None = None
    problem: str | None = None
    """The reason why the digest could not be resolved."""
    hint: str | None = None
    not_before: datetime | None = None
    """Until when its upstream may not be asked."""

    def is_seen_in(self, observation: Observation) -> bool:
        """Whether a warmup was of this version, in this cluster."""
        return observation.cluster == str(self.cluster) and observation.is_of(
            self.written.reference, self.mirror, self.digest
        )


def resolve_images(
    mirrors: Mirrors, image: WrittenImage, cluster: ClusterApi, now: datetime
) -> ResolvedImage:
    """
    Resolve an image to its current version; the mirror resolves a tag.

    An upstream that limits pulls is not asked before the time that the cluster has on record.

    Raises:
        ConfigurationError: Our identity may not read the mirror.
    """
    resolved = ResolvedImage(written=image, cluster=cluster.name)
    try:
        source = mirrors.locate(image.reference, cluster.name.location)
        mirror, digest = source.mirror.name, image.reference.digest
        resolved = replace(resolved, mirror=mirror, digest=digest)
        limit = _find_limit(mirrors, cluster, source, now)
        if limit is not None:
            return _with_problem(resolved, limit.reason, limit.hint, limit.not_before)
        manifest = mirrors.resolve(source)
    except MissingMirrorError:
        return _with_problem(resolved, "its mirror does not exist yet")
    except ImageError as exc:
        return _with_problem(resolved, explain(exc), exc.hint, exc.not_before)
    except TransientError as exc:
        return _with_problem(resolved, explain(exc))
    except ConfigurationError:
        if resolved.digest is None:
            raise
        # A digest names its version by itself.
        return resolved
    return replace(resolved, digest=manifest.digest, manifest=manifest)


def _find_limit(
    mirrors: Mirrors, cluster: ClusterApi, source: Source, now: datetime
) -> Postponement | None:
    """Return the record of a limit; None if there is none, or it cannot be read."""
    if not mirrors.may_be_limited(source):
        return None
    try:
        return read_limit(cluster, source, now)
    except EventError:
        return None


def _with_problem(
    resolved: ResolvedImage,
    problem: str,
    hint: str | None = None,
    not_before: datetime | None = None,
) -> ResolvedImage:
    return replace(
        resolved,
        problem=None if resolved.digest else problem,
        hint=hint,
        not_before=not_before,
    )
