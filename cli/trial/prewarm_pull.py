"""Prewarm the second image of a trial, and pull it on a node that does not hold it."""

from collections.abc import Callable
from dataclasses import dataclass

from cli.trial.node_choice import choose_nodes, make_rung
from cli.trial.pull_context import PullContext
from cli.trial.pull_job import PullJob
from cli.trial.pull_result import PullResult
from cli.trial.trial_image import TrialImage
from cli.trial.trial_objects import Removal
from cli.trial.trial_step import Step
from shared.clients.prewarm_api import PrewarmingClient
from shared.domain.action import Prewarm
from shared.domain.node import Node
from shared.domain.prewarm import ArtifactVersion, PrewarmRefusedError
from shared.pipeline.execute import Executor

_DAYS = 1


@dataclass(frozen=True, slots=True)
class PrewarmPull:
    """
    A pull after the prewarm API.

    Args:
        api: The prewarm API.
        context: The parts that all pulls have in common.
        add_removal: Lists the prewarmed artifact before it is requested.
    """

    api: PrewarmingClient
    context: PullContext
    add_removal: Callable[[Removal], None]

    def run(self, image: TrialImage, until: float) -> PullResult:
        """
        Prewarm an image, wait until it is cached, and pull it.

        Raises:
            TransientError: A service is unavailable.
            ConfigurationError: It refuses our identity.
        """
        nodes = [Node.from_body(body) for body in self.context.cluster.list_nodes()]
        choice = choose_nodes(nodes, image.wanted, make_rung(self.context.platform))
        if not choice.streaming:
            return _fail(image, "no_node", "no node with image streaming lacks the second image")
        if problem := self._prewarm(image, until):
            return _fail(image, "prewarm_failed", problem)
        return PullJob(self.context, Step("prewarmed", 1, choice.streaming[0]), image, until).run()

    def _prewarm(self, image: TrialImage, until: float) -> str | None:
        """Prewarm an image, and return why that failed; None if it is cached."""
        context = self.context
        version = _version_of(image, context.platform)
        if version is None:
            return "the image is not in Artifact Registry"
        region, project = context.cluster.name.region, version.repository.project
        self.add_removal(
            Removal(
                f"prewarmed image {version.package}",
                f"gcloud artifacts image-streaming-cache list --project={project}",
                lambda: self.api.remove(version, location=region),
            )
        )
        try:
            Executor(prewarm_api=self.api).prewarm(Prewarm(version, region, _DAYS))
            while context.clock() < until:
                found = self.api.check(version, location=region)
                if found is not None and found.state != "CACHING":
                    return None if found.state == "ACTIVE" else "the API reports FAILED"
                context.pause()
        except PrewarmRefusedError as exc:
            return str(exc)
        return "the image was not cached in time"


def _version_of(image: TrialImage, platform: str) -> ArtifactVersion | None:
    """Return the manifest of the platform in the mirror."""
    if image.manifest is None:
        return None
    digest = image.manifest.digest_for(platform) if image.manifest.is_index else None
    return ArtifactVersion.of(image.source.mirror, digest or image.manifest.digest, platform)


def _fail(image: TrialImage, outcome: str, reason: str) -> PullResult:
    return PullResult(
        step=Step("prewarmed"),
        image=str(image.source.mirror),
        outcome=outcome,
        image_bytes=image.image_bytes,
        reason=reason,
    )
