"""Status objects, and the error that carries one."""

from collections.abc import Sequence

from sandbox.kubernetes.bodies import Body
from sandbox.kubernetes.field_errors import FieldError
from sandbox.kubernetes.resources import Resource


class ApiError(Exception):
    """A refused request; ``status`` is its Status object."""

    def __init__(self, status: Body) -> None:
        super().__init__(status.get("message", ""))
        self.status = status
        self.warnings: list[str] = []

    @property
    def code(self) -> int:
        """HTTP status code."""
        return int(self.status["code"])

    @property
    def reason(self) -> str:
        """The machine-readable reason, such as ``NotFound``."""
        return str(self.status.get("reason", ""))

    @property
    def message(self) -> str:
        """The text for people."""
        return str(self.status["message"])


def failure(code: int, reason: str, message: str, details: Body | None = None) -> ApiError:
    """Return an error of any kind."""
    status: Body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    status["message"] = message
    if reason:
        status["reason"] = reason
    if details:
        status["details"] = details
    status["code"] = code
    return ApiError(status)


def success(resource: Resource, name: str, uid: str) -> Body:
    """Return the Status that answers a deletion."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": _details(resource, name) | {"uid": uid},
    }


def _details(resource: Resource, name: str) -> Body:
    details: Body = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details


def _named(resource: Resource, name: str) -> str:
    return f'{resource.key} "{name}"' if name else resource.key


def not_found(resource: Resource, name: str) -> ApiError:
    """Return the error of an object that does not exist."""
    details = _details(resource, name)
    return failure(404, "NotFound", f"{_named(resource, name)} not found", details)


def unknown_path() -> ApiError:
    """Return the error of a path that does not exist."""
    return failure(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> ApiError:
    """Return the error of a name that is in use."""
    details = _details(resource, name)
    return failure(409, "AlreadyExists", f"{_named(resource, name)} already exists", details)


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """Return the error of a violated precondition."""
    message = f"Operation cannot be fulfilled on {_named(resource, name)}: {why}"
    return failure(409, "Conflict", message, _details(resource, name))


def modified(resource: Resource, name: str) -> ApiError:
    """Return the error of an outdated resourceVersion."""
    why = (
        "the object has been modified; please apply your changes to the latest version and try "
        "again"
    )
    return conflict(resource, name, why)


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    """Return the error of a refusal by admission."""
    message = f"{_named(resource, name)} is forbidden: {why}"
    return failure(403, "Forbidden", message, _details(resource, name))


def bad_request(message: str) -> ApiError:
    """Return the error of an unreadable request."""
    return failure(400, "BadRequest", message)


def method_not_allowed() -> ApiError:
    """Return the error of a verb that the resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return failure(405, "MethodNotAllowed", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """Return the error of an unknown content type."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
    )
    return failure(415, "UnsupportedMediaType", message)


def expired(message: str) -> ApiError:
    """Return the error of a resourceVersion or continue token that is too old."""
    return failure(410, "Expired", message)


def invalid(qualified_kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """Return the error of an object that breaks rules: one cause for each field."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind, _, group = qualified_kind.partition(".")
    details: Body = {"name": name} if name else {}
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details["causes"] = [
        {"reason": error.reason, "message": error.message, "field": error.field} for error in errors
    ]
    return failure(422, "Invalid", f'{qualified_kind} "{name}" is invalid: {text}', details)
