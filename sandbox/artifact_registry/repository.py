"""Repositories as resources, created by long-running operations."""

import copy
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.artifact_registry.package_name import registry_uri, split_repository_name
from sandbox.artifact_registry.repository_rule import check_mutable
from sandbox.clock import Clock, format_time
from sandbox.http_service import GoogleApiError

ANY_PREFIX = "type.googleapis.com/google.devtools.artifactregistry.v1"
"""The first part of ``@type`` in the messages of this API."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that ends at ``due``, with an error or a response."""

    name: str
    due: datetime
    response: Mapping[str, Any]
    error: Mapping[str, Any] | None

    def render(self, now: datetime) -> dict[str, Any]:
        """Return the operation as the API shows it at a time."""
        rendered: dict[str, Any] = {
            "name": self.name,
            "metadata": {"@type": f"{ANY_PREFIX}.OperationMetadata"},
        }
        if self.due > now:
            return rendered
        outcome = {"response": self.response} if self.error is None else {"error": self.error}
        return {**rendered, "done": True, **outcome}


class Operations:
    """All operations; safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: dict[str, Operation] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        project: str,
        location: str,
        response: Mapping[str, Any],
        *,
        delay_s: float = 0.0,
        error: Mapping[str, Any] | None = None,
    ) -> Operation:
        """Begin an operation; ``response`` carries its ``@type``."""
        name = f"projects/{project}/locations/{location}/operations/{uuid.uuid4()}"
        due = self._clock.now() + timedelta(seconds=delay_s)
        operation = Operation(name, due, response, error)
        with self._lock:
            self._begun[name] = operation
        return operation

    def get(self, name: str) -> dict[str, Any]:
        """
        Return an operation in its current state.

        Raises:
            GoogleApiError: It does not exist.
        """
        with self._lock:
            operation = self._begun.get(name)
        if operation is None:
            raise GoogleApiError(404, "Requested entity was not found.")
        return operation.render(self._clock.now())


@dataclass(slots=True)
class RegistrySwitches:
    """How Artifact Registry behaves; every field may be changed at any time."""

    operation_delay_s: float = 0.0
    """Seconds of the sandbox's clock that creating a repository takes; 0: done at once."""
    operation_error: Mapping[str, Any] | None = None
    """``google.rpc.Status`` with which operations that begin now end, such as ``{"code": 13}``."""
    hide_unknown: bool = False
    """Whether /v2/ answers 403 for a repository that does not exist, instead of 404."""
    denied: set[str] = field(default_factory=set)
    """Repositories (full resource names) whose artifacts our own identity may not read."""
    refusal_status: int = 403
    """Status with which an upstream's 401 or 403 is passed on; Google also documents 502."""
    prewarm_delay_s: float = 60.0
    """Seconds of the sandbox's clock that an artifact is CACHING."""
    prewarm_error: str | None = None
    """The error message with which prewarming that begins now fails."""
    prewarm_limit_bytes: int = 100_000_000_000
    """Prewarm storage of a project."""


_IMMUTABLE = ("name", "format", "mode", "kmsKeyName")
_UPSTREAM = ("dockerRepository", "commonRepository")


class Repositories:
    """
    The repositories of all projects; safe for threads.

    ``get`` and ``all`` leave out a repository that is being created, but its name is taken.
    """

    def __init__(self, clock: Clock) -> None:
        self.switches = RegistrySwitches()
        self.operations = Operations(clock)
        self._clock = clock
        self._stored: dict[str, dict[str, Any]] = {}
        self._pending: dict[str, tuple[Operation, dict[str, Any]]] = {}
        self._lock = threading.RLock()

    @property
    def all(self) -> dict[str, dict[str, Any]]:
        """Every repository that exists by now, by resource name."""
        with self._lock:
            self._settle()
            return self._stored

    def get(self, name: str) -> dict[str, Any]:
        """
        Return a repository.

        Raises:
            GoogleApiError: It does not exist.
        """
        found = self.all.get(name)
        if found is None:
            raise GoogleApiError(404, "Requested entity was not found.")
        return found

    def check_free(self, name: str) -> None:
        """
        Check that no repository has the name or is being created under it.

        Raises:
            GoogleApiError: The name is taken.
        """
        with self._lock:
            self._settle()
            if name in self._stored or name in self._pending:
                raise GoogleApiError(409, "the repository already exists")

    def create(self, name: str, repository: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to create a checked repository, and return the operation."""
        project, location, _ = split_repository_name(name)
        resource = self._complete(name, repository)
        with self._lock:
            self.check_free(name)
            operation = self.operations.begin(
                project,
                location,
                {"@type": f"{ANY_PREFIX}.Repository", **resource},
                delay_s=self.switches.operation_delay_s,
                error=self.switches.operation_error,
            )
            self._pending[name] = operation, resource
        return operation.render(self._clock.now())

    def put(self, name: str, repository: Mapping[str, Any]) -> None:
        """Add a repository without an operation."""
        with self._lock:
            self._stored[name] = self._complete(name, repository)

    def changed(self, name: str, changes: Mapping[str, Any], mask: str | None) -> dict[str, Any]:
        """
        Return a repository as it would be with the fields that a mask names changed.

        Without a mask all fields that are given change.

        Raises:
            GoogleApiError: The repository does not exist, or the change is not allowed.
        """
        before = self.get(name)
        after = copy.deepcopy(before)
        paths = [p for p in (mask or "").split(",") if p and p != "*"] or list(changes)
        for path in paths:
            _change(after, changes, [_camel(part) for part in path.split(".")])
        _check_immutable(before, after)
        check_mutable(after)
        after["updateTime"] = format_time(self._clock.now())
        return after

    def replace(self, name: str, repository: dict[str, Any]) -> None:
        """
        Replace a repository.

        Raises:
            GoogleApiError: It was deleted in the meantime.
        """
        with self._lock:
            self.get(name)
            self._stored[name] = repository

    def save(self) -> Callable[[], None]:
        """Return a function that restores the current repositories."""
        with self._lock:
            stored, pending = dict(self._stored), dict(self._pending)

        def restore() -> None:
            with self._lock:
                self._stored, self._pending = dict(stored), dict(pending)

        return restore

    def delete(self, name: str) -> dict[str, Any]:
        """
        Delete a repository, and return the operation, which is done.

        Raises:
            GoogleApiError: It does not exist.
        """
        project, location, _ = split_repository_name(name)
        with self._lock:
            self.get(name)
            del self._stored[name]
        empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return self.operations.begin(project, location, empty).render(self._clock.now())

    def _complete(self, name: str, repository: Mapping[str, Any]) -> dict[str, Any]:
        now = format_time(self._clock.now())
        resource = copy.deepcopy(dict(repository))
        resource.setdefault("mode", "STANDARD_REPOSITORY")
        resource.get("remoteRepositoryConfig", {}).pop("disableUpstreamValidation", None)
        output = {"createTime": now, "updateTime": now, "registryUri": registry_uri(name)}
        return {**resource, "name": name, **output}

    def _settle(self) -> None:
        now = self._clock.now()
        for name, (operation, resource) in list(self._pending.items()):
            if operation.due <= now:
                del self._pending[name]
                if operation.error is None:
                    self._stored[name] = resource


def _change(target: dict[str, Any], source: Mapping[str, Any], path: list[str]) -> None:
    head, *rest = path
    if rest:
        _change(target.setdefault(head, {}), source.get(head, {}), rest)
    elif head in source:
        target[head] = copy.deepcopy(source[head])
    else:
        target.pop(head, None)


def _check_immutable(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    changed = [field for field in _IMMUTABLE if before.get(field) != after.get(field)]
    config = "remoteRepositoryConfig"
    old, new = before.get(config, {}), after.get(config, {})
    changed += [f"{config}.{field}" for field in _UPSTREAM if old.get(field) != new.get(field)]
    if changed:
        raise GoogleApiError(400, f"immutable fields cannot be changed: {', '.join(changed)}")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
