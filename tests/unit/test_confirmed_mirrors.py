"""Nothing is warmed out of a repository that only bears a mirror's name."""

from shared.domain.mirror import RepositoryName, RepositoryState
from tests.fakes.warmings import Scene
from tests.fakes.warmups import make_node

HUB = RepositoryName("demo", "us-central1", "dockerhub-mirror")


def test_repository_of_a_mirrors_name_that_answers_is_not_pulled_from() -> None:
    scene = Scene()
    scene.cluster.place(make_node("gpu-1"))
    another = RepositoryState(is_docker_remote=True, uri="https://quay.io")
    scene.registry.repositories.states[HUB] = another

    outcome = scene.warm()

    assert outcome.details["outcome"] == "misconfigured"
    assert scene.cluster.jobs == {}
