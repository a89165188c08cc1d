"""The Container API: the clusters of a project with their node pools."""

import base64
import copy
import datetime as dates
import functools
import hashlib
import threading
from collections.abc import Mapping
from typing import Any

import flask
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.clock import Clock, format_time
from sandbox.fault import Faults
from sandbox.http_service import (
    GoogleApiError,
    HttpServer,
    answer_api_errors,
    api_fault,
    apply_faults,
)

_VERSION = "1.33.5-gke.1080000"


class ContainerApi(HttpServer):
    """A server of ``GKE_EMULATOR_HOST``; its faults are those of service ``container``."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.clusters: dict[str, dict[str, Any]] = {}
        """By ``projects/P/locations/L/clusters/C``, as the API describes them."""
        self._clock = clock
        self._lock = threading.Lock()
        app = flask.Flask(__name__)
        apply_faults(app, faults, "container", api_fault, clock)
        answer_api_errors(app)
        collection = "/v1/projects/<project>/locations/<location>/clusters"
        app.get(collection)(self._list)
        app.get(f"{collection}/<cluster>")(self._get)
        super().__init__(app)

    def add_cluster(self, cluster: Mapping[str, Any], project: str = "demo") -> str:
        """
        Add a cluster, and return its resource name.

        ``name`` and ``location`` are required. Defaults complete the other fields, also those of
        each of its ``nodePools``; given values win at any depth.
        """
        name = f"projects/{project}/locations/{cluster['location']}/clusters/{cluster['name']}"
        complete = _merged(_cluster_defaults(name, self._clock), cluster)
        complete["nodePools"] = [
            _merged(_node_pool_defaults(pool["name"]), pool)
            for pool in cluster.get("nodePools", ())
        ]
        with self._lock:
            self.clusters[name] = complete
        return name

    def remove_cluster(self, name: str) -> None:
        """Remove a cluster."""
        with self._lock:
            del self.clusters[name]

    def _list(self, project: str, location: str) -> dict[str, Any]:
        with self._lock:
            clusters = dict(self.clusters)
        prefix = f"projects/{project}/locations/"
        found = [
            cluster
            for name, cluster in sorted(clusters.items())
            if name.startswith(prefix) and location in {"-", cluster["location"]}
        ]
        return {"clusters": found} if found else {}

    def _get(self, project: str, location: str, cluster: str) -> dict[str, Any]:
        name = f"projects/{project}/locations/{location}/clusters/{cluster}"
        with self._lock:
            found = self.clusters.get(name)
        if found is None:
            raise GoogleApiError(404, f"Not found: {name}.")
        return found


def _cluster_defaults(name: str, clock: Clock) -> dict[str, Any]:
    location, _, cluster = name.split("/")[3:]
    uid = f"gke-{hashlib.sha256(name.encode()).hexdigest()[:20]}"
    return {
        "name": cluster,
        "location": location,
        "id": uid,
        "selfLink": f"https://container.googleapis.com/v1/{name}",
        "status": "RUNNING",
        "endpoint": "203.0.113.10",
        "masterAuth": {"clusterCaCertificate": _certificate()},
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {
                "endpoint": f"{uid}.{location}.gke.goog",
                "allowExternalTraffic": False,
            },
        },
        "autopilot": {},
        "nodePoolDefaults": {"nodeConfigDefaults": {"gcfsConfig": {"enabled": False}}},
        "currentMasterVersion": _VERSION,
        "createTime": format_time(clock.now()),
    }


def _node_pool_defaults(name: str) -> dict[str, Any]:
    config = {
        "machineType": "e2-standard-4",
        "diskSizeGb": 100,
        "imageType": "COS_CONTAINERD",
        "oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "serviceAccount": "default",
    }
    return {"name": name, "config": config, "status": "RUNNING", "version": _VERSION}


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in given.items():
        inner = merged.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(inner, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


@functools.cache
def _certificate() -> str:
    """Return a certificate authority in the encoding of the API."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    today = dates.datetime.now(dates.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dates.timedelta(days=1))
        .not_valid_after(today + dates.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.PEM)).decode()
