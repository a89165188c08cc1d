"""Values of a sweep: what was read of a cluster, for the decisions about it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.domain.image_reference import Digest, WrittenImage
from shared.domain.image_state import Progress, WarmupRecord
from shared.domain.manifest import Manifest, PlatformManifest
from shared.domain.mirror import Source
from shared.domain.placement import Placement
from shared.domain.prewarm import PrewarmedArtifact
from shared.domain.warmup_job import JobName
from shared.pipeline.execute import Executor
from shared.pipeline.mirror_lookup import Mirrors
from shared.pipeline.sweep.due import (
    ImageInUse,
    Sweep,
    group_images,
)
from shared.pipeline.sweep.inventory import Inventory, Use
from shared.pipeline.sweep.queue import ExistingWarmup, WarmupQueue
from shared.settings.keys import make_settings
from shared.settings.yaml_file import Document
from tests.fakes.clusters import GPU_CLUSTER, START
from tests.fakes.registries import FakeRegistry

NOW = START + timedelta(hours=1)
DAY = timedelta(days=1)
L4 = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
H100 = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
TRAINER, SERVER = "team/trainer:1", "ghcr.io/team/server:1"
MIRRORED = "us-central1-docker.pkg.dev/demo/dockerhub-mirror/team/trainer:1"
OWN = "us-central1-docker.pkg.dev/demo/apps/trainer:1"
WORKLOAD = "apps/v1/namespaces/ml/deployments/trainer"
GB = 1_000_000_000


def make_digest(number: int) -> Digest:
    return Digest(f"sha256:{number:064}")


ONE, TWO, THREE = make_digest(1), make_digest(2), make_digest(3)
LARGE = Manifest(ONE, layers=(GB,))
SMALL = Manifest(ONE, layers=(1_000,))
INDEX = Manifest(
    ONE, platforms=(PlatformManifest("linux/amd64", TWO), PlatformManifest("linux/arm64", THREE))
)


def make_use(
    image: str = TRAINER,
    selector: dict[str, str] | None = None,
    platform: str | None = None,
    **fields: Any,
) -> Use:
    placement = Placement(node_selector=tuple((selector or L4).items()))
    return Use(WrittenImage.parse(image), placement, platform, WORKLOAD, **fields)


def make_sweep(
    *uses: Use, warmups: Sequence[ExistingWarmup] = (), message_id: str = "tick-1", **values: Any
) -> Sweep:
    settings = make_settings(Document(values), {"GOOGLE_CLOUD_PROJECT": "demo"}, name="file")
    inventory = Inventory(uses={(u.image.text, u.placement.canonical, u.platform): u for u in uses})
    queue = WarmupQueue({each.name: each for each in warmups})
    return Sweep(settings, GPU_CLUSTER, message_id, NOW, queue, inventory)


def locate(sweep: Sweep) -> Any:
    registry = FakeRegistry()
    mirrors = Mirrors(
        sweep.settings,
        registry=registry,
        repositories=lambda: registry.repositories,
        execute=Executor(dry_run=True),
        pause=lambda _: None,
    )
    return mirrors.locate


def make_image(sweep: Sweep) -> ImageInUse:
    """Return the only image of a sweep."""
    ((image,), _) = group_images(sweep, locate(sweep))
    return image


def make_warmup(
    name: JobName, image: str = TRAINER, *, is_complete: bool = False, retry: int | None = None
) -> ExistingWarmup:
    """Return a Job; with a number of hours, one that failed and is due again then."""
    retry_at = None if retry is None else NOW + timedelta(hours=retry)
    progress: Progress = "good" if is_complete else "waiting" if retry is None else "bad"
    return ExistingWarmup(
        name=name,
        image=image,
        is_complete=is_complete,
        retry_at=retry_at,
        pulled="",
        target="",
        platform=None,
        record=WarmupRecord(progress, NOW),
    )


def make_artifact(
    digest: Digest = ONE, state: Any = "ACTIVE", left: timedelta = 3 * DAY
) -> PrewarmedArtifact:
    return PrewarmedArtifact(
        digest, "us-central1", state, expires=NOW + left, image_bytes=GB, uri="trainer"
    )


def make_source(image: str) -> Source:
    source: Source = locate(make_sweep())(WrittenImage.parse(image).reference, "us-central1")
    return source
