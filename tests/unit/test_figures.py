"""Figures: what counts as a saving, against what, and what is never made up."""

import math
import statistics
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.report.figures import Group, Place, PlaceFigures, Pull, Spread, spread_of
from cli.report.prices import Prices
from cli.report.tallies import Figures
from shared.domain.streaming_verdict import Streamed

FREE = Prices(
    accelerator_hour={"l4": 3600.0}, warming_hour={"gpu-node": 0.0, "any-node": 36.0}, source="test"
)


def a_pull(streamed: Streamed | None, seconds: float | None, **more: Any) -> Pull:
    fields: dict[str, Any] = {
        "image": "a",
        "at": 0.0,
        "cluster": "c",
        "node_pool": "pool",
        "accelerator": "l4",
        "is_warmup": False,
        "seconds": seconds,
        "image_bytes": None,
        "streamed": streamed,
        **more,
    }
    return Pull(**fields)


def a_warmup(streamed: Streamed | None, seconds: float | None, **more: Any) -> Pull:
    fields: dict[str, Any] = {"outcome": "pulled", "strategy": "gpu-node", **more}
    return a_pull(streamed, seconds, is_warmup=True, **fields)


def sum_up(pulls: Iterable[Pull], prices: Prices = FREE) -> Group:
    return Figures(prices).add_image("a", pulls).figures


@given(st.lists(st.floats(0, 1e6), min_size=2))
def test_quantiles_are_those_of_the_statistics_module(values: list[float]) -> None:
    spread = spread_of(values)

    assert spread is not None
    assert spread.count == len(values)
    assert spread.median == pytest.approx(statistics.median(values))
    nine_tenths = statistics.quantiles(values, n=10, method="inclusive")[-1]
    assert spread.p90 == pytest.approx(nine_tenths)


def test_empty_sample_has_no_spread() -> None:
    assert spread_of([]) is None
    assert spread_of([3.0]) == Spread(1, 3.0, 3.0, 3.0, 3.0)


@pytest.mark.parametrize("count", [6, 15, 50, 199, 200, 1000])
def test_interval_of_the_median_holds_it_in_95_of_100_samples(count: int) -> None:
    spread = spread_of(map(float, range(count)))

    assert spread is not None
    # The number of values below the true median is binomial; sum it over the interval.
    low, high = round(spread.low), round(spread.high)
    inside = sum(math.comb(count, each) for each in range(low + 1, high + 1)) / 2**count
    narrower = sum(math.comb(count, each) for each in range(low + 2, high)) / 2**count
    assert inside >= 0.945
    assert narrower < 0.955


def test_saving_is_the_cold_median_less_what_was_observed() -> None:
    pulls = [a_pull("not_streamed", each) for each in (90.0, 100.0, 300.0)]
    pulls += [a_pull("streamed", 4.0), a_pull("streamed", 6.0)]

    figures = sum_up(pulls)

    assert figures.cold == Spread(3, 100.0, 260.0, 90.0, 300.0)
    assert figures.baseline == "pulls"
    assert figures.saving.pull_seconds == 96.0 + 94.0
    assert figures.saving.accelerator_seconds == 190.0
    assert figures.saving.money == 190.0
    assert figures.saving.counted_pulls == 2


def test_streamed_pull_slower_than_the_cold_ones_lessens_the_saving() -> None:
    pulls = [a_pull("not_streamed", 10.0), a_pull("streamed", 2.0), a_pull("streamed", 25.0)]

    assert sum_up(pulls).saving.accelerator_seconds == 8.0 - 15.0


def test_image_without_a_cold_pull_has_no_baseline() -> None:
    figures = sum_up([a_pull("streamed", 4.0), a_pull("not_streamed", None)])

    assert (figures.cold, figures.baseline) == (None, None)
    assert figures.saving.accelerator_seconds is None
    assert figures.saving.money is None
    assert figures.saving.net_money is None
    assert figures.saving.without_baseline == 1


@pytest.mark.parametrize("streamed", ["likely_streamed", "cached_on_node", "unknown", None])
def test_only_the_verdict_streamed_is_a_saving(streamed: Streamed | None) -> None:
    figures = sum_up([a_pull("not_streamed", 100.0), a_pull(streamed, 1.0)])

    assert figures.saving.counted_pulls == 0
    assert figures.saving.accelerator_seconds is None
    assert figures.verdicts[streamed or "unknown"] == 1


def test_workloads_cold_pulls_come_before_those_of_warmups() -> None:
    warm = a_warmup("not_streamed", 500.0)
    pulls = [warm, a_pull("not_streamed", 100.0), a_pull("streamed", 10.0)]

    assert sum_up(pulls).saving.pull_seconds == 90.0
    assert sum_up([warm, a_pull("streamed", 10.0)]).baseline == "warmups"
    assert sum_up([warm, a_pull("streamed", 10.0)]).saving.pull_seconds == 490.0


def test_warmups_own_pull_is_never_a_saving() -> None:
    figures = sum_up([a_pull("not_streamed", 100.0), a_warmup("streamed", 2.0)])

    assert figures.saving.counted_pulls == 0
    assert (figures.pulls, figures.warmups) == (1, 1)
    assert figures.warmup_verdicts["streamed"] == 1


def test_waiting_is_counted_for_each_accelerator_that_the_table_knows_of_a_node() -> None:
    eight = Prices(accelerator_hour={"l4": 3600.0}, accelerators_per_node={"big": 8, "l4": 2})
    pulls = [a_pull("not_streamed", 100.0)]
    pulls += [a_pull("streamed", 90.0, node_pool="big"), a_pull("streamed", 90.0)]

    saving = sum_up(pulls, eight).saving

    assert saving.pull_seconds == 20.0
    assert saving.accelerator_seconds == 80.0 + 20.0


def test_no_accelerator_waits_on_a_node_without_one() -> None:
    pulls = [a_pull("not_streamed", 100.0), a_pull("streamed", 90.0, accelerator=None)]

    saving = sum_up(pulls).saving

    assert saving.pull_seconds == 10.0
    assert (saving.accelerator_seconds, saving.money) == (None, None)
    assert saving.without_accelerator == 1


def test_seconds_of_an_accelerator_without_a_price_are_not_money() -> None:
    pulls = [a_pull("not_streamed", 100.0), a_pull("streamed", 90.0, accelerator="new")]

    saving = sum_up(pulls).saving

    assert saving.accelerator_seconds == 10.0
    assert saving.money is None
    assert saving.unpriced_seconds == 10.0


def test_cost_of_warming_is_subtracted() -> None:
    pulls = [
        a_warmup("not_streamed", 100.0, strategy="any-node", total_seconds=200.0),
        a_warmup(None, None, strategy=None, outcome="no_node"),
        a_pull("streamed", 90.0),
    ]

    saving = sum_up(pulls).saving

    assert saving.warming_money == 2.0
    assert saving.net_money == 10.0 - 2.0


def test_node_added_for_a_warmup_costs_what_its_accelerators_do() -> None:
    warm = a_warmup("not_streamed", 100.0, strategy="new-gpu-node", total_seconds=150.0)
    unknown = a_warmup("not_streamed", 1.0, strategy="new-gpu-node", accelerator="new")

    saving = sum_up([warm, unknown]).saving

    assert saving.warming_money == 150.0
    assert saving.unpriced_warmups == 1


def test_time_to_warm_counts_warmups_that_filled_the_cache() -> None:
    pulls = [
        a_warmup("not_streamed", 100.0, total_seconds=160.0),
        a_warmup(None, None, outcome="already_present", total_seconds=20.0),
        a_warmup(None, None, outcome="timed_out", total_seconds=3600.0),
    ]

    figures = sum_up(pulls)

    assert figures.time_to_warm == Spread(1, 160.0, 160.0, 160.0, 160.0)
    assert figures.failed_warmups == 1


def test_totals_and_places_are_the_sums_of_the_images() -> None:
    figures = Figures(FREE)
    figures.add_image("a", [a_pull("not_streamed", 100.0), a_pull("streamed", 10.0)])
    figures.add_image(
        "b",
        [
            a_pull("not_streamed", 50.0, image="b"),
            a_pull("streamed", 10.0, image="b", node_pool="other"),
            a_pull("streamed", 20.0, image="b", cluster=None, node_pool=None, accelerator=None),
        ],
    )
    figures.add_image("c", [a_pull("streamed", 1.0, image="c")])

    total, places = figures.total(), list(figures.places())

    assert total.pulls == 6
    assert total.saving.accelerator_seconds == 90.0 + 40.0
    assert total.saving.without_baseline == 1
    assert [each.place for each in places] == [Place("c", "other", "l4"), Place("c", "pool", "l4")]
    assert [saved(each) for each in places] == [40.0, 90.0]
    # Image c has nothing to compare with, so that it would flatter what streams.
    assert figures.compared == (spread_of([100.0, 50.0]), spread_of([10.0, 10.0, 20.0]))


def saved(place: PlaceFigures) -> float | None:
    return place.figures.saving.accelerator_seconds
