"""A check: the resource that was read, the finding, and the command that fixes it."""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from cli.doctor.response import Unavailable

Verdict = Literal["failed", "warning", "unknown", "ok"]
"""``unknown`` is what could not be looked at, and never counts as ok."""

Topic = Literal[
    "image", "services", "cluster", "nodes", "mirrors", "messages", "access", "rewriting"
]

VERDICTS: Final[tuple[Verdict, ...]] = ("failed", "warning", "unknown", "ok")
"""In the order in which a person should read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was checked."""

    topic: Topic
    name: str
    """Stable, in words with hyphens: what scripts and documents know it by."""
    subject: str
    """The checked object, such as a node pool."""
    verdict: Verdict
    looked_at: str
    finding: str
    """The finding, in a sentence; if the check failed, also the consequence."""
    fix: str | None = None
    """Commands, to be copied as they are."""

    def as_json(self) -> dict[str, str | None]:
        """Return the form for other programs."""
        return {
            "topic": self.topic,
            "name": self.name,
            "subject": self.subject,
            "verdict": self.verdict,
            "looked_at": self.looked_at,
            "finding": self.finding,
            "mend": self.fix,
        }


def unknown(topic: Topic, name: str, subject: str, unseen: Unavailable) -> Check:
    """Return the check of what could not be looked at."""
    missing = f"; the right {unseen.permission} is missing" if unseen.permission else ""
    return Check(
        topic=topic,
        name=name,
        subject=subject,
        verdict="unknown",
        looked_at=unseen.what,
        finding=f"not known: {unseen.reason}{missing}",
        fix=unseen.fix,
    )


def command(*words: str) -> str:
    """
    Return a command for a shell; names may come from strangers.

    >>> command("kubectl", "get", "pods", "a; b")
    "kubectl get pods 'a; b'"
    """
    return shlex.join(words)


def count_verdicts(checks: Iterable[Check]) -> Counter[Verdict]:
    """Return how many checks have which verdict."""
    return Counter(each.verdict for each in checks)
