"""Builders of pods and of their required node affinity."""

from typing import Any

GPU = {"limits": {"nvidia.com/gpu": "1"}}
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}


def pod(*containers: Any, **fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **fields}}


def named(image: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": image, **fields}


def affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": term} for term in terms]
            }
        }
    }


def expression(key: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    1.5,
    "text",
    [],
    [[]],
    {},
    {"a": None},
    [None, 1, "x", {"b": []}],
]
