"""Patches and server-side apply in the embedded API server."""

from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.assembly import assemble
from sandbox.kubernetes.calls import APPLY_PATCH, STRATEGIC_PATCH, Answer, Call, Caller, Options
from sandbox.kubernetes.engine import Engine
from sandbox.kubernetes.patches.strategic import merge_strategically
from sandbox.kubernetes.statuses import ApiError

USER = "tester"
POD = "io.k8s.api.core.v1.Pod"
SPEC = "io.k8s.api.core.v1.PodSpec"


@pytest.fixture
def engine() -> Engine:
    return assemble(Clock())


@pytest.fixture
def api(engine: Engine) -> Api:
    return Api(engine)


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
def test_lists_merge_as_the_schemas_say(
    target: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merge_strategically(target, patch, SPEC) == expected


def test_finalizers_merge_as_a_set() -> None:
    target = {"metadata": {"finalizers": ["a/b"]}}

    added = merge_strategically(target, {"metadata": {"finalizers": ["c/d"]}}, POD)
    removed = merge_strategically(
        added, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}, POD
    )

    assert added["metadata"]["finalizers"] == ["a/b", "c/d"]
    assert removed["metadata"]["finalizers"] == ["c/d"]


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        merge_strategically({}, {"containers": [{"image": "x"}]}, SPEC)

    assert "does not contain declared merge key: name" in caught.value.message


def test_a_patch_with_an_unknown_field_is_invalid(api: Api) -> None:
    api.create("configmaps", {"metadata": {"name": "c"}}, "default", user=USER)

    with pytest.raises(ApiError) as caught:
        api.patch(
            "configmaps",
            "c",
            {"foo": 1},
            "default",
            user=USER,
            content_type=STRATEGIC_PATCH,
        )

    assert caught.value.code == 422
    assert caught.value.message.startswith(' "" is invalid: patch: Invalid value: ')
    assert caught.value.message.endswith('strict decoding error: unknown field "foo"')


def apply(
    engine: Engine, body: dict[str, Any], manager: str = "kubectl", *, force: bool = False
) -> Answer:
    full = {"apiVersion": "v1", "kind": "ConfigMap"} | body
    full["metadata"] = {"name": "c"} | body.get("metadata", {})
    return engine.execute(
        Call(
            "patch",
            engine.cluster.resources.named("configmaps"),
            Caller(USER),
            "default",
            "c",
            body=full,
            content_type=APPLY_PATCH,
            options=Options(field_manager=manager, force=force),
        )
    )


def test_applying_creates_then_changes_then_changes_nothing(engine: Engine) -> None:
    created = apply(engine, {"data": {"a": "1", "b": "2"}})
    changed = apply(engine, {"data": {"a": "3"}})
    same = apply(engine, {"data": {"a": "3"}})

    assert (created.code, changed.code) == (201, 200)
    assert changed.body["data"] == {"a": "3"}
    assert same.body["metadata"]["resourceVersion"] == changed.body["metadata"]["resourceVersion"]
    entry = changed.body["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"]) == ("kubectl", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_what_another_applied_stays_and_is_not_changed_without_force(engine: Engine) -> None:
    apply(engine, {"data": {"a": "1"}}, "first")
    apply(engine, {"data": {"b": "2"}}, "second")

    with pytest.raises(ApiError) as caught:
        apply(engine, {"data": {"a": "9", "b": "2"}}, "second")
    forced = apply(engine, {"data": {"a": "9", "b": "2"}}, "second", force=True)

    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "first": .data.a'
    assert forced.body["data"] == {"a": "9", "b": "2"}
    managers = [one["manager"] for one in forced.body["metadata"]["managedFields"]]
    assert managers == ["second"]


def test_applied_lists_merge_by_their_keys(engine: Engine, api: Api) -> None:
    def configure(*names: str) -> Answer:
        containers = [{"name": name, "image": "i"} for name in names]
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
        return engine.execute(
            Call(
                "patch",
                engine.cluster.resources.named("deployments.apps"),
                Caller(USER),
                "default",
                "d",
                body=body | {"spec": spec},
                content_type=APPLY_PATCH,
                options=Options(field_manager="kubectl"),
            )
        )

    configure("a", "b")
    sidecar = {"name": "sidecar", "image": "s"}
    patch = {"spec": {"template": {"spec": {"containers": [sidecar]}}}}
    api.patch("deployments.apps", "d", patch, "default", user=USER, content_type=STRATEGIC_PATCH)

    answer = configure("b")

    containers = answer.body["spec"]["template"]["spec"]["containers"]
    assert {one["name"] for one in containers} == {"b", "sidecar"}


def test_applying_needs_a_manager(engine: Engine) -> None:
    with pytest.raises(ApiError) as caught:
        apply(engine, {}, "")

    assert "fieldManager: Required value: is required for apply patch" in caught.value.message
