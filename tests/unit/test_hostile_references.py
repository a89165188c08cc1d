"""References with which a tenant tries to reach images of others."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.image_reference import InvalidReferenceError
from shared.domain.workload import ORIGINALS_ANNOTATION, find_pod_specs
from shared.errors import ImageError
from shared.messages.audit_entry import AuditEntry
from shared.messages.pubsub_message import PubsubMessage
from shared.settings.keys import DEFAULT_PLACEMENT_KEYS
from tests.fakes.mirrors import Deployment

SECRET = "projects/demo/secrets/hub/versions/3"  # noqa: S105  # the name of a secret
PRIVATE = {
    "docker.io": {"username": "reader", "password_secret_version": SECRET, "paths": ["team/*"]}
}
AR = "us-central1-docker.pkg.dev"


def locate(text: str, **values: Any) -> str:
    """Return the mirror of an image, or the reason against it."""
    deployment = Deployment(values)
    try:
        source = deployment.locate(text)
    except InvalidReferenceError:
        return "invalid"
    except ImageError as exc:
        return exc.outcome
    finally:
        assert deployment.registry.asked == []
        assert deployment.repositories.fetched == []
    return str(source.mirror)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("169.254.169.254", id="metadata-server"),
        pytest.param("metadata.google.internal", id="metadata-server-by-name"),
        pytest.param("metadata.google.internal:80", id="metadata-server-with-port"),
        pytest.param("127.0.0.1:6443", id="loopback"),
        pytest.param("10.0.0.1", id="private-address"),
        pytest.param("2130706433.0", id="address-as-a-number"),
        pytest.param("0x7f.0.0.1", id="address-in-hexadecimal"),
        pytest.param("0177.0.0.1", id="address-in-octal"),
        pytest.param("[::1]:5000", id="ipv6"),
        pytest.param("[fd00:ec2::254]", id="private-ipv6"),
        pytest.param("localhost", id="localhost"),
        pytest.param("kubernetes.default.svc.cluster.local", id="service-of-a-cluster"),
        pytest.param("registry.internal:5000", id="internal-name"),
        pytest.param("docker.io:443", id="port-of-a-listed-host"),
        pytest.param("docker.io.evil.example", id="listed-host-as-a-prefix"),
        pytest.param("evil-docker.io", id="listed-host-as-a-suffix"),
        pytest.param("xn--dcker-jua.io", id="punycode"),
        pytest.param("evil.example", id="any-other"),
    ],
)
def test_unlisted_host_gets_no_request(host: str) -> None:
    assert locate(f"{host}/team/tool:1.0") == "not_allowed"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("d\u043ecker.io/team/tool", id="letter-that-looks-alike"),
        pytest.param("\uff44ocker.io/team/tool", id="letter-in-full-width"),
        pytest.param("docker\u3002io/team/tool", id="full-stop-of-another-script"),
        pytest.param("docker.io./team/tool", id="period-last"),
        pytest.param("user@docker.io/team/tool", id="user"),
        pytest.param("docker.io#.evil.example/tool", id="fragment"),
        pytest.param("docker.io?.evil.example/tool", id="query"),
        pytest.param("docker.io\\.evil.example/tool", id="backslash"),
        pytest.param("docker.io%2fevil/tool", id="escaped-slash-in-host"),
        pytest.param("docker.io\r\nHost: evil/tool", id="header"),
        pytest.param("https://docker.io/team/tool", id="address"),
        pytest.param("[::1%25eth0]/tool", id="zone"),
        pytest.param("team/../acme/secret", id="parent"),
        pytest.param("team/./../acme/secret", id="itself-and-parent"),
        pytest.param("team/..%2facme/secret", id="escaped-slash"),
        pytest.param("team/%2e%2e/acme/secret", id="escaped-parent"),
        pytest.param("team/..;/acme/secret", id="parameter"),
        pytest.param("team//../acme/secret", id="empty-component"),
        pytest.param("team\\..\\acme/secret", id="backslashes"),
        pytest.param("/acme/secret", id="slash-first"),
        pytest.param("acme/secret/", id="slash-last"),
        pytest.param("acme/Secret", id="upper-case"),
        pytest.param("acme/secret\x00/../../team/tool", id="nul"),
        pytest.param(f"{AR}/demo/dockerhub-mirror/team/../acme/secret", id="parent-in-mirror"),
        pytest.param(f"{AR}/demo/other/../dockerhub-mirror/acme/secret", id="parent-to-mirror"),
    ],
)
def test_text_that_a_url_changes_is_not_a_reference(text: str) -> None:
    assert locate(text, upstreams=PRIVATE) == "invalid"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("acme/secret:1.0", id="short"),
        pytest.param("docker.io/acme/secret:1.0", id="in-full"),
        pytest.param("DOCKER.IO/acme/secret:1.0", id="host-in-upper-case"),
        pytest.param("index.docker.io/acme/secret:1.0", id="alias"),
        pytest.param("registry-1.docker.io/acme/secret:1.0", id="other-alias"),
        pytest.param("library/team/secret:1.0", id="listed-component-further-on"),
        pytest.param("teams/secret:1.0", id="listed-component-as-a-prefix"),
        pytest.param("team:1.0", id="listed-component-alone"),
        pytest.param(f"acme/secret@sha256:{'0' * 64}", id="digest"),
        pytest.param(f"{AR}/demo/dockerhub-mirror/acme/secret:1.0", id="mirror"),
        pytest.param(
            "US-CENTRAL1-docker.pkg.dev/demo/dockerhub-mirror/acme/secret:1.0",
            id="mirror-in-upper-case",
        ),
        pytest.param(
            "europe-west4-docker.pkg.dev/demo/dockerhub-mirror/acme/secret:1.0",
            id="mirror-of-another-region",
        ),
        pytest.param(
            "us-docker.pkg.dev/demo/dockerhub-mirror/acme/secret", id="mirror-of-a-multi-region"
        ),
    ],
)
def test_credentials_fetch_nothing_but_the_listed_paths(text: str) -> None:
    assert locate(text, upstreams=PRIVATE) == "not_allowed"


def test_credentials_fetch_the_listed_paths() -> None:
    assert locate("team/tool:1.0", upstreams=PRIVATE) == f"{AR}/demo/dockerhub-mirror/team/tool:1.0"


@given(st.text(max_size=80))
def test_no_text_leads_out_of_the_list(text: str) -> None:
    outcome = locate(text, upstreams=PRIVATE)

    is_at_google = outcome.partition("/")[0].lower().endswith((".pkg.dev", "gcr.io"))
    assert outcome in {"invalid", "not_allowed", "pull_failed"} or is_at_google


@given(st.from_regex(r"[a-z./%]{1,12}/[a-z./%A-Z]{1,20}", fullmatch=True))
def test_no_path_leads_to_what_credentials_could_read_beside_the_list(path: str) -> None:
    outcome = locate(f"docker.io/{path}", upstreams=PRIVATE)

    assert outcome in {"invalid", "not_allowed"} or outcome.startswith(
        f"{AR}/demo/dockerhub-mirror/team/"
    )
    assert ".." not in outcome


# Other fields of a tenant's object.

INSISTENT = {
    "kind": "Pod",
    "force": True,
    "cause": {"kind": "manual"},
    "metadata": {
        "name": "trainer",
        "annotations": {"prestream.dev/force": "true", "prestream.dev/cause": '{"kind":"manual"}'},
    },
    "spec": {
        "force": True,
        "nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "containers": [{"name": "main", "image": "team/tool:1.0", "force": True}],
    },
}


def test_no_object_can_force_a_warmup_or_pass_for_a_person() -> None:
    labels = {"project_id": "demo", "location": "us-central1", "cluster_name": "gpu"}
    entry = {
        "insertId": "i",
        "force": True,
        "cause": {"kind": "manual"},
        "resource": {"type": "k8s_cluster", "labels": labels},
        "protoPayload": {
            "serviceName": "k8s.io",
            "methodName": "io.k8s.core.v1.pods.create",
            "resourceName": "core/v1/namespaces/ml/pods/trainer",
            "force": True,
            "response": INSISTENT,
        },
    }
    data = json.dumps(entry).encode()
    written = AuditEntry.from_message(PubsubMessage("m", datetime(2026, 1, 1, tzinfo=UTC), data))

    (request,) = written.requests(find_pod_specs(written.body), DEFAULT_PLACEMENT_KEYS)

    assert not request.force
    assert not request.overrides_rules
    assert request.cause.kind == "audit_log"
    assert request.cause.namespace == "ml"


@pytest.mark.parametrize(
    "original",
    [
        pytest.param("acme/secret:1.0", id="another-path"),
        pytest.param("team/tool:2.0", id="another-version"),
        pytest.param("team/../tool:1.0", id="no-reference"),
        pytest.param("team/tool", id="no-version"),
    ],
)
def test_original_that_a_tenant_made_up_is_not_believed(original: str) -> None:
    image = f"{AR}/evil/apps/team/tool:1.0"
    annotations = {ORIGINALS_ANNOTATION: json.dumps({image: original})}
    body = {
        "kind": "Pod",
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }

    (pod,) = find_pod_specs(body)

    assert [each.text for each in pod.images] == [image]
