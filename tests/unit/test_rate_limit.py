"""The remaining rate limit in the answer of a registry."""

import pytest

from shared.domain.rate_limit import Allowance


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        pytest.param("100;w=21600", "76;w=21600", Allowance(100, 76), id="docker-hub"),
        pytest.param("200", "0", Allowance(200, 0), id="plain"),
        pytest.param("100, 100;w=60", "99", Allowance(100, 99), id="with-policies"),
        pytest.param(" 10 ; w=1 ", "\t9", Allowance(10, 9), id="spaces"),
        pytest.param(None, None, None, id="silent"),
        pytest.param("100;w=21600", None, None, id="half"),
        pytest.param(None, "76", None, id="other-half"),
        pytest.param("many", "few", None, id="words"),
        pytest.param("-1", "5", None, id="negative"),
        pytest.param("1" * 5_000, "5", None, id="huge"),
    ],
)
def test_both_headers_make_an_allowance(
    limit: str | None, remaining: str | None, expected: Allowance | None
) -> None:
    assert Allowance.from_headers(limit, remaining) == expected


@pytest.mark.parametrize(
    ("share", "remaining", "permitted"),
    [(0, 100, False), (1, 1, True), (1, 0, False), (0.25, 76, True), (0.25, 75, False)],
)
def test_other_share_is_left(share: float, remaining: int, permitted: bool) -> None:  # noqa: FBT001
    assert Allowance(100, remaining).permits(share) is permitted
