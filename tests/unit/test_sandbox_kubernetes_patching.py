"""Strategic merge patches of the embedded API server."""

from typing import Any

import pytest

from sandbox.kubernetes.patches import merge
from sandbox.kubernetes.statuses import ApiError

POD = "io.k8s.api.core.v1.Pod"
SPEC = "io.k8s.api.core.v1.PodSpec"


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        pytest.param(
            {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b"}]},
            {"containers": [{"name": "a", "image": "2"}]},
            {"containers": [{"name": "a", "image": "2", "tty": True}, {"name": "b"}]},
            id="by-name",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": [{"name": "b"}]},
            id="delete-item",
        ),
        pytest.param(
            {"containers": [{"name": "a"}]},
            {"containers": [{"$patch": "replace"}, {"name": "b"}]},
            {"containers": [{"name": "b"}]},
            id="replace-list",
        ),
        pytest.param(
            {"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/x", "name": "v"}]}]},
            {"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/y", "name": "v"}]}]},
            {
                "containers": [
                    {
                        "name": "a",
                        "volumeMounts": [
                            {"mountPath": "/x", "name": "v"},
                            {"mountPath": "/y", "name": "v"},
                        ],
                    }
                ]
            },
            id="mounts-by-path",
        ),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="atomic-list",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {}}]},
            {"volumes": [{"name": "v", "secret": {}}]},
            id="retain-keys",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1", "b": "2"}},
            {"nodeSelector": {"a": None}},
            {"nodeSelector": {"b": "2"}},
            id="null-removes",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1"}},
            {"nodeSelector": {"$patch": "replace", "b": "2"}},
            {"nodeSelector": {"b": "2"}},
            id="replace-map",
        ),
        pytest.param(
            {"affinity": {"nodeAffinity": {}}},
            {"affinity": {"$patch": "delete"}},
            {},
            id="delete-map",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
            {"containers": [{"name": "b"}, {"name": "a"}]},
            id="order",
        ),
    ],
)
def test_strategic_patch_merges_lists(
    target: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merge(target, patch, SPEC) == expected


def test_finalizers_merge_as_a_set() -> None:
    target = {"metadata": {"finalizers": ["a/b"]}}

    added = merge(target, {"metadata": {"finalizers": ["c/d"]}}, POD)
    removed = merge(added, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}, POD)

    assert added["metadata"]["finalizers"] == ["a/b", "c/d"]
    assert removed["metadata"]["finalizers"] == ["c/d"]


def test_item_without_merge_key_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        merge({}, {"containers": [{"image": "x"}]}, SPEC)

    assert "does not contain declared merge key: name" in caught.value.message
