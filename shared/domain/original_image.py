"""What a rewritten pod says of the images that were written."""

import json
from typing import Any

from shared.domain.image_reference import (
    DEFAULT_NAMESPACE,
    InvalidReferenceError,
    parse_reference,
)
from shared.domain.json_access import field_at, mapping_of, text_of

ORIGINALS_ANNOTATION = "prestream.dev/original-images"
"""On a rewritten pod: a JSON object of the images as they were written, by those of the mirrors.

By image, not by container, so that it stays true when somebody changes a container's image later.
"""


def read_originals(body: Any) -> dict[str, str]:
    """
    Return the images of a rewritten pod as they were written, by those of the mirrors.

    Whoever may write a pod may write its annotations. So an entry is only believed if both name
    the same path and version, which leaves nothing to be forged but the registry.

    >>> mirrored = "us-docker.pkg.dev/demo/dockerhub-mirror/library/nginx:1"
    >>> annotations = {ORIGINALS_ANNOTATION: json.dumps({mirrored: "nginx:1"})}
    >>> read_originals({"metadata": {"annotations": annotations}}) == {mirrored: "nginx:1"}
    True
    """
    text = text_of(field_at(body, ("metadata", "annotations", ORIGINALS_ANNOTATION)))
    if text is None:
        return {}
    try:
        entries = mapping_of(json.loads(text))
    except (ValueError, RecursionError):
        return {}
    return {
        mirrored: original
        for mirrored, original in entries.items()
        if isinstance(original, str) and _is_original(original, mirrored)
    }


def _is_original(original: str, mirrored: str) -> bool:
    from shared.domain.mirror import ArtifactPath

    try:
        upstream, mirror = parse_reference(original), parse_reference(mirrored)
    except InvalidReferenceError:
        return False
    artifact = ArtifactPath.split(mirror.registry, mirror.repository)
    return (
        artifact is not None
        and (upstream.tag, upstream.digest) == (mirror.tag, mirror.digest)
        and artifact.path in {upstream.repository, f"{DEFAULT_NAMESPACE}/{upstream.repository}"}
    )
