"""Pulls of images that a pod names on their upstream's own host."""

from collections.abc import Callable

from sandbox.catalogue.upstreams import Catalogue, UpstreamError
from sandbox.gke.image_names import ImageName
from sandbox.gke.pull_errors import PullError, make_unfetched, make_unreachable, make_unresolved
from sandbox.gke.pulled_images import PulledImage

FetchUpstream = Callable[[str], tuple[str, int, int]]
"""From a full reference to digest, compressed bytes and layers; raises UpstreamError."""

_TOO_MANY = 429
_NO_ANSWER = 504


def upstream_fetcher(catalogue: Catalogue, platform: str = "linux/amd64") -> FetchUpstream:
    """Return what fetches from a catalogue, as a client of each of its registries."""

    def fetch(reference: str) -> tuple[str, int, int]:
        name = ImageName.parse(reference)
        manifest = catalogue.fetch(name.host, name.path, name.identifier)
        digest = manifest.digest
        if manifest.platform is None:
            system, _, architecture = platform.partition("/")
            for entry in manifest.content["manifests"]:
                if entry["platform"] == {"os": system, "architecture": architecture}:
                    manifest = catalogue.fetch(name.host, name.path, entry["digest"])
        return digest, manifest.image_bytes, manifest.layer_count

    return fetch


def resolve_upstream(name: ImageName, fetch: FetchUpstream) -> PulledImage:
    """
    Return what a reference resolves to upstream.

    Raises:
        PullError: The upstream does not give it, in containerd's words.
    """
    try:
        digest, size, layers = fetch(str(name))
    except UpstreamError as error:
        raise _translate(name, error) from error
    return PulledImage(digest, digest, size, layers, can_stream=False)


def _translate(name: ImageName, error: UpstreamError) -> PullError:
    if error.status == _TOO_MANY:
        # Docker Hub limits the GET of a manifest and not its HEAD, so the pull fails later.
        body = {"errors": [{"code": "TOOMANYREQUESTS", "message": error.message}]}
        return make_unfetched(name, error.status, error.url, body)
    if error.status == _NO_ANSWER:
        return make_unreachable(name, error.url, "i/o timeout")
    return make_unresolved(name, error.status, error.url)
