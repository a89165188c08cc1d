"""
What a sweep does through Artifact Registry's prewarm API: renew what is still in use.

What is no longer used is left to lapse. What the API cannot do, or has no room for, gets a
reference after all: the next rung of the ladder warms it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.domain.image_reference import Digest
from shared.domain.ladder import PREWARM_RUNG
from shared.domain.mirror import RepositoryName
from shared.domain.prewarm import PrewarmedArtifact, PrewarmRefusedError
from shared.domain.prewarm_plan import Wanted, plan_prewarming
from shared.domain.request import ReferenceRequest
from shared.pipeline.prewarm_artifact import PassedOverError, Prewarming, PrewarmOrder
from shared.settings.keys import Settings

_MAX_NAMED = 20
"""How many images the sweep's line names; it tells how many more there are."""

_Held = dict[tuple[Digest, str], PrewarmedArtifact]


@dataclass(slots=True)
class _Wish:
    order: PrewarmOrder
    wanted: Wanted
    requests: list[ReferenceRequest]
    """What is published where the API does not serve: one for each target."""


@dataclass(slots=True)
class Renewal:
    """One sweep's use of the API."""

    prewarming: Prewarming
    settings: Settings
    _held: dict[RepositoryName, _Held] = field(default_factory=dict)
    _wishes: dict[str, dict[tuple[Digest, str], _Wish]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """By project: each has a storage of its own."""
    _useless: list[PrewarmOrder] = field(default_factory=list)
    """Failed, and in the way of what has no room."""
    _renewed: list[str] = field(default_factory=list)
    _begun: list[str] = field(default_factory=list)
    _left_out: list[str] = field(default_factory=list)
    _passed: list[str] = field(default_factory=list)

    @property
    def begins(self) -> bool:
        """Whether the sweep itself lets new images be prewarmed: no other rung comes first."""
        return self.settings.ladder[0] == PREWARM_RUNG

    def keeps(self, order: PrewarmOrder) -> bool:
        """
        Whether an image is prewarmed, or about to be, so that nothing is due.

        Of one that is prewarmed since the last sweep the fact is written.

        Raises:
            TransientError: Artifact Registry or Cloud Logging is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        held = self._find(order)
        if held is None or held.state == "FAILED":
            return False
        if held.state == "ACTIVE":
            self.prewarming.settle(order, held)
        return held.state == "CACHING" or not held.expires_soon(
            order.now, self.prewarming.retention
        )

    def takes(
        self, order: PrewarmOrder, wanted: Wanted, request: ReferenceRequest, *, was_pulled: bool
    ) -> bool:
        """
        Whether the API is to warm an image that is due, once it is known what all of them are.

        Raises:
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        if self.settings.dry_run:
            # Who reads the reference says what would be done.
            return False
        may_begin = self.begins and (was_pulled or not order.is_mirrored)
        if self._find(order) is None and not may_begin:
            return False
        wishes = self._wishes[order.version.repository.project]
        wish = wishes.setdefault(wanted.key, _Wish(order, wanted, []))
        wish.requests.append(request)
        return True

    def carry_out(self) -> Iterator[ReferenceRequest]:
        """
        Do what is planned, and yield requests for what the API does not serve.

        Raises:
            TransientError: Artifact Registry or Cloud Logging is unavailable.
            ConfigurationError: One of them refuses our identity.
        """
        for project, wishes in self._wishes.items():
            now = max(wish.order.now for wish in wishes.values())
            plan = plan_prewarming(
                [wish.wanted for wish in wishes.values()],
                self._list_held(project),
                now=now,
                retention=self.prewarming.retention,
            )
            for each in plan.renewed:
                yield from self._ask(wishes[each.key], self._renewed)
            for each in plan.added:
                yield from self._ask(wishes[each.key], self._begun)
            for each in plan.left_out:
                self._left_out.append(wishes[each.key].order.name)
                yield from wishes[each.key].requests
            for each in plan.failed:
                if plan.left_out:
                    self._useless.append(wishes[each.key].order)
                yield from wishes[each.key].requests

    def make_room(self) -> None:
        """
        Forget what failed and may count, where something has no room.

        Once its requests are published: what is forgotten looks as if it had never been tried.

        Raises:
            TransientError: Artifact Registry is unavailable.
            ConfigurationError: It refuses our identity.
        """
        for order in self._useless:
            self._forget(order)

    def as_details(self) -> dict[str, Any]:
        """Return what the sweep's line says of it."""
        lists = {
            "renewed": self._renewed,
            "prewarming": self._begun,
            "left_out": self._left_out,
            "passed": self._passed,
        }
        return {name: _shorten(names) for name, names in lists.items()}

    def _find(self, order: PrewarmOrder) -> PrewarmedArtifact | None:
        """Find what is held of an image; each repository is listed once."""
        repository = order.version.repository
        if repository not in self._held:
            self._held[repository] = self._list(order)
        return self._held[repository].get((order.version.digest, order.location))

    def _list(self, order: PrewarmOrder) -> _Held:
        try:
            self.prewarming.check_closures(order)
            artifacts = list(self.prewarming.api.list_artifacts(order.version.repository))
        except PassedOverError:
            return {}
        except PrewarmRefusedError as refusal:
            self._pass_over(self.prewarming.pass_over(order, refusal))
            return {}
        return {(each.digest, each.location): each for each in artifacts}

    def _list_held(self, project: str) -> Iterable[PrewarmedArtifact]:
        for repository, held in self._held.items():
            if repository.project == project:
                yield from held.values()

    def _ask(self, wish: _Wish, done: list[str]) -> Iterator[ReferenceRequest]:
        try:
            self.prewarming.check_closures(wish.order)
            self.prewarming.ask(wish.order)
        except PassedOverError as exc:
            self._pass_over(exc)
        except PrewarmRefusedError as refusal:
            self._pass_over(self.prewarming.pass_over(wish.order, refusal))
        else:
            done.append(wish.order.name)
            return
        yield from wish.requests

    def _forget(self, order: PrewarmOrder) -> None:
        try:
            self.prewarming.api.remove(order.version, location=order.location)
        except PrewarmRefusedError as refusal:
            self._pass_over(self.prewarming.pass_over(order, refusal))

    def _pass_over(self, error: PassedOverError) -> None:
        if error.is_news:
            self._passed.append(str(error))


def _shorten(names: list[str]) -> list[str]:
    more = len(names) - _MAX_NAMED
    return [*names[:_MAX_NAMED], f"and {more} more"] if more > 0 else names
