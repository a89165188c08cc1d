"""Curves of a figure over the size, and their picture, which marks those that bend."""

import json

import pytest

from tools.bench.documents import read_generated
from tools.bench.growth.curves import Curve, Point
from tools.bench.growth.growth_document import DATA, DOCUMENT, render
from tools.bench.growth.growth_picture import draw_growth


def make_curve(*calls: float, straight: float = 1.0) -> Curve:
    points = tuple(
        Point(10**number, each, {"registry": 1}, 0.5, 1_000_000)
        for number, each in enumerate(calls, 1)
    )
    return Curve("a sweep", "images", "the sweep", "peak", points, straight)


@pytest.mark.parametrize(
    ("calls", "power"),
    [
        pytest.param((5, 5, 5), 0.0, id="not at all"),
        pytest.param((5, 10, 100), 1.0, id="in proportion, once what is fixed no longer counts"),
        pytest.param((1, 10, 1_000), 2.0, id="with the square"),
        pytest.param((0, 0, 0), 0.0, id="nothing at all"),
    ],
)
def test_exponent_of_a_curve_is_that_of_its_end(calls: tuple[float, ...], power: float) -> None:
    curve = make_curve(*calls)

    assert curve.exponent("calls") == pytest.approx(power)
    assert curve.exponent("bytes") == 0.0


def test_picture_marks_what_bends_in_words_too() -> None:
    square, straight = make_curve(1, 10, 1_000), make_curve(1, 10, 100)

    assert "bends" in draw_growth({"curves": [square.as_json()]})
    assert "bends" not in draw_growth({"curves": [straight.as_json()]})


def test_marginal_cost_must_not_grow() -> None:
    each = make_curve(1, 10, 100, straight=0.0)

    assert "bends" in draw_growth({"curves": [each.as_json()]})


def test_table_of_the_page_shows_the_saved_figures() -> None:
    content = json.loads(DATA.read_text("utf-8"))

    assert read_generated(DOCUMENT) == render(content)
