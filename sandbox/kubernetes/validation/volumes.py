"""Volumes of a pod."""

from collections.abc import Iterator

from sandbox.kubernetes.bodies import Body, items
from sandbox.kubernetes.fields import FieldError, duplicate, forbidden, invalid, required
from sandbox.kubernetes.quantities import parse_quantity
from sandbox.kubernetes.validation.names import label_problem

_NEEDED = {
    "hostPath": "path",
    "secret": "secretName",
    "configMap": "name",
    "persistentVolumeClaim": "claimName",
    "nfs": "server",
    "csi": "driver",
}
"""What a source cannot be without."""


def validate_volumes(spec: Body, path: str) -> Iterator[FieldError]:
    """Check the volumes of a pod's specification."""
    seen: set[str] = set()
    for index, volume in enumerate(items(spec, "volumes")):
        where = f"{path}.volumes[{index}]"
        name = volume.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif problem := label_problem(name):
            yield invalid(f"{where}.name", name, problem)
        elif name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        yield from _source(volume, where)


def _source(volume: Body, path: str) -> Iterator[FieldError]:
    sources = [key for key in volume if key != "name"]
    if not sources:
        yield required(path, "must specify a volume type")
    for extra in sources[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")
    for source in sources[:1]:
        needed = _NEEDED.get(source)
        if needed and not volume[source].get(needed):
            yield required(f"{path}.{source}.{needed}")
    limit = (volume.get("emptyDir") or {}).get("sizeLimit")
    if limit is not None and parse_quantity(limit) < 0:
        yield forbidden(
            f"{path}.emptyDir.sizeLimit", "SizeLimit field must be a valid resource quantity"
        )
