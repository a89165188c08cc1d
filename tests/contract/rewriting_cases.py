"""
The one table of rewritten images and pods.

The Python rule (shared/domain/mirror_reference.py) and the expressions of the policy
(infra/kubernetes/rewriting/policy.yaml) are held to it, each by its own test.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MIRRORS = "us-central1-docker.pkg.dev/demo"
HUB = f"{MIRRORS}/dockerhub-mirror"
GHCR = f"{MIRRORS}/ghcr-io-mirror"
NVCR = f"{MIRRORS}/nvcr-io-mirror"
PORT = f"{MIRRORS}/registry-example-com-5000-mirror"
DIGEST = "sha256:" + "0a" * 32
LONGEST = 255 - len(f"{HUB}/acme/")

PROVEN: Mapping[str, str] = {
    "docker.io": HUB,
    "ghcr.io": GHCR,
    "nvcr.io": f"{NVCR} nvidia/* acme/app !nvidia/secret-*",
    "quay.io": "off",
    "public.ecr.aws": f"off {MIRRORS}/public-ecr-aws-mirror",
    "registry.k8s.io": f"on {MIRRORS}/registry-k8s-io-mirror",
    "registry.example.com_5000": PORT,
    "pullSecrets": "skip",
    # A person may write anything into the ConfigMap; none of it may break a pod.
    "gcr.io": f"{MIRRORS}/gcr-io-mirror",
    "us-docker.pkg.dev": f"{MIRRORS}/us-docker-pkg-dev-mirror",
    "index.docker.io": f"{MIRRORS}/alias-mirror",
    "empty.example.com": "",
    "spaces.example.com": f"  {MIRRORS}/spaces\r\n\tacme/*  ",
    "words.example.com": "use the mirror",
    "slash.example.com": f"{MIRRORS}/slash/",
    "scheme.example.com": f"https://{MIRRORS}/scheme",
    "elsewhere.example.com": "mirror.example.com/demo/elsewhere",
    "short.example.com": "us-central1-docker.pkg.dev/demo",
    "scoped.example.com": "us-central1-docker.pkg.dev/example.com/demo/scoped-mirror",
    "pattern.example.com": f"{MIRRORS}/pattern acme/[ab]*",
    "json.example.com": '{"mirror": "us-central1-docker.pkg.dev/demo/json"}',
    "on.example.com": "on",
    "a_b.example.com": f"{MIRRORS}/underscore",
}


@dataclass(frozen=True)
class ImageCase:
    """An image, and the mirror that it is pulled from; None if it stays."""

    id: str
    image: str
    mirror: str | None


IMAGES = (
    ImageCase("official", "nginx", f"{HUB}/library/nginx"),
    ImageCase("official-tag", "nginx:1.27", f"{HUB}/library/nginx:1.27"),
    ImageCase("official-digest", f"nginx@{DIGEST}", f"{HUB}/library/nginx@{DIGEST}"),
    ImageCase(
        "official-tag-and-digest", f"nginx:1.27@{DIGEST}", f"{HUB}/library/nginx:1.27@{DIGEST}"
    ),
    ImageCase("library", "library/nginx", f"{HUB}/library/nginx"),
    ImageCase("namespace", "vllm/vllm-openai:v0.9", f"{HUB}/vllm/vllm-openai:v0.9"),
    ImageCase("deep-short", "a/b/c:1", f"{HUB}/a/b/c:1"),
    ImageCase("hub", "docker.io/nginx:1", f"{HUB}/library/nginx:1"),
    ImageCase("hub-library", "docker.io/library/nginx", f"{HUB}/library/nginx"),
    ImageCase("hub-namespace", f"docker.io/acme/app@{DIGEST}", f"{HUB}/acme/app@{DIGEST}"),
    ImageCase("hub-index", "index.docker.io/nginx", f"{HUB}/library/nginx"),
    ImageCase("hub-index-namespace", "index.docker.io/acme/app:1", f"{HUB}/acme/app:1"),
    ImageCase("hub-registry", "registry-1.docker.io/library/nginx", f"{HUB}/library/nginx"),
    ImageCase("hub-upper-case", "Docker.IO/nginx:1", f"{HUB}/library/nginx:1"),
    ImageCase("hub-port", "docker.io:443/library/nginx", None),
    ImageCase("tag-with-dots", "acme/app:v1.2.3_b-4", f"{HUB}/acme/app:v1.2.3_b-4"),
    ImageCase("separators", "a.b/c__d/e--f/g_h:1", None),
    ImageCase("hub-separators", "docker.io/a.b/c__d/e--f/g_h:1", f"{HUB}/a.b/c__d/e--f/g_h:1"),
    ImageCase("upstream", "ghcr.io/acme/app:1", f"{GHCR}/acme/app:1"),
    ImageCase("upstream-one-part", "ghcr.io/app", f"{GHCR}/app"),
    ImageCase("upstream-upper-case", "GHCR.io/acme/app:1", f"{GHCR}/acme/app:1"),
    ImageCase("upstream-both", f"ghcr.io/a/b:1@{DIGEST}", f"{GHCR}/a/b:1@{DIGEST}"),
    ImageCase(
        "upstream-sha512", f"ghcr.io/a/b@sha512:{'0' * 128}", f"{GHCR}/a/b@sha512:{'0' * 128}"
    ),
    ImageCase("upstream-other-port", "ghcr.io:8443/acme/app", None),
    ImageCase("port", "registry.example.com:5000/app:1", f"{PORT}/app:1"),
    ImageCase("port-other", "registry.example.com:5001/app:1", None),
    ImageCase("port-missing", "registry.example.com/app:1", None),
    ImageCase("underscore-is-no-port", "registry.example.com_5000/app", None),
    ImageCase("underscore-in-key", "a_b.example.com/app", None),
    ImageCase(
        "pinned-on", "registry.k8s.io/pause:3.10", f"{MIRRORS}/registry-k8s-io-mirror/pause:3.10"
    ),
    ImageCase("pinned-off", "quay.io/acme/app", None),
    ImageCase("pinned-off-with-mirror", "public.ecr.aws/acme/app", None),
    ImageCase("path-proven", "nvcr.io/nvidia/pytorch:24.01", f"{NVCR}/nvidia/pytorch:24.01"),
    ImageCase("path-proven-deep", "nvcr.io/nvidia/a/b", f"{NVCR}/nvidia/a/b"),
    ImageCase("path-proven-exactly", "nvcr.io/acme/app@" + DIGEST, f"{NVCR}/acme/app@{DIGEST}"),
    ImageCase("path-longer", "nvcr.io/acme/app-2", None),
    ImageCase("path-not-proven", "nvcr.io/other/pytorch", None),
    ImageCase("path-pinned-off", "nvcr.io/nvidia/secret-sauce:1", None),
    ImageCase("path-dot-is-a-dot", "nvcr.io/acmexapp", None),
    ImageCase("not-proven", "docker.elastic.co/beats/filebeat", None),
    ImageCase("not-proven-localhost", "localhost/app", None),
    ImageCase("not-proven-localhost-port", "localhost:5000/app", None),
    ImageCase("not-proven-address", "10.0.0.1:5000/app", None),
    ImageCase("not-proven-ipv6", "[::1]:5000/app", None),
    ImageCase("mirror-already", f"{HUB}/library/nginx:1", None),
    ImageCase("google-other", "europe-docker.pkg.dev/other/apps/app", None),
    ImageCase("google-listed", "us-docker.pkg.dev/other/apps/app", None),
    ImageCase("google-go", "us-go.pkg.dev/other/apps/app", None),
    ImageCase("gcr", "gcr.io/google-samples/hello-app:1.0", None),
    ImageCase("gcr-region", "eu.gcr.io/acme/app", None),
    ImageCase("gcr-upper-case", "GCR.io/acme/app", None),
    ImageCase("gcr-look-alike", "notgcr.io/acme/app", None),
    ImageCase("longest", f"acme/{'a' * LONGEST}", f"{HUB}/acme/{'a' * LONGEST}"),
    ImageCase("too-long-for-the-mirror", f"acme/{'a' * (LONGEST + 1)}:1", None),
    ImageCase("longest-tag", f"acme/app:{'a' * 128}", f"{HUB}/acme/app:{'a' * 128}"),
    ImageCase("too-long-tag", f"acme/app:{'a' * 129}", None),
    ImageCase("identifier", "0" * 64, None),
    ImageCase("identifier-with-path", f"acme/{'0' * 64}", f"{HUB}/acme/{'0' * 64}"),
    ImageCase("no-tag", "nginx:", None),
    ImageCase("no-digest", "nginx@", None),
    ImageCase("short-digest", "nginx@sha256:0a", None),
    ImageCase("unknown-digest", "nginx@md5:" + "0" * 32, None),
    ImageCase("upper-case-path", "docker.io/Nginx", None),
    ImageCase("upper-case-short", "Acme/app", None),
    ImageCase("upper-case-official", "Nginx", None),
    ImageCase("blank-inside", "ng inx", None),
    ImageCase("no-path", "ghcr.io/", None),
    ImageCase("no-registry", "/nginx", None),
    ImageCase("only-registry", "ghcr.io", f"{HUB}/library/ghcr.io"),
    ImageCase("slash-at-the-end", "ghcr.io/acme/", None),
    ImageCase("slashes", "ghcr.io//acme", None),
    ImageCase("two-tags", "nginx:1:2", None),
    ImageCase("two-digests", f"nginx@{DIGEST}@{DIGEST}", None),
    ImageCase("scheme", "https://ghcr.io/acme/app", None),
    ImageCase("quote", 'ghcr.io/acme/"app', None),
    ImageCase("variable", "$(REGISTRY)/app", None),
    ImageCase("template", "{{ .Values.image }}", None),
    ImageCase("letters", "ghcr.io/ücme/app", None),
    ImageCase("entry-empty", "empty.example.com/app", None),
    ImageCase("entry-spaces", "spaces.example.com/acme/app:1", f"{MIRRORS}/spaces/acme/app:1"),
    ImageCase("entry-spaces-other-path", "spaces.example.com/app:1", None),
    ImageCase("entry-words", "words.example.com/app", None),
    ImageCase("entry-slash", "slash.example.com/app", None),
    ImageCase("entry-scheme", "scheme.example.com/app", None),
    ImageCase("entry-elsewhere", "elsewhere.example.com/app", None),
    ImageCase("entry-short", "short.example.com/app", None),
    ImageCase(
        "entry-scoped",
        "scoped.example.com/app",
        "us-central1-docker.pkg.dev/example.com/demo/scoped-mirror/app",
    ),
    ImageCase("entry-pattern", "pattern.example.com/acme/app", None),
    ImageCase("entry-json", "json.example.com/app", None),
    ImageCase("entry-on", "on.example.com/app", None),
)


def pod(
    *containers: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """Make a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trainer", **(metadata or {})},
        "spec": {"containers": list(containers), **spec},
    }


def container(image: str, name: str = "app", **fields: Any) -> dict[str, Any]:
    """Make a container."""
    return {"name": name, "image": image, **fields}


@dataclass(frozen=True)
class PodCase:
    """A pod, and its rewritten images by their paths."""

    id: str
    pod: Mapping[str, Any]
    images: Mapping[str, str] = field(default_factory=dict)
    skipped: str | None = None
    """The annotation with the reason for which the pod is left unchanged."""
    data: Mapping[str, str] | None = field(default_factory=lambda: PROVEN)
    """The data of the parameter; None if it has no data."""


MIRRORED = {"/spec/containers/0/image": f"{HUB}/library/nginx"}
SECRETS: Mapping[str, Any] = {"imagePullSecrets": [{"name": "hub"}]}
OPT_OUT = {"prestream.dev/rewrite": "disabled"}

PODS = (
    PodCase("one-container", pod(container("nginx")), MIRRORED),
    PodCase(
        "all-kinds-of-containers",
        pod(
            container("nginx", "a"),
            container("ghcr.io/acme/app:1", "b"),
            container("quay.io/acme/app", "c"),
            initContainers=[
                container("gcr.io/acme/init", "d"),
                container(f"busybox@{DIGEST}", "e", restartPolicy="Always"),
            ],
            volumes=[
                {"name": "scratch", "emptyDir": {}},
                {"name": "model", "image": {"reference": "ghcr.io/acme/model:7"}},
                {"name": "own", "image": {"reference": "us-docker.pkg.dev/acme/m/model:7"}},
            ],
        ),
        {
            "/spec/containers/0/image": f"{HUB}/library/nginx",
            "/spec/containers/1/image": f"{GHCR}/acme/app:1",
            "/spec/initContainers/1/image": f"{HUB}/library/busybox@{DIGEST}",
            "/spec/volumes/1/image/reference": f"{GHCR}/acme/model:7",
        },
    ),
    PodCase(
        "same-image-twice",
        pod(container("nginx", "a"), container("nginx", "b"), container("docker.io/nginx", "c")),
        {f"/spec/containers/{index}/image": f"{HUB}/library/nginx" for index in range(3)},
    ),
    PodCase("nothing-to-rewrite", pod(container("quay.io/acme/app"))),
    PodCase("mirrored-already", pod(container(f"{HUB}/library/nginx"))),
    PodCase(
        "other-labels",
        pod(container("nginx"), metadata={"labels": {"app": "a"}, "annotations": {"b": "c"}}),
        MIRRORED,
    ),
    PodCase("opt-out-by-label", pod(container("nginx"), metadata={"labels": OPT_OUT})),
    PodCase("opt-out-by-annotation", pod(container("nginx"), metadata={"annotations": OPT_OUT})),
    PodCase(
        "opt-out-of-another-value",
        pod(container("nginx"), metadata={"labels": {"prestream.dev/rewrite": "enabled"}}),
        MIRRORED,
    ),
    PodCase(
        "never-pulled",
        pod(
            container("nginx", imagePullPolicy="Never"),
            container("nginx", "b", imagePullPolicy="IfNotPresent"),
            initContainers=[container("nginx", "c", imagePullPolicy="Never")],
            volumes=[{"name": "v", "image": {"reference": "nginx", "pullPolicy": "Never"}}],
        ),
        {"/spec/containers/1/image": f"{HUB}/library/nginx"},
    ),
    PodCase("pull-secrets", pod(container("nginx"), **SECRETS), skipped="imagePullSecrets"),
    PodCase("pull-secrets-but-nothing-to-skip", pod(container("quay.io/acme/app"), **SECRETS)),
    PodCase("no-pull-secrets", pod(container("nginx"), imagePullSecrets=[]), MIRRORED),
    PodCase(
        "pull-secrets-skipped-by-default",
        pod(container("nginx"), **SECRETS),
        data={"docker.io": HUB},
        skipped="imagePullSecrets",
    ),
    PodCase(
        "pull-secrets-ignored",
        pod(container("nginx"), **SECRETS),
        MIRRORED,
        data={**PROVEN, "pullSecrets": " ignore\n"},
    ),
    PodCase(
        "pull-secrets-misspelt",
        pod(container("nginx"), **SECRETS),
        data={**PROVEN, "pullSecrets": "ignored"},
        skipped="imagePullSecrets",
    ),
    PodCase("parameter-without-data", pod(container("nginx")), data=None),
    PodCase("parameter-empty", pod(container("nginx")), data={}),
    PodCase("parameter-broken", pod(container("nginx")), data={"docker.io": "{", "x": "\n"}),
    PodCase("parameter-as-first-tried", pod(container("nginx")), MIRRORED, data={"docker.io": HUB}),
)
