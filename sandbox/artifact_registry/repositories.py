"""Repositories as resources: created by operations, changed, listed, deleted."""

import copy
import threading
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.artifact_registry import validation
from sandbox.artifact_registry.names import registry_uri, split_repository_name
from sandbox.artifact_registry.operations import ANY_PREFIX, Operation, Operations
from sandbox.artifact_registry.switches import Switches
from sandbox.clock import Clock, format_time
from sandbox.http_server import ApiError

_IMMUTABLE = ("name", "format", "mode", "kmsKeyName")
_UPSTREAM = ("dockerRepository", "commonRepository")


class Repositories:
    """
    The repositories of all projects; safe for threads.

    One that is being created shows neither in ``get`` nor in ``all``, but its name is taken.
    """

    def __init__(self, clock: Clock, switches: Switches, operations: Operations) -> None:
        self._clock = clock
        self._switches = switches
        self._operations = operations
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
            ApiError: There is none of that name.
        """
        found = self.all.get(name)
        if found is None:
            raise ApiError(404, "Requested entity was not found.")
        return found

    def check_free(self, name: str) -> None:
        """
        Check that no repository has the name, nor will have it soon.

        Raises:
            ApiError: One has.
        """
        with self._lock:
            self._settle()
            if name in self._stored or name in self._pending:
                raise ApiError(409, "the repository already exists")

    def create(self, name: str, repository: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to create a checked repository, and return the operation."""
        project, location, _ = split_repository_name(name)
        resource = self._complete(name, repository)
        with self._lock:
            self.check_free(name)
            operation = self._operations.begin(
                project,
                location,
                {"@type": f"{ANY_PREFIX}.Repository", **resource},
                delay_s=self._switches.operation_delay_s,
                error=self._switches.operation_error,
            )
            self._pending[name] = operation, resource
        return operation.render(self._clock.now())

    def put(self, name: str, repository: Mapping[str, Any]) -> None:
        """Let a repository exist, by no operation."""
        with self._lock:
            self._stored[name] = self._complete(name, repository)

    def changed(self, name: str, changes: Mapping[str, Any], mask: str | None) -> dict[str, Any]:
        """
        Return a repository as it would be with the fields that a mask names changed.

        Without a mask all fields that are given change.

        Raises:
            ApiError: The repository does not exist, or the change is not allowed.
        """
        before = self.get(name)
        after = copy.deepcopy(before)
        paths = [p for p in (mask or "").split(",") if p and p != "*"] or list(changes)
        for path in paths:
            _change(after, changes, [_camel(part) for part in path.split(".")])
        _check_immutable(before, after)
        validation.check_mutable(after)
        after["updateTime"] = format_time(self._clock.now())
        return after

    def replace(self, name: str, repository: dict[str, Any]) -> None:
        """
        Let a changed repository take the place of what it was.

        Raises:
            ApiError: It was deleted in the meantime.
        """
        with self._lock:
            self.get(name)
            self._stored[name] = repository

    def save(self) -> Callable[[], None]:
        """Return what puts all repositories back as they are now."""
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
            ApiError: There is none of that name.
        """
        project, location, _ = split_repository_name(name)
        with self._lock:
            self.get(name)
            del self._stored[name]
        empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        return self._operations.begin(project, location, empty).render(self._clock.now())

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
        raise ApiError(400, f"immutable fields cannot be changed: {', '.join(changed)}")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
