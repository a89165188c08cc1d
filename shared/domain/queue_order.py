"""The order in which waiting warmups run: tenants in turn, and oldest first within one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from shared.domain.job_state import JobState

_NO_TENANT = ""
"""The turn of the warmups that persons requested."""

_NOT_STARTED_YET = "~"
"""Sorts after each time: the controller has not yet written the start of a resumed Job."""


def take_turns(queue: Sequence[JobState]) -> list[JobState]:
    """
    Return the waiting warmups in the order of their turns.

    The tenants form a ring, and the next turn is that of the tenant after the one that was served
    last. A warmup that several tenants wait for runs at the first turn of one of them.

    Args:
        queue: The warmups in the order of ``JobState.turn``. The running ones, and those that
            ended but are not reported yet, show which tenant was served last.
    """
    waiting: dict[str, list[JobState]] = {}
    for state in queue:
        if state.is_waiting:
            for tenant in state.tenants or (_NO_TENANT,):
                waiting.setdefault(tenant, []).append(state)
    last = _find_last_served(queue)
    ring = sorted(waiting, key=lambda tenant: (last is not None and tenant <= last, tenant))
    rounds = zip_longest(*(waiting[tenant] for tenant in ring))
    turns = {state.name: state for one_round in rounds for state in one_round if state is not None}
    return list(turns.values())


def limit_tenants(
    turns: Iterable[JobState], running: Iterable[JobState], max_running: int
) -> Iterator[JobState]:
    """
    Yield the warmups that leave the last place to tenants without a running warmup.

    So a tenant with large images does not delay another one by the time of a pull.

    Args:
        turns: The warmups in the order in which they may run.
        running: The running ones.
        max_running: The number of places.
    """
    places = list(running)
    counts = Counter(tenant for state in places for tenant in state.tenants)
    used = len(places)
    for state in turns:
        has_running = bool(state.tenants) and all(counts[tenant] for tenant in state.tenants)
        if has_running and used >= max_running - 1:
            continue
        counts.update(state.tenants)
        used += 1
        yield state


def _find_last_served(queue: Iterable[JobState]) -> str | None:
    """Return the tenant of the warmup that was resumed last, as far as the queue shows it."""
    resumed = (state for state in queue if not state.is_waiting)
    last = max(
        resumed, key=lambda each: (each.started or _NOT_STARTED_YET, each.turn), default=None
    )
    if last is None:
        return None
    return last.tenants[0] if last.tenants else _NO_TENANT
