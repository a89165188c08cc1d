"""A frozen cloud: no time passes, and all changes can be undone."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from sandbox.catalogue.image import Image
from sandbox.catalogue.upstream import Catalogue, UpstreamError
from sandbox.clock import Clock
from sandbox.fault import Faults
from sandbox.kubernetes.api import ApiError
from sandbox.kubernetes.server import KubernetesServer

ADMIN = "admin@example.com"
HOUR = timedelta(hours=1)


def test_frozen_clock_moves_only_by_advance() -> None:
    clock = Clock(1_000_000.0)
    clock.freeze()
    before = clock.now()

    assert clock.now() == before
    clock.advance(HOUR)
    assert clock.now() == before + HOUR


def test_frozen_clock_is_restored() -> None:
    clock = Clock()
    clock.freeze()
    before = clock.now()
    restore = clock.save()

    clock.advance(HOUR)
    restore()

    assert clock.now() == before


@pytest.fixture
def api_server() -> Iterator[KubernetesServer]:
    server = KubernetesServer(Clock(), Faults()).start()
    yield server
    server.stop()


def test_objects_are_restored_repeatedly(api_server: KubernetesServer) -> None:
    api = api_server.api
    body = {"metadata": {"name": "kept"}, "data": {"a": "1"}}
    kept = api.create("configmaps", body, "default", user=ADMIN)
    restore = api_server.save()

    for _ in range(2):
        api.patch("configmaps", "kept", {"data": {"a": "2"}}, "default", user=ADMIN)
        api.create("configmaps", {"metadata": {"name": "new"}}, "default", user=ADMIN)
        restore()

        assert api.read("configmaps", "kept", "default") == kept
        with pytest.raises(ApiError):
            api.read("configmaps", "new", "default")


def test_images_and_tags_are_restored() -> None:
    catalogue = Catalogue()
    first = catalogue.add("docker.io/team/app", "1", Image((1_000,), build="first"))
    restore = catalogue.save()

    catalogue.move_tag("docker.io/team/app", "1", Image((1_000,), build="second"))
    catalogue.add("docker.io/team/app", "2", Image((1_000,), build="second"))
    restore()

    assert catalogue.fetch("docker.io", "team/app", "1").digest == first
    with pytest.raises(UpstreamError):
        catalogue.fetch("docker.io", "team/app", "2")
