"""The recent history of an image: its last warmup and its last pulls."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from cli.doctor.check import Check, Verdict, command, unknown
from cli.doctor.response import Body, Unavailable
from shared.domain.fact import GOOD_OUTCOMES, fills_cache
from shared.domain.json_access import list_of, mapping_of, mappings_of, text_of
from shared.domain.mirror import Source
from shared.domain.timestamp import parse_time

SINCE: Final = timedelta(days=14)
"""The age of the oldest facts that are read; an older cache has gone cold."""

_STREAMED: Final = frozenset({"streamed", "likely_streamed", "cached_on_node"})
_MAX_EVIDENCE: Final = 3


def filter_of(text: str, source: Source, digest: str | None) -> str:
    """Return the log filter for all facts about an image, under each of its names."""
    image, mirror = str(source.image), source.mirror.name
    terms = [
        f"jsonPayload.image={json.dumps(text)}",
        f"jsonPayload.image={json.dumps(image)}",
        f"jsonPayload.mirror={json.dumps(str(source.mirror))}",
    ]
    if digest:
        terms.append(f"jsonPayload.mirror={json.dumps(f'{mirror}@{digest}')}")
        terms.append(f"jsonPayload.digest={json.dumps(digest)}")
    return f"({' OR '.join(terms)})"


def check_history(
    text: str,
    entries: Sequence[Body] | Unavailable,
    now: datetime,
    period: timedelta,
) -> Iterator[Check]:
    """
    Check the last warmup and the last pull of an image.

    Args:
        text: The image as the user wrote it.
        entries: Facts about it, as entries of their log, oldest first.
        now: The current time.
        period: The time after which an image in use should be warm again.
    """
    if isinstance(entries, Unavailable):
        yield unknown("image", "last-warmup", text, entries)
        yield unknown("image", "last-pull", text, entries)
        return
    warmups = [each for each in entries if _event(each) == "warmup.finished"]
    pulls = [each for each in entries if _event(each) == "pull.observed"]
    yield _check_warmup(text, warmups, now, period)
    yield _check_pull(text, pulls)


def _check_warmup(text: str, warmups: Sequence[Body], now: datetime, period: timedelta) -> Check:
    what = f"facts warmup.finished of the last {SINCE.days} days"
    again = command("prestream", "warm", text, "--force", "--wait")
    if not warmups:
        found = "it was not warmed: its first pull fills the cache, and is slow"
        return _make(text, "last-warmup", "warning", what, found, again)
    entry = warmups[-1]
    payload = mapping_of(entry.get("jsonPayload"))
    outcome, at = text_of(payload.get("outcome")) or "?", text_of(entry.get("timestamp")) or "?"
    said = f"{outcome} at {at}"
    if outcome not in GOOD_OUTCOMES:
        reasons = [text_of(payload.get(key)) for key in ("reason", "hint")]
        found = ". ".join([f"the last one failed: {said}", *filter(None, reasons)])
        return _make(text, "last-warmup", "failed", what, found, again)
    if not fills_cache(outcome, text_of(payload.get("streamed")), list_of(payload.get("evidence"))):
        found = f"the last one did not fill the streaming cache: the node held the image ({said})"
        return _make(text, "last-warmup", "warning", what, found, again)
    if _age(at, now) > 2 * period:
        found = f"the last one is older than a period ({said}): the cache may have gone cold"
        return _make(text, "last-warmup", "warning", what, found, again)
    return _make(text, "last-warmup", "ok", what, f"the last one went well: {said}")


def _check_pull(text: str, pulls: Sequence[Body]) -> Check:
    what = f"facts pull.observed of the last {SINCE.days} days"
    if not pulls:
        return unknown("image", "last-pull", text, Unavailable(what, "no pull was seen"))
    entry = pulls[-1]
    payload = mapping_of(entry.get("jsonPayload"))
    streamed = text_of(payload.get("streamed")) or "unknown"
    seconds = payload.get("pull_seconds")
    took = f" in {seconds:.1f} s" if isinstance(seconds, float | int) else ""
    said = (
        f"{streamed}{took} on {text_of(payload.get('node')) or 'a node that is not known'}"
        f" at {text_of(entry.get('timestamp')) or '?'}"
    )
    if streamed == "unknown":
        return unknown("image", "last-pull", text, Unavailable(what, f"of the last one {said}"))
    if streamed in _STREAMED:
        return _make(text, "last-pull", "ok", what, f"the last one: {said}")
    evidence = [text_of(each.get("text")) for each in mappings_of(payload.get("evidence"))]
    parts = [f"the last one: {said}", *evidence[:_MAX_EVIDENCE], text_of(payload.get("hint"))]
    return _make(text, "last-pull", "failed", what, ". ".join(filter(None, parts)))


def _event(entry: Body) -> str | None:
    return text_of(mapping_of(entry.get("jsonPayload")).get("event"))


def _age(timestamp: str, now: datetime) -> timedelta:
    try:
        return now - parse_time(timestamp)
    except ValueError:
        return timedelta()


def _make(  # noqa: PLR0913, PLR0917  # each is a field of the check
    subject: str, name: str, verdict: Verdict, looked_at: str, finding: str, fix: str | None = None
) -> Check:
    return Check(
        topic="image",
        name=name,
        subject=subject,
        verdict=verdict,
        looked_at=looked_at,
        finding=finding,
        fix=fix,
    )
