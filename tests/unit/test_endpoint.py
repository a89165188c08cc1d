"""The addresses of the services in the environment."""

from shared.clients.endpoint import Endpoints


def test_services_are_those_of_google_by_default() -> None:
    assert Endpoints.from_environ({}) == Endpoints()
    assert Endpoints() == Endpoints(None, None, None, None, None)


def test_each_service_has_its_variable() -> None:
    environ = {
        "PUBSUB_EMULATOR_HOST": "localhost:1",
        "ARTIFACT_REGISTRY_EMULATOR_HOST": "localhost:2",
        "GKE_EMULATOR_HOST": "localhost:3",
        "CLOUD_LOGGING_EMULATOR_HOST": "localhost:4",
        "KUBECONFIG": "/etc/kubeconfig",
        "DOCKER_HOST": "localhost:6",
    }

    assert Endpoints.from_environ(environ) == Endpoints(
        pubsub="localhost:1",
        artifact_registry="localhost:2",
        gke="localhost:3",
        logging="localhost:4",
        kubeconfig="/etc/kubeconfig",
    )


def test_empty_variable_is_ignored() -> None:
    environ = {"PUBSUB_EMULATOR_HOST": "", "KUBECONFIG": ""}

    assert Endpoints.from_environ(environ) == Endpoints()
