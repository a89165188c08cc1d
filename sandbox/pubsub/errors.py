"""Refusals of the API, each with the gRPC status that the real service answers."""

import grpc


class ApiError(Exception):
    """A call that is refused; its text is the status message that the client sees."""

    code: grpc.StatusCode

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid_argument(message: str) -> ApiError:
    """Return the refusal of a request that could never succeed."""
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> ApiError:
    """Return the refusal for a resource that does not exist."""
    kind = name.split("/")[-2] if "/" in name else "resource"
    return ApiError(
        grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name}, kind={kind})."
    )


def already_exists(name: str) -> ApiError:
    """Return the refusal to create what stands there already."""
    return ApiError(
        grpc.StatusCode.ALREADY_EXISTS, f"Resource already exists in the project (resource={name})."
    )


def unimplemented(what: str) -> ApiError:
    """Return the refusal of what this server does not offer, rather than ignore it."""
    return ApiError(grpc.StatusCode.UNIMPLEMENTED, f"the local Pub/Sub does not offer {what}")
