"""prestream warm: its messages and its output."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli.exits import ExitCode
from sandbox.clock import Clock
from sandbox.fault import Fault, Faults
from sandbox.messaging import Messaging
from sandbox.pubsub.message import Message
from sandbox.pubsub.pubsub_server import PubsubServer
from tests.fakes.command_line import run_command

TOPIC = "projects/demo/topics/prestream-image-references"
CLUSTER = "projects/demo/locations/us-central1/clusters/gpu"
TWIN = "projects/demo/locations/europe-west4/clusters/gpu"
TARGETS = """
targets:
  l4: {nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}}
  a100: {nodeSelector: {cloud.google.com/gke-accelerator: nvidia-tesla-a100}}
"""


class World:
    """Pub/Sub with our topics, and a configuration."""

    def __init__(self, folder: Path) -> None:
        self.faults = Faults()
        self.server = PubsubServer(Clock(), self.faults).start()
        self.config = folder / "prestream.yaml"
        self.config.write_text("", encoding="utf-8")
        self._messaging = Messaging("demo", self.server.address)
        self._messaging.declare_topics()
        self._before = 0

    def begin(self, config: str = "") -> None:
        """Forget what was published, and configure anew."""
        self.config.write_text(config, encoding="utf-8")
        self._before = len(self.server.messages(TOPIC))

    def stop(self) -> None:
        self._messaging.close()
        self.server.stop()

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "PRESTREAM_CONFIG": str(self.config),
            "GOOGLE_CLOUD_PROJECT": "demo",
            "PUBSUB_EMULATOR_HOST": self.server.address,
        }

    def warm(self, *arguments: str) -> Result:
        return run_command(self.environ, "warm", *arguments)

    @property
    def messages(self) -> list[Message]:
        return self.server.messages(TOPIC)[self._before :]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(each.data) for each in self.messages]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("warm"))
    yield world
    world.stop()


@pytest.fixture
def world(started: World) -> World:
    started.begin()
    return started


def test_image_is_published_with_its_options_and_confirmed(
    world: World,
) -> None:
    result = world.warm("nginx:1.27", "--cluster", CLUSTER, "--platform", "linux/arm64", "--force")

    (body,), (message,) = world.bodies, world.messages
    assert result.exit_code == 0, result.stderr
    assert body == {
        "image": "nginx:1.27",
        "cluster": CLUSTER,
        "platform": "linux/arm64",
        "cause": {"kind": "manual", "id": None, "resource": None},
        "force": True,
    }
    assert result.stdout == f"asked for nginx:1.27 in {CLUSTER} (message {message.message_id})\n"


def test_image_without_a_cluster_is_published_once(
    world: World,
) -> None:
    result = world.warm("nginx", "redis", "nginx")

    assert [each["image"] for each in world.bodies] == ["nginx", "redis"]
    assert all("cluster" not in each for each in world.bodies)
    assert "asked for nginx in the watched clusters" in result.stdout


def test_each_cluster_and_each_target_has_a_message_of_its_own(world: World) -> None:
    world.begin(TARGETS)

    result = world.warm(
        "nginx", "--cluster", CLUSTER, "--cluster", TWIN, "--target", "l4", "--target", "a100"
    )

    assert result.exit_code == 0, result.stderr
    selectors = [(each["cluster"], each["placement"]["nodeSelector"]) for each in world.bodies]
    key = "cloud.google.com/gke-accelerator"
    assert selectors == [
        (cluster, {key: accelerator})
        for cluster in (CLUSTER, TWIN)
        for accelerator in ("nvidia-l4", "nvidia-tesla-a100")
    ]


def test_json_lists_each_message(world: World) -> None:
    result = world.warm("nginx", "--json")

    (message,) = world.messages
    (told,) = json.loads(result.stdout)["published"]
    assert (told["image"], told["message_id"]) == ("nginx", message.message_id)


def test_dry_run_is_mentioned(world: World) -> None:
    world.begin("dry_run: true")

    assert "will change nothing" in world.warm("nginx").stderr


def test_failed_publish_is_reported(world: World) -> None:
    fault = world.faults.add(Fault("pubsub", "Publish", 403))

    result = world.warm("nginx")
    world.faults.remove(fault)

    assert result.exit_code == ExitCode.UNAVAILABLE
    assert TOPIC in result.stderr
    assert result.stdout == ""
