"""The prewarm API in memory keeps what the workflows are promised."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.catalogue.image import Image
from shared.domain.image_reference import Digest
from tests.contract.prewarming_conformance import PrewarmingConformance
from tests.fakes.prewarming import FakePrewarmApi


class FakeWorld:
    def __init__(self) -> None:
        self.api = FakePrewarmApi(datetime(2026, 11, 24, 7, 30, tzinfo=UTC))

    def push(self, path: str, image: Image) -> None:
        assert path
        self.api.sizes[Digest(image.digest)] = image.manifests[0].image_bytes

    def advance(self, by: timedelta) -> None:
        self.api.now += by

    def fail(self, reason: str) -> None:
        self.api.failure = reason

    def limit(self, size: int) -> None:
        self.api.limit_bytes = size


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


class TestFakePrewarmApi(PrewarmingConformance):
    """The API in memory."""
