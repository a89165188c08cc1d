"""The sources of facts: files, standard input and Cloud Logging, with a progress bar."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, Final

import msgspec
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.connect.fact_reader import FactReader
from cli.connect.service_error import explain
from cli.exits import ExitCode, fail
from cli.input.duration import parse_duration
from cli.input.log_export import MalformedEntry, UnreadableError
from cli.report.entries import InvalidFactError, ReadFact, parse_fact
from cli.report.facts import Facts
from cli.report.saved_facts import read_saved
from cli.terminal import is_watched, make_side_console
from shared.domain.timestamp import parse_time
from shared.errors import EventError

STANDARD_INPUT: Final = "-"
MOST_NAMED: Final = 1_000
"""The maximum of malformed lines that are named; others are counted."""

_STEP: Final = 5_000
"""The number of entries between two updates of the bar."""


@dataclass(frozen=True, slots=True, order=True)
class Malformed:
    """A line that could not be read."""

    source: str
    line: int
    reason: str


@dataclass(slots=True)
class Reading:
    """Counts of the entries that were read."""

    entries: int = 0
    facts: int = 0
    others: int = 0
    """Valid entries that are not facts."""
    left_out: int = 0
    """Facts of another cluster or an earlier time."""
    malformed: int = 0
    """Entries that cannot be read."""
    named: list[Malformed] = field(default_factory=list)

    @property
    def is_unreadable(self) -> bool:
        """Whether entries are malformed, and no other entry is a fact."""
        return self.malformed > 0 and self.facts + self.left_out == 0


@dataclass(frozen=True, slots=True)
class Scope:
    """The facts that count, by cluster and time."""

    since: datetime | None = None
    cluster: str | None = None

    def takes(self, fact: ReadFact) -> bool:
        """Whether a fact is of the cluster and the time."""
        if self.since is not None and fact.at < self.since.timestamp():
            return False
        name = fact.fields.cluster or ""
        return self.cluster is None or self.cluster in {name, name.rpartition("/")[2]}


def parse_since(text: str, now: datetime) -> datetime:
    """
    Parse a time, or a duration before now.

    Raises:
        ValueError: It is neither.

    >>> parse_since("7d", parse_time("2026-05-08T00:00:00Z")).isoformat()
    '2026-05-01T00:00:00+00:00'
    """
    try:
        return parse_time(text)
    except ValueError:
        return now - parse_duration(text)


class Reader:
    """Collects facts, and counts the other entries."""

    def __init__(self, facts: Facts, scope: Scope) -> None:
        self._facts = facts
        self._scope = scope
        self.reading = Reading()

    def read_files(self, names: Sequence[str]) -> None:
        """
        Read files, ``-`` being standard input.

        Raises:
            typer.Exit: One cannot be read.
        """
        sizes = [_size_of(name) for name in names]
        done = 0
        with _bar(None if None in sizes else sum(each or 0 for each in sizes)) as advance:
            for name, size in zip(names, sizes, strict=True):
                label = "standard input" if name == STANDARD_INPUT else name
                try:
                    with _open(name) as stream:
                        self._read_lines(label, stream, partial(_add, advance, done))
                except UnreadableError as exc:
                    fail(ExitCode.UNREADABLE, f"{label}: {exc}")
                except OSError as exc:
                    fail(ExitCode.UNREADABLE, f"{label}: {exc.strerror or exc}")
                done += size or 0

    def read_log(self, facts: FactReader, since: datetime, now: datetime) -> None:
        """
        Read Cloud Logging.

        Raises:
            typer.Exit: It does not answer, or refuses.
        """
        cluster = self._scope.cluster
        ends = f'jsonPayload.cluster=~"(^|/){cluster}$"'
        with _bar((now - since).total_seconds()) as advance:
            try:
                for number, entry in enumerate(facts.read(since, ends if cluster else ""), 1):
                    fact = _parse_entry(entry, number)
                    self._take("Cloud Logging", number, fact)
                    if isinstance(fact, ReadFact):
                        advance(fact.at - since.timestamp())
            except EventError as exc:
                fail(ExitCode.UNAVAILABLE, explain(exc))

    def _read_lines(self, source: str, stream: BinaryIO, advance: Callable[[int], None]) -> None:
        shows = stream.seekable()
        for number, found in read_saved(stream):
            self._take(source, number, found)
            if shows and self.reading.entries % _STEP == 0:
                advance(stream.tell())

    def _take(self, source: str, line: int, found: ReadFact | MalformedEntry | None) -> None:
        reading = self.reading
        reading.entries += 1
        if found is None:
            reading.others += 1
        elif isinstance(found, MalformedEntry):
            reading.malformed += 1
            if len(reading.named) < MOST_NAMED:
                reading.named.append(Malformed(source, line, found.reason))
        elif self._scope.takes(found):
            reading.facts += 1
            self._facts.add(found)
        else:
            reading.left_out += 1


def _parse_entry(entry: Mapping[str, Any], number: int) -> ReadFact | MalformedEntry | None:
    try:
        return parse_fact(msgspec.json.encode(entry))
    except InvalidFactError as exc:
        return MalformedEntry(number, str(exc))


def _add(advance: Callable[[float], None], before: int, here: int) -> None:
    advance(before + here)


@contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD_INPUT:
        yield typer.get_binary_stream("stdin")
        return
    with Path(name).open("rb") as stream:
        yield stream


def _size_of(name: str) -> int | None:
    """Return the size of a file in bytes; None if it is unknown before the file is read."""
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_size if name != STANDARD_INPUT and S_ISREG(status.st_mode) else None


@contextmanager
def _bar(total: float | None) -> Iterator[Callable[[float], None]]:
    """Show the progress of reading on a terminal."""
    progress = Progress(
        TextColumn("Reading facts"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=make_side_console(),
        transient=True,
        disable=not is_watched(),
    )
    with progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)
