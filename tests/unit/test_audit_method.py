"""The operation that a method and a resource name describe."""

import pytest

from shared.messages.audit_method import Operation


@pytest.mark.parametrize(
    ("method", "resource", "expected"),
    [
        pytest.param(
            "io.k8s.core.v1.namespaces.create",
            "core/v1/namespaces/ml",
            Operation("create", "core", "v1", "namespaces", None, "ml", None),
            id="a-namespace",
        ),
        pytest.param(
            "io.k8s.core.v1.namespaces.finalize.update",
            "core/v1/namespaces/ml/finalize",
            Operation("update", "core", "v1", "namespaces", None, "ml", "finalize"),
            id="a-namespace's-sub-resource",
        ),
        pytest.param(
            "io.k8s.core.v1.nodes.patch",
            "core/v1/nodes/n-1",
            Operation("patch", "core", "v1", "nodes", None, "n-1", None),
            id="no-namespace",
        ),
        pytest.param(
            "com.coreos.database.etcd.v1beta2.etcdbackups.create",
            "etcd.database.coreos.com/v1beta2/namespaces/db/etcdbackups/b",
            Operation(
                "create", "etcd.database.coreos.com", "v1beta2", "etcdbackups", "db", "b", None
            ),
            id="custom-group",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.proxy.create",
            "core/v1/namespaces/ml/pods/a/proxy/healthz",
            Operation("create", "core", "v1", "pods", "ml", "a", "proxy"),
            id="sub-resource-with-a-path",
        ),
        pytest.param(
            "io.k8s.core.v1.pods.create",
            "core/v1/namespaces/ml/pods/",
            Operation("create", "core", "v1", "pods", "ml", None, None),
            id="name-left-to-the-server",
        ),
        pytest.param("create", "core/v1/pods", None, id="no-method"),
        pytest.param("v1.pods.create", "core/v1/pods", None, id="no-group"),
        pytest.param("io.k8s.core.pods.create", "core/v1/pods", None, id="no-version"),
    ],
)
def test_method_and_resource_name_an_operation(
    method: str, resource: str, expected: Operation | None
) -> None:
    assert Operation.parse(method, resource) == expected
