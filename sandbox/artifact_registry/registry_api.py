"""
The registry API under /v2/, as the hosts of Artifact Registry serve it.

A layer is answered whole up to 1 MiB; of a larger one only HEAD is answered, and GET with 404:
the sandbox's images have sizes, not bytes. Pushing is not served.
"""

import flask

from sandbox.artifact_registry.names import parse_package_name
from sandbox.artifact_registry.pulling import Puller
from sandbox.artifact_registry.registry_errors import RegistryError
from sandbox.catalogue.images import Manifest


def registry_blueprint(puller: Puller) -> flask.Blueprint:
    """Return the routes of the registry API."""
    routes = flask.Blueprint("registry", __name__, url_prefix="/v2")

    @routes.get("/")
    def base() -> flask.Response:
        return flask.jsonify({})

    @routes.get("/<path:name>/manifests/<reference>")
    def manifest(name: str, reference: str) -> flask.Response:
        found = puller.manifest(parse_package_name(flask.request.host, name), reference)
        _check_accepted(found, reference)
        response = flask.Response(found.body, content_type=found.media_type)
        response.headers["Docker-Content-Digest"] = found.digest
        return response

    @routes.get("/<path:name>/blobs/<digest>")
    def blob(name: str, digest: str) -> flask.Response:
        found = puller.blob(parse_package_name(flask.request.host, name), digest)
        if found.body is None and flask.request.method == "GET":
            raise RegistryError(404, "BLOB_UNKNOWN", "the sandbox has no layers above 1 MiB")
        response = flask.Response(found.body or b"", content_type="application/octet-stream")
        response.headers["Content-Length"] = str(found.size)
        response.headers["Docker-Content-Digest"] = found.digest
        return response

    @routes.get("/<path:name>/tags/list")
    def tags(name: str) -> flask.Response:
        found = puller.tags(parse_package_name(flask.request.host, name))
        return flask.jsonify({"name": name, "tags": found})

    @routes.errorhandler(RegistryError)
    def refused(error: RegistryError) -> flask.Response:
        return error.response()

    @routes.after_request
    def versioned(response: flask.Response) -> flask.Response:
        response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        return response

    return routes


def _check_accepted(manifest: Manifest, reference: str) -> None:
    """Refuse a client that does not accept the manifest's type; without Accept all do."""
    accepted = flask.request.accept_mimetypes
    if not accepted or manifest.media_type in accepted.values() or "*/*" in accepted.values():
        return
    kind = "digest" if reference.startswith("sha256:") else "tag"
    raise RegistryError(
        404,
        "MANIFEST_UNKNOWN",
        f"Manifest with {kind} '{reference}' has media type '{manifest.media_type}', but client "
        f"accepts '{', '.join(accepted.values())}'.",
    )
