"""A hostile reference is the fault of its image: it is acknowledged, and nobody is paged."""

import pytest

from tests.integration.pipelines import Pipeline
from tests.integration.warmup_jobs import annotation

ACCELERATOR = "cloud.google.com/gke-accelerator"
HANDLED = [200]


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("nothing.pkg.dev", id="no-registry-of-google-s"),
        pytest.param(f"{'a' * 64}-docker.pkg.dev", id="longer-than-a-label"),
        pytest.param("169.254.169.254", id="metadata-server"),
        pytest.param("kubernetes.default.svc", id="service-of-the-cluster"),
    ],
)
def test_foreign_host_is_the_fault_of_the_image(pipeline: Pipeline, host: str) -> None:
    image = f"{host}/demo/apps/tool:1"

    message = pipeline.ask(image)

    assert pipeline.statuses(message) == HANDLED
    assert pipeline.line(message, "handled")["outcome"] in {"pull_failed", "not_allowed"}
    assert pipeline.warmup(image)["hint"]
    assert pipeline.jobs(image) == []


def test_impossible_node_does_not_keep_an_image_cold(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/hostile-placement")
    placement = {
        "nodeSelector": {ACCELERATOR: "nvidia-l4,!cloud.google.com/gke-spot", "dedicated": "us"},
        "tolerations": [
            {"operator": "Exists"},
            {"key": "dedicated", "operator": "Exists"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "value": "present"},
        ],
    }

    message = pipeline.ask(image, placement=placement)

    assert pipeline.statuses(message) == HANDLED
    assert pipeline.line(message, "handled")["created"]
    pod = pipeline.job(image)["spec"]["template"]["spec"]
    assert not {"dedicated", ACCELERATOR} & set(pod["nodeSelector"])
    assert {each.get("key") for each in pod["tolerations"]} <= {
        *("nvidia.com/gpu", "google.com/tpu", "prestream.dev/warmup")
    }
    assert pipeline.warmup(image)["outcome"] == "pulled"


def test_object_that_was_named_to_look_like_more_is_kept_as_it_is(pipeline: Pipeline) -> None:
    image = pipeline.add_image("team/hostile-cause")
    resource = (
        'core/v1/namespaces/ml/pods/x\n{"severity":"EMERGENCY","disposition":"failed"}\x1b[2J'
    )

    message = pipeline.ask(image, cause={"kind": "audit_log", "id": "i", "resource": resource})

    line = pipeline.line(message, "handled")
    assert line["severity"] == "INFO"
    assert len(pipeline.lines(message)) == 1
    assert pipeline.warmup(image)["cause"]["resource"] == resource
    assert resource not in str(annotation(pipeline.job(image), "cause"))
