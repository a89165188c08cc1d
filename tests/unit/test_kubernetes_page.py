"""The number of objects that a list asks for, by the bytes that it read."""

import pytest

from shared.clients.kubernetes_page import PAGE_BYTES, PageSize

SMALL, LARGE, HUGE = 8_000, 1_400_000, 2 * PAGE_BYTES


def read(objects: list[int]) -> tuple[list[int], int]:
    """Read objects of these sizes; return the size of each page, and how many were too large."""
    pages, too_large = [], 0
    size, first = PageSize(100), 0
    while first < len(objects):
        page = objects[first : first + size.objects]
        if size.limit_bytes is not None and sum(page) > size.limit_bytes:
            too_large += 1
            size.shrink()
            continue
        pages.append(len(page))
        first += len(page)
        size.adapt(sum(page))
    return pages, too_large


@pytest.mark.parametrize(
    ("objects", "pages", "too_large"),
    [
        pytest.param([SMALL] * 250, [100, 100, 50], 0, id="small"),
        pytest.param([LARGE] * 7, [1, 2, 2, 2], 3, id="large"),
        pytest.param([HUGE] * 3, [1, 1, 1], 3, id="larger-than-a-page"),
        pytest.param([0] * 150, [100, 50], 0, id="empty"),
        pytest.param([SMALL] * 101 + [LARGE] * 3, [100, 1, 2, 1], 3, id="large-after-small"),
        pytest.param(
            [LARGE] * 3 + [SMALL] * 250,
            [1, 2, 2, 4, 8, 16, 32, 64, 100, 24],
            3,
            id="small-after-large",
        ),
    ],
)
def test_page_has_few_large_objects_or_many_small_ones(
    objects: list[int], pages: list[int], too_large: int
) -> None:
    assert read(objects) == (pages, too_large)


def test_small_objects_among_large_ones_cost_few_pages_that_are_too_large() -> None:
    pages, too_large = read(([SMALL] + [LARGE] * 3) * 100)

    assert too_large < len(pages)
