"""
The facts of a report: each once, under one name for each image, with the verdict of each pull.

The result depends only on the facts, not on their order or on the number of copies. A fact takes
about a kilobyte of memory.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby

import msgspec

from cli.report.entries import EvidenceFields, FactFields, ReadFact, whole
from cli.report.figures import Pull
from cli.report.fix_commands import parse_workload
from cli.report.joining import AFTER, BEFORE, Statement, join_verdict
from shared.domain.fact import EventName
from shared.domain.image_reference import InvalidReferenceError, parse_reference
from shared.domain.streaming_verdict import NODE_WITHOUT_IMAGE, Streamed

_REPEATED = (
    *("event", "image", "mirror", "digest", "cluster", "node", "node_pool", "accelerator"),
    *("workload", "outcome", "strategy", "target", "hint"),
)
"""Fields whose values occur in many facts; each value is kept in memory once."""

_PULL_EVENTS = ("pull.observed", "warmup.finished")
_ON_NODE = EvidenceFields("node", "an earlier pull brought the image to the node")

_encode = msgspec.json.Encoder().encode


class Facts:
    """Collects facts; after ``settle``, returns them sorted by time."""

    def __init__(self) -> None:
        self._by_id: dict[str, ReadFact] = {}
        self._by_event: dict[str, list[ReadFact]] = {}
        self._copies = 0

    def add(self, fact: ReadFact) -> None:
        """Add a fact. Of copies, the one with the most content counts."""
        for name in _REPEATED:
            value = getattr(fact.fields, name)
            if value is not None:
                setattr(fact.fields, name, sys.intern(value))
        known = self._by_id.setdefault(fact.insert_id, fact)
        if known is not fact:
            self._copies += 1
            self._by_id[fact.insert_id] = max(known, fact, key=_content)

    def settle(self) -> int:
        """
        Join names and verdicts after all facts are added; return the number of copies.

        An image that is named by digest alone gets its name from another fact, and a pull gets its
        verdict from the statements of its node.
        """
        facts = sorted(self._by_id.values(), key=_when)
        names = _Names(facts)
        joined = dict(_join_statements(facts))
        for fact in facts:
            fact.fields.image = names.find(fact.fields.image or "")
            if fact.insert_id in joined:
                fact.fields.streamed, fact.fields.evidence = joined[fact.insert_id]
        for fact in facts:
            self._by_event.setdefault(fact.fields.event or "", []).append(fact)
        return self._copies

    def of(self, event: EventName) -> list[ReadFact]:
        """Return the facts of a kind, oldest first."""
        return self._by_event.get(event, [])

    def pulls(self) -> Iterator[tuple[str, Iterator[Pull]]]:
        """Yield each image with its pulls and warmups, oldest first."""
        facts = [each for event in _PULL_EVENTS for each in self._by_event.get(event, ())]
        facts.sort(key=lambda each: (each.fields.image or "", _when(each)))
        for image, group in groupby(facts, key=lambda each: each.fields.image):
            yield image or "", map(_as_pull, group)

    def count(self) -> dict[str, int]:
        """Return the number of facts of each kind."""
        return {event: len(facts) for event, facts in sorted(self._by_event.items())}

    def count_simulated(self) -> int:
        """Return the number of facts about simulated nodes."""
        return sum(bool(each.fields.simulated) for each in self._by_id.values())

    def period(self) -> tuple[float, float] | None:
        """Return the times of the first and the last fact, in seconds since 1970."""
        times = [each.at for each in self._by_id.values()]
        return (min(times), max(times)) if times else None


class _Names:
    """The name of each image: that of its upstream, with a tag if a fact has one."""

    def __init__(self, facts: list[ReadFact]) -> None:
        self._upstreams: dict[str, str] = {}
        """The upstream of each repository."""
        self._tagged: dict[tuple[str, str], str] = {}
        """The name of each digest of a repository."""
        for fact in facts:
            self._add(fact.fields)

    def find(self, image: str) -> str:
        """Return the name under which the report lists an image."""
        repository, name = split_name(image)
        upstream = self._upstreams.get(repository, repository)
        version = name.removeprefix(repository)
        return self._tagged.get((upstream, version.removeprefix("@")), f"{upstream}{version}")

    def _add(self, fields: FactFields) -> None:
        repository, name = split_name(fields.image or "")
        mirror = None if fields.mirror is None else split_name(fields.mirror)[0]
        if mirror is not None and mirror != repository:
            self._upstreams[mirror] = min(self._upstreams.get(mirror, repository), repository)
        if fields.digest and "@" not in name:
            known = self._tagged.setdefault((repository, fields.digest), name)
            self._tagged[repository, fields.digest] = min(known, name)


def _join_statements(
    facts: list[ReadFact],
) -> Iterator[tuple[str, tuple[Streamed, list[EvidenceFields]]]]:
    """Yield the insert ID of each pull whose verdict changes, with its verdict and evidence."""
    statements: Mapping[object, list[ReadFact]] = defaultdict(list)
    pulls: Mapping[object, list[ReadFact]] = defaultdict(list)
    for fact in facts:
        fields = fact.fields
        place = (fields.cluster, fields.node, split_name(fields.mirror or "")[0])
        if fields.event == "stream.observed":
            statements[place].append(fact)
        elif fields.event in _PULL_EVENTS and fields.streamed is not None:
            pulls[place].append(fact)
    for where, on_node in pulls.items():
        if where in statements:
            yield from _join_on_node(on_node, statements[where])


def _join_on_node(
    pulls: list[ReadFact], statements: list[ReadFact]
) -> Iterator[tuple[str, tuple[Streamed, list[EvidenceFields]]]]:
    """Join the pulls of a repository on a node to the statements of the node about it."""
    taken: set[str] = set()
    for pull in sorted(pulls, key=lambda each: (_began(each), each.insert_id)):
        first, last = _began(pull) - BEFORE.total_seconds(), pull.at + AFTER.total_seconds()
        near = [each for each in statements if first <= each.at <= last]
        fields = pull.fields
        said = [
            Statement(
                each.fields.mirror or "",
                whole(each.fields.streamed_layers),
                each.insert_id in taken,
            )
            for each in near
        ]
        joined = join_verdict(fields.streamed, fields.mirror, fields.digest, said)
        taken.update(near[number].insert_id for number in joined.about)
        if joined.verdict is not None and joined.verdict != fields.streamed:
            deciding = [_as_evidence(near[number]) for number in joined.deciding]
            kept = [each for each in fields.evidence or () if each.kind != "snapshotter"]
            yield pull.insert_id, (joined.verdict, [*(deciding or [_ON_NODE]), *kept])


def _as_evidence(statement: ReadFact) -> EvidenceFields:
    """Return a statement as evidence, with the entry that holds it."""
    layers = whole(statement.fields.streamed_layers)
    text = "the node's snapshotter streamed the image"
    text += "" if layers is None else f" ({layers} layers)"
    return EvidenceFields("snapshotter", text, statement.log, statement.insert_id)


def _as_pull(fact: ReadFact) -> Pull:
    fields = fact.fields
    return Pull(
        image=fields.image or "",
        at=fact.at,
        cluster=fields.cluster,
        node_pool=fields.node_pool,
        accelerator=fields.accelerator,
        is_warmup=fields.event == "warmup.finished",
        seconds=fields.pull_seconds,
        image_bytes=whole(fields.image_bytes),
        streamed=fields.streamed,
        outcome=fields.outcome,
        strategy=fields.strategy,
        total_seconds=fields.total_seconds,
        node_lacked=any(each.kind == NODE_WITHOUT_IMAGE for each in fields.evidence or ()),
        namespace=_namespace_of(fields.workload),
    )


def _namespace_of(workload: str | None) -> str | None:
    found = None if workload is None else parse_workload(workload)
    return None if found is None else found.namespace


def _when(fact: ReadFact) -> tuple[float, str]:
    return fact.at, fact.insert_id


def _began(fact: ReadFact) -> float:
    return fact.at - (fact.fields.pull_seconds or 0.0)


def _content(fact: ReadFact) -> tuple[int, bytes]:
    """Return a sort key for copies: longer is better, and equal keys are equal facts."""
    content = _encode(fact)
    return len(content), content


@lru_cache(maxsize=65_536)
def split_name(image: str) -> tuple[str, str]:
    """Return an image's repository, and its full name: by tag if it has one, else by digest."""
    try:
        reference = parse_reference(image)
    except InvalidReferenceError:
        return image, image
    name = str(reference.name)
    if reference.tag is not None:
        return name, f"{name}:{reference.tag}"
    return name, f"{name}@{reference.digest}"
