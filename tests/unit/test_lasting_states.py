"""Facts of a sweep about lasting states, one a day: moved tags and bypassed mirrors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.image_reference import Digest
from shared.domain.manifest import Manifest
from shared.pipeline.sweep.bypass import plan_bypasses
from shared.pipeline.sweep.due import (
    ImageInUse,
    plan_moves,
)
from shared.pipeline.sweep.inventory import Inventory
from tests.fakes.clusters import GPU_CLUSTER
from tests.fakes.sweep_values import (
    INDEX,
    LARGE,
    MIRRORED,
    NOW,
    ONE,
    SERVER,
    THREE,
    TRAINER,
    TWO,
    WORKLOAD,
    make_source,
    make_sweep,
    make_use,
)

# Facts of lasting states


@pytest.mark.parametrize(
    ("image", "manifest", "running", "old"),
    [
        pytest.param(TRAINER, LARGE, {TRAINER: {TWO: [WORKLOAD]}}, [TWO], id="moved"),
        pytest.param(TRAINER, LARGE, {TRAINER: {ONE: [WORKLOAD]}}, [], id="not-moved"),
        pytest.param(TRAINER, INDEX, {TRAINER: {TWO: [WORKLOAD]}}, [], id="platform-of-the-index"),
        pytest.param(TRAINER, LARGE, {SERVER: {TWO: [WORKLOAD]}}, [], id="another-image"),
        pytest.param(TRAINER, LARGE, {}, [], id="not-running"),
        pytest.param(
            f"team/trainer@{TWO}",
            LARGE,
            {f"team/trainer@{TWO}": {THREE: [WORKLOAD]}},
            [],
            id="digest",
        ),
    ],
)
def test_moved_tag_has_a_fact(
    image: str, manifest: Manifest, running: dict[str, Any], old: list[Digest]
) -> None:
    sweep = make_sweep()
    sweep = replace(sweep, inventory=Inventory(running=running))
    in_use = ImageInUse(make_source(image), (make_use(image),))

    facts = [each.fact for each in plan_moves(sweep, in_use, manifest)]

    assert [each.payload["old_digest"] for each in facts] == old
    assert [each.timestamp for each in facts] == [datetime(2026, 11, 24, tzinfo=UTC)] * len(old)


def test_facts_of_lasting_states_have_every_documented_field() -> None:
    sweep = make_sweep()
    running = {TRAINER: {TWO: [WORKLOAD]}}
    sweep = replace(
        sweep, inventory=Inventory(running=running, bypassing={(TRAINER, MIRRORED): [WORKLOAD]})
    )
    in_use = ImageInUse(make_source(TRAINER), (make_use(),))
    shared = {
        "image": TRAINER,
        "mirror": MIRRORED,
        "cluster": str(GPU_CLUSTER),
        "cause": {"kind": "schedule", "id": "tick-1", "resource": None},
        "workloads": [WORKLOAD],
    }

    (moved,) = plan_moves(sweep, in_use, LARGE)
    (bypassed,) = plan_bypasses(sweep, {})

    assert moved.fact.payload == shared | {
        "event": "tag.moved",
        "digest": ONE,
        "old_digest": TWO,
    }
    payload = dict(bypassed.fact.payload)
    assert "prestream.dev/rewrite=enabled" in payload.pop("hint")
    assert payload == shared | {
        "event": "mirror.bypassed",
        "digest": None,
        "reason": "not_labelled",
    }


@pytest.mark.parametrize("plan", ["moves", "bypasses"])
def test_fact_of_a_lasting_state_is_the_same_for_a_day(plan: str) -> None:
    running = {TRAINER: {TWO: [WORKLOAD]}}
    inventory = Inventory(running=running, bypassing={(TRAINER, MIRRORED): [WORKLOAD]})
    in_use = ImageInUse(make_source(TRAINER), (make_use(),))
    keys = set()
    for hours in (0, 1, 15, 16, 24):
        sweep = replace(make_sweep(), inventory=inventory, now=NOW + timedelta(hours=hours))
        actions = plan_moves(sweep, in_use, LARGE) if plan == "moves" else plan_bypasses(sweep, {})
        keys |= {(each.fact.insert_id, each.fact.timestamp) for each in actions}

    assert len(keys) == 2
