"""Gather the images for a plan from a cluster, from manifests, or from saved log entries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.connect.clusters import Reached
from cli.connect.configuration import configured_mirrors
from cli.connect.service_error import explain
from cli.exits import ExitCode, fail
from cli.input.kubernetes_files import read_manifests
from cli.input.log_export import label_of, read_files
from cli.input.saved_events import Replayer
from cli.plan.image_plan import PlanRequest
from cli.plan.skipped_images import (
    Survey,
    Surveyor,
    is_opted_in,
    name_of,
    read_opted_in,
    read_proven,
    survey_cluster,
)
from cli.terminal import count, is_watched, join_some, make_side_console
from shared.domain.cluster import mirror_location
from shared.domain.json_access import field_at, text_of
from shared.domain.proven_mirrors import ProvenMirrors
from shared.domain.request import Cause, ReferenceRequest
from shared.errors import EventError
from shared.messages.audit_entry import AuditEntry
from shared.pipeline.sweep.inventory import Reader, Use, hidden_namespaces, is_in_use
from shared.settings.keys import Settings

_AS_CONFIGURED = (
    "files do not show which mirrors are proven: pods are shown as if all of `upstreams` were"
)


@dataclass(slots=True)
class PlanInput:
    """The images for a plan, and their workloads."""

    about: str
    """A description of the source, for a person."""
    requests: list[PlanRequest] = field(default_factory=list)
    survey: Survey = field(default_factory=Survey)
    notes: list[str] = field(default_factory=list)
    """The failed reads, and the assumptions."""
    is_proven: bool = True
    """Whether any mirror is proven, so that pods may be rewritten."""
    rejected: list[dict[str, Any]] = field(default_factory=list)
    """Entries that are not understood, each with its file, line and reason."""


def gather_cluster(reached: Reached, settings: Settings) -> PlanInput:
    """
    Read the images that a cluster uses.

    Raises:
        typer.Exit: It does not answer, or refuses.
    """
    cluster = reached.cluster
    with make_side_console().status(f"Reading {cluster.name.name} …") as status:
        read = 0

        def watch(plural: str) -> None:
            nonlocal read
            read += 1
            if is_watched():
                status.update(f"Reading {cluster.name.name}: {count(read, 'object')}, {plural} …")

        try:
            found = survey_cluster(cluster, settings, watch)
        except EventError as exc:
            fail(ExitCode.UNAVAILABLE, explain(exc))
    material = PlanInput(
        f"{cluster.name}: {count(found.inventory.workloads, 'workload')}",
        [
            _as_request(each, str(cluster.name), "schedule")
            for each in found.inventory.uses.values()
        ],
        found.survey,
        [*reached.notes, *(f"left out: {each}" for each in found.refusals)],
    )
    material.notes += _note_proofs(found.proven)
    material.is_proven = bool(found.proven.proofs)
    return material


def gather_manifests(
    files: Sequence[str], settings: Settings, reached: Reached | None, location: str
) -> PlanInput:
    """
    Read the images that a cluster would use with some manifests.

    Raises:
        typer.Exit: A file cannot be read, or the cluster.
    """
    bodies = list(read_manifests(list(files)))
    opted_in = {
        text_of(field_at(body, ("metadata", "name"))) or "": is_opted_in(body)
        for body in bodies
        if body.get("kind") == "Namespace"
    }
    material = PlanInput(f"{_join(files)}: {count(len(bodies), 'object')}")
    surveyors = _Surveys(settings, reached, material, opted_in)
    surveyor = surveyors.at(location)
    reader, hidden = Reader(settings, ProvenMirrors()), hidden_namespaces(settings)
    for body in bodies:
        api_version = text_of(body.get("apiVersion")) or "v1"
        plural = f"{(text_of(body.get('kind')) or 'object').lower()}s"
        reader.read(body, api_version, plural)
        if is_in_use(body, hidden):
            surveyor.look(body, name_of(body, api_version, plural))
    cluster = str(reached.cluster.name) if reached else None
    uses = reader.inventory.uses.values()
    material.requests = [_as_request(each, cluster, "audit_log") for each in uses]
    return material


def gather_exports(files: Sequence[str], settings: Settings, reached: Reached | None) -> PlanInput:
    """
    Read the images that saved entries request.

    Raises:
        typer.Exit: A file cannot be read, or the cluster.
    """
    material = PlanInput("")
    surveyors = _Surveys(settings, reached, material, {})

    def look(entry: AuditEntry) -> None:
        surveyor = surveyors.at(entry.location or "")
        surveyor.look(entry.body, entry.resource_name or "")

    replayer, entries = Replayer(settings, look), 0
    for name, found in read_files(files, is_shown=True):
        replayed = replayer.replay(found)
        entries += 1
        if replayed.disposition == "rejected":
            material.rejected.append(
                {"file": name, "line": replayed.line, "reason": replayed.reason}
            )
        material.requests += [PlanRequest(each, each.cause.resource) for each in replayed.requests]
    material.about = f"{_join(files)}: {count(entries, 'entry', 'entries')}"
    return material


class _Surveys:
    """
    Surveys the objects in files, with the proven mirrors of the cluster.

    Without a cluster, every configured mirror in the location of an entry's cluster counts as
    proven.
    """

    def __init__(
        self,
        settings: Settings,
        reached: Reached | None,
        material: PlanInput,
        opted_in: Mapping[str, bool],
    ) -> None:
        self._settings = settings
        self._material = material
        self._opted_in = opted_in
        self._proven: ProvenMirrors | None = None
        self._made: dict[str, Surveyor] = {}
        if reached is None:
            material.notes.append(_AS_CONFIGURED)
        else:
            self._read(reached)

    def at(self, location: str) -> Surveyor:
        """Return the surveyor for the objects of a cluster in a location."""
        if location not in self._made:
            mirrors = mirror_location(self._settings.location, location)
            proven = self._proven
            if proven is None:
                proven = ProvenMirrors(configured_mirrors(self._settings, mirrors))
            self._made[location] = Surveyor(
                self._settings, proven, self._opted_in, self._material.survey
            )
        return self._made[location]

    def _read(self, reached: Reached) -> None:
        """Read the proven mirrors and the namespaces of the cluster."""
        material = self._material
        try:
            self._proven = read_proven(reached.cluster)
            self._opted_in = {**self._opted_in, **read_opted_in(reached.cluster)}
        except EventError as exc:
            fail(ExitCode.UNAVAILABLE, explain(exc))
        material.is_proven = bool(self._proven.proofs)
        material.notes += [*reached.notes, *_note_proofs(self._proven)]


def _join(files: Sequence[str]) -> str:
    return join_some([label_of(each) for each in files])


def _note_proofs(proven: ProvenMirrors) -> list[str]:
    broken = [
        f"an entry of proven-mirrors proves nothing: {key}: {problem}"
        for key, problem in proven.broken.items()
    ]
    nothing = ["no mirror is proven in this cluster yet, so pods are not rewritten"]
    return broken + (nothing if not proven.proofs else [])


def _as_request(use: Use, cluster: str | None, kind: Any) -> PlanRequest:
    request = ReferenceRequest(
        image=use.image.text,
        reference=use.image.reference,
        cluster=cluster,
        placement=use.placement,
        platform=use.platform,
        cause=Cause(kind, None, use.workload),
    )
    return PlanRequest(request, use.workload)
