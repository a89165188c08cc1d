"""
The only module of this folder that imports the product's own modules.

A rename changes the imports here and nothing else; the frozen table stays.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.domain.fact import make_insert_id
from shared.domain.image_reference import parse_digest, parse_reference
from shared.domain.placement import Placement
from shared.domain.warmup_job import WarmupKey, period_of


def name_warmup(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a warmup is called: its target, its period and its Job."""
    digest = parse_digest(given["digest"])
    placement = Placement.from_json(given["placement"])
    moment = datetime.fromisoformat(given["published"])
    period = period_of(moment, digest, given["period_hours"] * 3600)
    key = WarmupKey(
        digest=digest,
        cluster=given["cluster"],
        target=placement,
        period=period,
        forced_by=given["forced_by"],
    )
    job = key.job_name(parse_reference(given["image"]))
    return {"target": placement.name, "period": period, "job": job}


def identify_fact(event: Any, subject: list[str | None]) -> str:
    """Return the insert ID of a fact about a subject."""
    return make_insert_id(event, subject)
