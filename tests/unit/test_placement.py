"""Where a workload wants to run, and which part of it a warmup follows."""

from typing import Any

import pytest

from shared.domain.placement import InvalidPlacementError, Placement, Toleration

L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def test_placement_is_read_as_kubernetes_writes_it() -> None:
    placement = Placement.from_json(
        {
            "nodeSelector": L4,
            "tolerations": [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
                {"key": "team", "value": "ml", "tolerationSeconds": 60},
            ],
        }
    )

    assert placement == Placement(
        (("cloud.google.com/gke-accelerator", "nvidia-l4"),),
        (
            Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule"),
            Toleration("team", "Equal", "ml"),
        ),
    )


@pytest.mark.parametrize("value", [{}, {"nodeSelector": None, "tolerations": None}])
def test_missing_fields_are_empty(value: dict[str, Any]) -> None:
    assert Placement.from_json(value) == Placement()


def test_placement_that_is_written_is_read_as_itself() -> None:
    placement = Placement.of(L4, [Toleration("a", "Exists"), Toleration("b", value="c")])

    assert Placement.from_json(placement.as_json()) == placement
    assert placement.as_json() == {
        "nodeSelector": L4,
        "tolerations": [
            {"key": "a", "operator": "Exists"},
            {"key": "b", "operator": "Equal", "value": "c"},
        ],
    }


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(None, "not an object", id="nothing"),
        pytest.param([], "not an object", id="list"),
        pytest.param("gpu", "not an object", id="text"),
        pytest.param({"nodeSelector": ["a"]}, "nodeSelector", id="selector-list"),
        pytest.param({"nodeSelector": {"a": True}}, "nodeSelector", id="selector-bool"),
        pytest.param({"nodeSelector": {"a": None}}, "nodeSelector", id="selector-null"),
        pytest.param({"tolerations": {"key": "a"}}, "not a list", id="tolerations-object"),
        pytest.param({"tolerations": ["a"]}, "not an object", id="toleration-text"),
        pytest.param({"tolerations": [{"key": 5}]}, "not a string", id="toleration-number"),
        pytest.param({"tolerations": [{"effect": ["a"]}]}, "not a string", id="toleration-list"),
        pytest.param(
            {"tolerations": [{"key": "a", "operator": "Gt"}]}, "operator", id="toleration-operator"
        ),
    ],
)
def test_invalid_placement_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidPlacementError, match=words):
        Placement.from_json(value)


def test_placements_that_mean_the_same_are_the_same() -> None:
    first, second = Toleration("a", "Exists"), Toleration("b", "Exists")

    one = Placement.of({"x": "1", "y": "2"}, [first, second, first])
    other = Placement.of({"y": "2", "x": "1"}, [second, first])

    assert one == other
    assert one.canonical == other.canonical
    assert one.name == other.name


@pytest.mark.parametrize(
    "other",
    [
        Placement.of({**L4, "a": "b"}),
        Placement.of({"cloud.google.com/gke-accelerator": "nvidia-l4 "}),
        Placement.of(L4, [Toleration("a", "Exists")]),
        Placement.of({}),
    ],
)
def test_placements_that_differ_have_other_names(other: Placement) -> None:
    assert Placement.of(L4).name != other.name
    assert Placement.of(L4).canonical != other.canonical


@pytest.mark.parametrize(
    ("selector", "start"),
    [
        pytest.param(L4, "nvidia-l4-", id="accelerator"),
        pytest.param({**L4, "cloud.google.com/gke-spot": "true"}, "nvidia-l4-spot-", id="spot"),
        pytest.param({**L4, "cloud.google.com/gke-spot": "false"}, "nvidia-l4-", id="no-spot"),
        pytest.param(
            {"cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice"}, "tpu-v5p-slice-", id="tpu"
        ),
        pytest.param(
            {"cloud.google.com/compute-class": "gpu_pool"}, "gpu-pool-", id="compute-class"
        ),
        pytest.param({"team": "ml"}, "any-", id="other-keys"),
        pytest.param({}, "any-", id="anywhere"),
        pytest.param({"cloud.google.com/compute-class": "***"}, "any-", id="no-letters"),
    ],
)
def test_name_describes_the_placement(selector: dict[str, str], start: str) -> None:
    name = Placement.of(selector).name

    assert name.startswith(start)
    assert len(name) == len(start) + 6


@pytest.mark.parametrize("value", ["x" * 200, "-" * 50 + "a", "a" * 39 + "--b", "é/ü", "A_B.C"])
def test_name_is_a_valid_label_value(value: str) -> None:
    name = Placement.of({"cloud.google.com/compute-class": value}).name

    assert len(name) <= 63
    assert name.isascii()
    assert name.replace("-", "").isalnum()
    assert name[0] != "-" != name[-1]


def test_number_of_tolerations_is_limited() -> None:
    tolerations = [Toleration("nvidia.com/gpu", value=f"{number:05}") for number in range(20_000)]

    reduced = Placement.of(L4, tolerations).reduced_to({*L4, "nvidia.com/gpu"})

    assert reduced == Placement.of(L4, tolerations[:32])


def test_only_listed_keys_are_followed() -> None:
    placement = Placement.of(
        {**L4, "kubernetes.io/hostname": "gke-node-1"},
        [Toleration("nvidia.com/gpu", "Exists"), Toleration("dedicated", value="secret")],
    )

    reduced = placement.reduced_to({"cloud.google.com/gke-accelerator", "nvidia.com/gpu"})

    assert reduced == Placement.of(L4, [Toleration("nvidia.com/gpu", "Exists")])


@pytest.mark.parametrize("keys", [set(), {"nvidia.com/gpu"}, {""}])
def test_toleration_for_everything_is_never_followed(keys: set[str]) -> None:
    everything = Placement.of({}, [Toleration("", "Exists")])

    assert everything.reduced_to(keys) == Placement()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("nvidia-l4,!cloud.google.com/gke-spot", id="more-of-a-label-selector"),
        pytest.param("a b", id="space"),
        pytest.param("a\n", id="line-feed"),
        pytest.param("-a", id="hyphen-first"),
        pytest.param("a" * 64, id="too-long"),
        pytest.param("é", id="not-ascii"),
    ],
)
def test_value_that_is_not_a_label_is_not_followed(value: str) -> None:
    (key,) = L4
    keys = {key, "nvidia.com/gpu"}
    placement = Placement.of({key: value}, [Toleration("nvidia.com/gpu", value=value)])

    assert placement.reduced_to(keys) == Placement()


@pytest.mark.parametrize(
    "toleration",
    [
        pytest.param(Toleration("nvidia.com/gpu", "Exists", "present"), id="exists-with-a-value"),
        pytest.param(Toleration("nvidia.com/gpu", "Exists", effect="Always"), id="no-effect"),
    ],
)
def test_toleration_that_the_api_server_would_refuse_is_not_followed(
    toleration: Toleration,
) -> None:
    assert Placement.of({}, [toleration]).reduced_to({"nvidia.com/gpu"}) == Placement()


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param(Toleration("nvidia.com/gpu", "Exists"), True, id="key-exists"),
        pytest.param(Toleration("nvidia.com/gpu", value="present"), True, id="key-and-value"),
        pytest.param(
            Toleration("nvidia.com/gpu", "Exists", effect="NoSchedule"), True, id="effect"
        ),
        pytest.param(Toleration("", "Exists"), True, id="everything"),
        pytest.param(Toleration("nvidia.com/gpu", value="absent"), False, id="other-value"),
        pytest.param(Toleration("nvidia.com/gpu"), False, id="no-value"),
        pytest.param(Toleration("google.com/tpu", "Exists"), False, id="other-key"),
        pytest.param(
            Toleration("nvidia.com/gpu", "Exists", effect="NoExecute"), False, id="other-effect"
        ),
    ],
)
def test_taint_is_tolerated_as_in_kubernetes(*, toleration: Toleration, expected: bool) -> None:
    assert toleration.tolerates(GPU_TAINT) is expected


def test_taint_without_value_is_tolerated_by_its_key() -> None:
    taint = {"key": "spot", "effect": "NoSchedule"}

    assert Toleration("spot").tolerates(taint)
    assert not Toleration("spot", value="true").tolerates(taint)
