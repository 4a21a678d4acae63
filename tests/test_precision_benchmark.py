"""How alike two rankings are: the measure behind the default precision."""

import numpy as np
import pytest

from benchmarks.precision import compare_rankings

SCORES = np.array([[3.0, 1.0, 2.0, 0.0, 5.0, 4.0, 6.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])


def test_the_same_ranking() -> None:
    same = compare_rankings(SCORES, 2 * SCORES)
    assert (same.tau, same.top_1, same.top_5) == (1, 1, 1)
    shifted = compare_rankings(SCORES, SCORES + 7)  # a shift of a query's scores changes no ranking
    assert shifted.error == pytest.approx(0, abs=1e-12)


def test_the_opposite_ranking() -> None:
    opposite = compare_rankings(SCORES, -SCORES)
    assert (opposite.tau, opposite.top_1) == (-1, 0)
    assert opposite.top_5 == pytest.approx(3 / 5)
    assert opposite.error == pytest.approx(2)


def test_two_neighbours_swapped_in_one_of_two_queries() -> None:
    other = SCORES.copy()
    other[1, 5:] = [6.0, 5.0]
    swapped = compare_rankings(SCORES, other)
    assert swapped.tau == pytest.approx((1 + (21 - 2) / 21) / 2)
    assert swapped.top_1 == 0.5
    assert swapped.top_5 == 1


def test_what_is_not_a_number_is_left_out() -> None:
    holes = SCORES.copy()
    np.fill_diagonal(holes, np.nan)
    other = holes.copy()
    other[0, 6] = -1  # the best becomes the worst
    result = compare_rankings(holes, other)
    assert result.top_1 == 0.5
    assert result.tau == pytest.approx((1 + (15 - 2 * 5) / 15) / 2)
