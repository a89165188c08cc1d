"""Where fuzzing begins: what really comes, as each target reads it."""

import json
from pathlib import Path
from typing import Any

from shared.domain import warmup_job as jobs
from tests.fakes.warmups import make_warmup
from tests.strategies.envelopes import envelope
from tests.strategies.shapes import SHAPES

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"

_MIRROR = "us-central1-docker.pkg.dev/demo/dockerhub-mirror"
_DIGEST = "sha256:" + "0123456789abcdef" * 4
_REFERENCES = [
    "nginx",
    "anyscale/ray-ml:2.7.0",
    f"ghcr.io/org/app:v1@{_DIGEST}",
    "localhost:5000/a/b_c.d--e",
    "[2001:db8::1]:443/app",
    f"{_MIRROR}/library/nginx@{_DIGEST}",
]
_MANIFEST = {
    "schemaVersion": 2,
    "config": {"digest": _DIGEST, "size": 7},
    "layers": [{"digest": _DIGEST, "size": 7_000_000}],
}
_INDEX = {
    "schemaVersion": 2,
    "manifests": [
        {"digest": _DIGEST, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        {"digest": _DIGEST, "platform": {"os": "unknown", "architecture": "unknown"}},
    ],
}
_ERRORS = {"errors": [{"code": "TOOMANYREQUESTS", "message": "http status code 429 from"}]}
_CONFIG_MAP = f"""pullSecrets: skip
docker.io: {_MIRROR}
nvcr.io: on {_MIRROR} nvidia/* !nvidia/tao
ghcr.io: off
registry.example.com_5000: {_MIRROR}"""
_UPSTREAMS = """upstreams:
  docker.io:
    paths: [a/*]
    username: u
    password_secret_version: projects/p/secrets/s/versions/1
"""
_DOCUMENTS = """# a Deployment, and what an anchor brings
apiVersion: apps/v1
kind: Deployment
spec: &spec
  template: {spec: {containers: [{name: a, image: "nginx:1"}, {image: 'b\\u00e9', <<: {x: y}}]}}
---
items: [*spec, {containers: [{image: !!str c}]}]
"""


def list_seeds(target: str) -> list[bytes]:
    """Return what fuzzing of a target begins with, beside the corpus."""
    written = {name: [_dump(each) for each in shapes] for name, shapes in SHAPES.items()}
    texts: dict[str, list[bytes]] = {
        "references": [each.encode() for each in _REFERENCES],
        "rewriting": [
            *(each.encode() for each in _REFERENCES),
            _dump({f"{_MIRROR}/library/nginx:1": "nginx:1"}),
        ],
        "audit_logs": written["audit_log"],
        "builds": written["build_notification"],
        "pushes": written["registry_push"],
        "node_events": written["pull_event"],
        "operations": [
            b"io.k8s.core.v1.pods.create\ncore/v1/namespaces/ml/pods/x",
            b"io.k8s.core.v1.namespaces.create\ncore/v1/namespaces/ml",
            b"io.ray.v1.rayclusters.status.patch\nray.io/v1/namespaces/ml/rayclusters/x/status",
        ],
        "reference_messages": written["image_reference"],
        "ticks": written["scheduled_sweep"],
        "envelopes": [
            _dump(envelope(b"{}", publishTime="2026-11-24T07:00:00Z")),
            _dump(
                envelope(b"", publish_time="2026-11-24T07:00:00Z", attributes={"status": "QUEUED"})
            ),
        ],
        "settings": [(ROOT / "prestream.yaml").read_bytes(), *_settings()],
        "documents": [_DOCUMENTS.encode(), *written["audit_log"][:2]],
        "log_exports": [
            b"[\n" + b",\n".join(written["registry_push"]) + b"\n]\n",
            b"\n".join(written["build_notification"][:2]),
            json.dumps(SHAPES["registry_push"], indent=2).encode(),
        ],
        "proofs": [_CONFIG_MAP.encode()],
        "annotations": [_annotations()],
        "registry_answers": [
            b"120\n" + _dump(_ERRORS),
            b"application/vnd.oci.image.manifest.v1+json\n" + _dump(_MANIFEST),
            b"application/vnd.oci.image.index.v1+json\n" + _dump(_INDEX),
        ],
    }
    return texts[target]


def _settings() -> list[bytes]:
    return [
        b"targets:\n  l4:\n    nodeSelector: {a/b: c}\n    tolerations: [{key: k}]\n",
        _UPSTREAMS.encode(),
        b"clusters: [gpu]\nperiod_hours: 0x10\nladder: [any-node]\ninclude: ['*']\n",
    ]


def _annotations() -> bytes:
    """Return the annotations of a warmup, in the order in which the target reads them."""
    annotations: dict[str, str] = make_warmup().body()["metadata"]["annotations"]
    refusal = {
        "pod": "p",
        "podUid": "u",
        "fieldPath": "spec.containers{image}",
        "node": "n",
        "time": "2026-11-24T07:00:00Z",
        "image": "a:1",
        "message": 'Failed to pull image "a:1": not found',
        "log": None,
        "insertId": None,
    }
    first = [annotations[jobs.CAUSE_ANNOTATION], json.dumps(refusal)]
    rest = [annotations[jobs.SIZE_ANNOTATION], annotations[jobs.QUEUED_ANNOTATION]]
    return "\n".join([*first, *rest]).encode()


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
