"""
Facts in a table of their own while a report is made, so that memory does not grow with them.

The table is SQLite's: a temporary database without a name, which it keeps in memory while it is
small, and in a file that nobody else can see when it is not:
https://www.sqlite.org/inmemorydb.html#temp_db

Its rows are unique by insert id, and read in an order that depends only on their content. So the
same facts give the same report, in any order and with any number of duplicates.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from cli.report.entries import EvidenceFields, ReadFact
from cli.report.figures import Pull
from cli.report.joining import AFTER, BEFORE, Statement, join_verdict
from shared.domain.fact import EventName
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.streaming_verdict import Streamed

_SQL: Final = Path(__file__).with_name("fact_store.sql").read_text(encoding="utf-8")
(
    _SCHEMA,
    _INSERT,
    _KEYS,
    _COPIES,
    _STATEMENTS,
    _NEAR,
    _DETAIL,
    _JOINED,
    _PULLS,
) = _SQL.split("-- next\n")
_TOLD: Final = "SELECT * FROM facts WHERE event = ? "

_BATCH: Final = 1_000
_SETTINGS: Final = (
    "page_size = 16384",
    "cache_size = -16384",  # in KiB
    "journal_mode = OFF",  # nobody reads it after a crash
    "synchronous = OFF",
)
_MICROSECOND: Final = timedelta(microseconds=1)


class Detail(msgspec.Struct, omit_defaults=True):
    """The texts of a fact."""

    insert_id: str
    image: str
    """The image as the user wrote it."""
    log: str | None = None
    workloads: list[str] | None = None
    evidence: list[EvidenceFields] | None = None
    reason: str | None = None
    hint: str | None = None
    job: str | None = None
    upstream: str | None = None


class StoredFact(NamedTuple):
    """A fact with all its fields."""

    at: float
    """In seconds since 1970."""
    event: EventName
    image: str
    """The full name, by tag if a tag of its digest is known."""
    mirror: str | None
    digest: str | None
    cluster: str | None
    node: str | None
    node_pool: str | None
    accelerator: str | None
    seconds: float | None
    total_seconds: float | None
    image_bytes: int | None
    streamed: Streamed | None
    """The verdict, with later statements of the node."""
    outcome: str | None
    strategy: str | None
    target: str | None
    streamed_layers: int | None
    detail: Detail


_decode_detail = msgspec.json.Decoder(Detail).decode
_encode_detail = msgspec.json.Encoder().encode


class FactStore:
    """Stores facts and returns them sorted; a context manager."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._pending: list[tuple[Any, ...]] = []
        self._upstreams: dict[str, str] = {}
        """The upstream of each repository."""
        self._tagged: dict[tuple[str, str], str] = {}
        """The name of each digest of a repository."""

    def __enter__(self) -> Self:
        run = self._connection.execute
        for setting in _SETTINGS:
            run(f"PRAGMA {setting}")
        run(_SCHEMA)
        run("BEGIN")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def take(self, fact: ReadFact) -> None:
        """Add a fact; a duplicate has no effect."""
        fields = fact.fields
        repository, name = _name_of(fields.image or "")
        mirror, version = _split(fields.mirror)
        if mirror is not None and mirror != repository:
            self._upstreams[mirror] = min(self._upstreams.get(mirror, repository), repository)
        if fields.digest and "@" not in name:
            known = self._tagged.setdefault((repository, fields.digest), name)
            self._tagged[repository, fields.digest] = min(known, name)
        workloads = [fields.workload] if fields.workload else fields.workloads
        detail = Detail(
            fact.insert_id,
            fields.image or "",
            fact.log,
            workloads,
            fields.evidence,
            fields.reason,
            fields.hint,
            fields.job,
            fields.upstream,
        )
        self._pending.append(
            (
                hashlib.blake2b(fact.insert_id.encode(), digest_size=16).digest(),
                fact.at,
                fields.event,
                name,
                mirror,
                version,
                fields.digest,
                fields.cluster,
                fields.node,
                fields.node_pool,
                fields.accelerator,
                fields.pull_seconds,
                fields.total_seconds,
                None if fields.image_bytes is None else round(fields.image_bytes),
                fields.streamed,
                fields.outcome,
                fields.strategy,
                fields.target,
                None if fields.streamed_layers is None else round(fields.streamed_layers),
                _encode(detail),
            )
        )
        if len(self._pending) >= _BATCH:
            self._flush()

    def settle(self) -> int:
        """
        Join names and verdicts after all facts are added; return the number of duplicates.

        An image that is named by digest alone gets its name from another fact, and a pull gets its
        verdict from the statements of its node.
        """
        self._flush()
        run = self._connection.execute
        run(_KEYS)
        copies = run(_COPIES).rowcount
        self._rename()
        run(_STATEMENTS)
        run("CREATE TEMP TABLE joined (streamed, detail, pull)")
        for joined in self._join():
            run("INSERT INTO joined VALUES (?, ?, ?)", joined)
        run(_JOINED)
        return copies

    def pulls(self) -> Iterator[tuple[str, Iterator[Pull]]]:
        """Yield each image with its pulls and warmups, oldest first."""
        rows = self._connection.execute(_PULLS)
        for image, group in groupby(rows, key=itemgetter(0)):
            yield image, map(_pull, group)

    def stored(self, event: EventName, more: str = "", *values: object) -> Iterator[StoredFact]:
        """Yield the facts of a kind, filtered and sorted by the rest of an SQL statement."""
        for row in self._connection.execute(_TOLD + more, (event, *values)):
            mirror = None if row[4] is None else row[4] + row[5]
            yield StoredFact._make(
                (row[1] / 1e6, row[2], row[3], mirror, *row[6:-1], _decode_detail(row[-1]))
            )

    def count(self) -> dict[str, int]:
        """Count the facts of each kind."""
        rows = self._connection.execute("SELECT event, count(*) FROM facts GROUP BY event")
        return dict(rows.fetchall())

    def period(self) -> tuple[float, float] | None:
        """Return the times of the first and the last fact, in seconds since 1970."""
        first, last = self._connection.execute("SELECT min(at), max(at) FROM facts").fetchone()
        return None if first is None else (first / 1e6, last / 1e6)

    def _flush(self) -> None:
        self._connection.executemany(_INSERT, self._pending)
        self._pending.clear()

    def _rename(self) -> None:
        """Name an image by its upstream and a tag, if a fact has them."""
        renamed = []
        for (old,) in self._connection.execute("SELECT DISTINCT name FROM facts").fetchall():
            repository, _ = _name_of(old)
            upstream = self._upstreams.get(repository, repository)
            version = old.removeprefix(repository)
            new = self._tagged.get((upstream, version.removeprefix("@")), f"{upstream}{version}")
            if new != old:
                renamed.append((old, new))
        if renamed:
            self._connection.execute("CREATE TEMP TABLE renamed (old PRIMARY KEY, new)")
            self._connection.executemany("INSERT INTO renamed VALUES (?, ?)", renamed)
            self._connection.execute(
                "UPDATE facts SET name = new FROM renamed WHERE renamed.old = facts.name"
            )

    def _join(self) -> Iterator[tuple[Streamed, str, int]]:
        """Yield the pulls whose verdict changes: verdict, details, and number of the row."""
        window = {"before": BEFORE // _MICROSECOND, "after": AFTER // _MICROSECOND}
        rows = self._connection.execute(_NEAR, window)
        for (_, _, repository), on_node in groupby(rows, key=itemgetter(0, 1, 2)):
            taken: set[int] = set()
            for pull, group in groupby(on_node, key=itemgetter(3)):
                near = list(group)
                streamed, version, digest = near[0][4:7]
                statements = [
                    Statement(repository + each[8], each[9], each[7] in taken) for each in near
                ]
                joined = join_verdict(streamed, repository + version, digest, statements)
                taken.update(near[number][7] for number in joined.about)
                if joined.verdict is not None and joined.verdict != streamed:
                    deciding = [near[number] for number in joined.deciding]
                    yield joined.verdict, self._rewrite_evidence(pull, deciding), pull

    def _rewrite_evidence(self, pull: int, deciding: Iterable[tuple[Any, ...]]) -> str:
        """Return the details of a pull with the evidence for its verdict."""
        stored = self._detail_of(pull)
        evidence = [_evidence(each[9], self._detail_of(each[7])) for each in deciding]
        kept = [each for each in stored.evidence or () if each.kind != "snapshotter"]
        stored.evidence = [*(evidence or [_FOUND]), *kept]
        return _encode(stored)

    def _detail_of(self, row: int) -> Detail:
        (detail,) = self._connection.execute(_DETAIL, (row,)).fetchone()
        return _decode_detail(detail)


def _encode(detail: Detail) -> str:
    return _encode_detail(detail).decode()


def _evidence(streamed_layers: int | None, statement: Detail) -> EvidenceFields:
    """Return the evidence of a statement, with the entry that holds it."""
    layers = "" if streamed_layers is None else f" ({streamed_layers} layers)"
    text = f"the node's snapshotter streamed the image{layers}"
    return EvidenceFields("snapshotter", text, statement.log, statement.insert_id)


_FOUND: Final = EvidenceFields("node", "an earlier pull brought the image to the node")


def _pull(row: tuple[Any, ...]) -> Pull:
    name, at, cluster, pool, accelerator, event, *rest = row
    return Pull(name, at / 1e6, cluster, pool, accelerator, event == "warmup.finished", *rest)


@lru_cache(maxsize=4096)
def _split(mirror: str | None) -> tuple[str | None, str | None]:
    """Return the pulled repository and the rest of the reference, as written."""
    if mirror is None:
        return None, None
    repository, _ = _name_of(mirror)
    if not mirror.startswith(repository):
        return mirror, ""
    return repository, mirror[len(repository) :]


@lru_cache(maxsize=4096)
def _name_of(image: str) -> tuple[str, str]:
    """Return an image's repository, and its full name: by tag if it has one, else by digest."""
    try:
        reference = parse_reference(image)
    except InvalidReferenceError:
        return image, image
    name = str(reference.name)
    if reference.tag is not None:
        return name, f"{name}:{reference.tag}"
    return name, f"{name}@{reference.digest}"
