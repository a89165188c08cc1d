"""
The images of workloads that Prestream would skip, and the pods that it would rewrite.

Each skipped image has its reason. The inventory and the detectors find the other images by the same
rules.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.domain.image_fields import find_image_fields
from shared.domain.image_reference import InvalidReferenceError, WrittenImage
from shared.domain.image_selection import Selection
from shared.domain.json_access import field_at, text_of
from shared.domain.mirror_reference import Left, Rewrite, rewrite_field
from shared.domain.owner import resource_name
from shared.domain.proven_mirrors import PARAMETER_NAME, ProvenMirrors
from shared.domain.workload import find_pod_specs
from shared.errors import ConfigurationError
from shared.pipeline.ports import ClusterApi
from shared.pipeline.sweep.inventory import (
    Inventory,
    hidden_namespaces,
    is_in_use,
    read_inventory,
)
from shared.settings.keys import Settings

OPT_IN = ("prestream.dev/rewrite", "enabled")
"""The label of a namespace whose pods are rewritten."""

Watch = Callable[[str], object]
"""Called for each object that is read, with the plural of its kind."""

Why = Literal["no_accelerator", "excluded", "invalid"]

_SENTENCES: Mapping[Why, str] = {
    "no_accelerator": "no pod with it asks for an accelerator (`accelerators_only`)",
    "excluded": "the patterns of `include` and `exclude` exclude it",
}


@dataclass(frozen=True, slots=True)
class SkippedImage:
    """An image that is not warmed because of its workload or the configuration."""

    image: str
    why: Why
    reason: str


@dataclass(frozen=True, slots=True)
class PodRewrites:
    """The rewriting of the images of a workload's new pods."""

    workload: str
    opted_in: bool | None
    """Whether the namespace has the label; None if unknown."""
    rewritten: tuple[Rewrite, ...]
    left: tuple[Rewrite, ...]
    """Images outside Google that keep their names."""

    @property
    def is_rewritten(self) -> bool:
        """Whether the pods would be changed, if a namespace that is unknown has the label."""
        return bool(self.rewritten) and self.opted_in is not False


@dataclass(slots=True)
class Survey:
    """The skipped images and the rewritten pods of the surveyed workloads."""

    left_out: dict[SkippedImage, list[str]] = field(default_factory=dict)
    """The workloads of each, every one once."""
    pods: dict[PodRewrites, None] = field(default_factory=dict)
    """Each once, in the order of the survey."""


class Surveyor:
    """
    Surveys workloads, one by one.

    Args:
        settings: The configuration.
        proven: The proven mirrors.
        opted_in: Whether the pods of each known namespace are rewritten.
        survey: The survey to add to, if several surveyors share one.
    """

    def __init__(
        self,
        settings: Settings,
        proven: ProvenMirrors,
        opted_in: Mapping[str, bool],
        survey: Survey | None = None,
    ) -> None:
        self.survey = survey or Survey()
        self._selection = Selection(settings.include, settings.exclude, settings.accelerators_only)
        self._proven = proven
        self._opted_in = opted_in

    def look(self, body: Mapping[str, Any], workload: str) -> None:
        """Add an object that is in use to the survey."""
        for left_out in self._find_left_out(body):
            workloads = self.survey.left_out.setdefault(left_out, [])
            if workload not in workloads:
                workloads.append(workload)
        rewrites = [
            rewrite_field(each, self._proven.proofs, self._proven.pull_secrets)
            for each in find_image_fields(body)
            if isinstance(each.image, str) and each.image
        ]
        rewritten = tuple(dict.fromkeys(each for each in rewrites if each.mirror))
        left = tuple(dict.fromkeys(each for each in rewrites if _is_remarkable(each)))
        if rewritten or left:
            namespace = text_of(field_at(body, ("metadata", "namespace"))) or ""
            opted_in = self._opted_in.get(namespace)
            self.survey.pods.setdefault(PodRewrites(workload, opted_in, rewritten, left))

    def _find_left_out(self, body: Mapping[str, Any]) -> Iterator[SkippedImage]:
        for pod in find_pod_specs(body):
            for image in pod.images:
                why = self._why(image, wants=self._selection.wants(pod))
                if why is not None:
                    yield SkippedImage(image.text, why, _SENTENCES[why])
        for each in find_image_fields(body):
            if each.image is None or each.image == "":
                continue
            if not isinstance(each.image, str):
                yield SkippedImage(repr(each.image), "invalid", "an image that is not a text")
                continue
            try:
                WrittenImage.parse(each.image)
            except InvalidReferenceError as exc:
                yield SkippedImage(each.image, "invalid", str(exc))

    def _why(self, image: WrittenImage, *, wants: bool) -> Why | None:
        if not self._selection.admits(image.reference):
            return "excluded"
        return None if wants else "no_accelerator"


class SurveyedCluster:
    """
    A cluster whose objects are surveyed while the inventory reads them.

    A kind that may not be listed is omitted and recorded, because a person may have fewer rights
    than a function.
    """

    def __init__(
        self, cluster: ClusterApi, surveyor: Surveyor, hidden: Collection[str], watch: Watch
    ) -> None:
        self.refusals: list[str] = []
        self._cluster = cluster
        self._surveyor = surveyor
        self._hidden = hidden
        self._watch = watch

    def list_objects(self, api_version: str, plural: str) -> Iterator[dict[str, Any]]:
        """List the objects of a kind, and survey each."""
        try:
            for body in self._cluster.list_objects(api_version, plural):
                if is_in_use(body, self._hidden):
                    self._surveyor.look(body, name_of(body, api_version, plural))
                self._watch(plural)
                yield body
        except ConfigurationError as exc:
            self.refusals.append(str(exc))

    def fetch_group_versions(self) -> Mapping[str, tuple[str, ...]]:
        """Return the answer of the cluster."""
        return self._cluster.fetch_group_versions()

    def fetch_config_map(self, name: str) -> dict[str, Any] | None:
        """Return the answer of the cluster."""
        return self._cluster.fetch_config_map(name)


@dataclass(frozen=True, slots=True)
class ClusterSurvey:
    """The images that a cluster uses, and those that are skipped."""

    inventory: Inventory
    survey: Survey
    proven: ProvenMirrors
    refusals: tuple[str, ...]
    """The kinds that could not be listed, with the reason."""


def read_proven(cluster: ClusterApi) -> ProvenMirrors:
    """
    Return the proven mirrors of a cluster.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    parameter = cluster.fetch_config_map(PARAMETER_NAME) or {}
    return ProvenMirrors.from_data(parameter.get("data") or {})


def read_opted_in(cluster: ClusterApi) -> dict[str, bool]:
    """
    Return for each namespace whether its pods are rewritten.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    namespaces = cluster.list_objects("v1", "namespaces")
    return {str(field_at(each, ("metadata", "name"))): is_opted_in(each) for each in namespaces}


def survey_cluster(cluster: ClusterApi, settings: Settings, watch: Watch) -> ClusterSurvey:
    """
    Return the images that a cluster uses, and the skipped ones with their reasons.

    Args:
        cluster: A connection to it.
        settings: The configuration.
        watch: Called with the kind of each object.

    Raises:
        TransientError: The cluster is unavailable.
        ConfigurationError: It refuses our identity.
    """
    proven = read_proven(cluster)
    surveyor = Surveyor(settings, proven, read_opted_in(cluster))
    surveyed = SurveyedCluster(cluster, surveyor, hidden_namespaces(settings), watch)
    inventory = read_inventory(surveyed, settings)
    return ClusterSurvey(inventory, surveyor.survey, proven, tuple(surveyed.refusals))


def name_of(body: Mapping[str, Any], api_version: str, plural: str) -> str:
    """Name an object in the form of the audit log."""
    namespace, name = (
        text_of(field_at(body, ("metadata", key))) or "" for key in ("namespace", "name")
    )
    return resource_name(api_version, plural, namespace, name)


def is_opted_in(namespace: Mapping[str, Any]) -> bool:
    """Whether the pods of a namespace are rewritten, by its label."""
    key, value = OPT_IN
    return text_of(field_at(namespace, ("metadata", "labels", key))) == value


def _is_remarkable(rewrite: Rewrite) -> bool:
    return rewrite.mirror is None and rewrite.left not in {Left.AT_GOOGLE, Left.INVALID}
