"""Which rules hold for which resource."""

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.fields import FieldError, required
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.validation.names import validate_metadata, validate_metadata_update


def validate_create(resource: Resource, body: Body, missing: tuple[str, ...]) -> list[FieldError]:
    """Return what is wrong with a new object."""
    errors = validate_metadata(resource.key, body)
    return errors + _missing(missing, errors)


def validate_update(
    resource: Resource, subresource: str, body: Body, before: Body, missing: tuple[str, ...]
) -> list[FieldError]:
    """Return what is wrong with an object that takes another's place."""
    errors = validate_metadata_update(body, before) + validate_metadata(resource.key, body)
    return errors + _missing(missing, errors)


def _missing(missing: tuple[str, ...], errors: list[FieldError]) -> list[FieldError]:
    """Name required fields, where no written rule did; of a status the server requires nothing."""
    named = {error.field for error in errors}
    return [
        required(field)
        for field in missing
        if field not in named and not field.startswith(("status", "metadata", "value"))
    ]
