"""How workloads pull an image: the name and the credentials that they use."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cli.doctor.check import Check, command, unknown
from cli.doctor.response import Body, Unavailable
from shared.domain.cluster import ClusterName
from shared.domain.image_fields import containers_of, image_volumes_of
from shared.domain.image_reference import ImageReference, InvalidReferenceError, parse_reference
from shared.domain.json_access import field_at, mapping_of, text_of
from shared.domain.mirror import Source
from shared.domain.owner import find_workload

_MAX_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Use:
    """A pod that pulls an image."""

    workload: str
    namespace: str
    reference: ImageReference
    """The reference that its node pulls."""
    has_pull_secrets: bool


def find_uses(pods: Iterable[Body], source: Source, digest: str | None) -> list[Use]:
    """
    Return the pods that pull an image from upstream or from its mirror.

    Args:
        pods: The pods of a cluster.
        source: The image, and its mirror.
        digest: The digest that the registry returns for it, if known.
    """
    names = {source.image.name, source.mirror.name}
    found = []
    for pod in pods:
        spec = mapping_of(pod.get("spec"))
        texts = [each.get("image") for each in containers_of(spec)]
        texts += [each.get("reference") for each in image_volumes_of(spec)]
        for reference in _parse(texts):
            if reference.name in names and _is_same(reference, source.image, digest):
                secrets = bool(spec.get("imagePullSecrets"))
                namespace = text_of(field_at(pod, ("metadata", "namespace"))) or ""
                found.append(Use(find_workload(pod), namespace, reference, secrets))
    return found


def check_uses(
    text: str, name: ClusterName, source: Source, uses: Sequence[Use] | Unavailable
) -> Iterator[Check]:
    """Check the name and the credentials with which an image is pulled."""
    subject = f"{text} in cluster {name.name}"
    if isinstance(uses, Unavailable):
        yield unknown("image", "pulled-name", subject, uses)
        yield unknown("image", "pull-secrets", subject, uses)
        return
    what = f"pods of {name}"
    if not uses:
        unseen = Unavailable(what, "no pod runs it at the moment")
        yield unknown("image", "pulled-name", subject, unseen)
        return
    bypassing = [use for use in uses if use.reference.name != source.mirror.name]
    yield Check(
        topic="image",
        name="pulled-name",
        subject=subject,
        verdict="failed" if bypassing else "ok",
        looked_at=what,
        finding=f"{_name(bypassing)} pull it from {source.image.registry}, so they do not use the"
        " mirror. Let the cluster rewrite new pods, or the files (prestream rewrite)"
        if bypassing
        else f"{len(uses)} pods pull it from {source.mirror.registry}",
        fix=_opt_in(name, bypassing) or None,
    )
    secret = [use for use in uses if use.has_pull_secrets]
    yield Check(
        topic="image",
        name="pull-secrets",
        subject=subject,
        verdict="warning" if secret else "ok",
        looked_at=what,
        finding=f"{_name(secret)} have imagePullSecrets: the policy leaves such pods alone, and"
        " nodes stream with their own identity only. If the mirror needs no secret, leave them out"
        if secret
        else "no pod that runs it has imagePullSecrets",
        fix=_ignore_secrets(name) if secret else None,
    )


def _parse(texts: Iterable[object]) -> Iterator[ImageReference]:
    for text in texts:
        try:
            yield parse_reference(text if isinstance(text, str) else "")
        except InvalidReferenceError:
            continue


def _is_same(reference: ImageReference, image: ImageReference, digest: str | None) -> bool:
    if reference.digest is not None:
        return reference.digest in {image.digest, digest}
    return reference.tag == image.tag


def _name(uses: Sequence[Use]) -> str:
    names = list(dict.fromkeys(use.workload for use in uses))
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _opt_in(name: ClusterName, uses: Iterable[Use]) -> str:
    namespaces = dict.fromkeys(use.namespace for use in uses)
    label = ("kubectl", f"--context={name.context}", "label", "--overwrite", "namespace")
    return "\n".join(
        command(*label, namespace, "prestream.dev/rewrite=enabled") for namespace in namespaces
    )


def _ignore_secrets(name: ClusterName) -> str:
    patch = '{"data": {"pullSecrets": "ignore"}}'
    return command(
        *("kubectl", f"--context={name.context}", "-n", "prestream", "patch"),
        *("configmap", "proven-mirrors", "-p", patch),
    )
