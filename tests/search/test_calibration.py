"""A score means the same for every query, every library and every model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.search.calibration import DEFAULT_THRESHOLD, ENOUGH, Background, best_by_chance, location
from mmpt.utils.seeding import generator


def draws(*shape: int, index: int = 0) -> np.ndarray:
    return generator(7, 0, index).normal(size=shape)


def best_score(windows: np.ndarray, query: np.ndarray) -> float:
    """The calibrated score of the best window, as a search computes it."""
    scores = windows @ query
    spread = float(np.sqrt(windows.var(axis=0).mean()))
    ground = Background(location(scores), float(np.linalg.norm(query)) * spread, len(scores), len(scores))
    return ground.calibrate(float(scores.max()))


def cloud(count: int, *, index: int = 0) -> np.ndarray:
    """Windows that differ in a few directions more than in others, far away from the origin."""
    return draws(count, 32, index=index) * np.linspace(2, 0.5, 32) + 3


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_scale_of_model_and_query_changes_nothing(of_windows, of_query):
    windows, query = cloud(200), draws(32, index=1)
    plain = best_score(windows, query)
    assert best_score(of_windows * windows, of_query * query) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("count", [50, 500, 5000])
def test_chance_brings_one_however_large_the_library(count):
    scores = [best_score(cloud(count, index=index), draws(32, index=1000 + index)) for index in range(100)]
    assert np.mean(scores) == pytest.approx(1.0, abs=0.12)


def test_an_arbitrary_query_seldom_matches_and_one_for_a_window_does():
    windows = cloud(2000)
    centred = windows - windows.mean(axis=0)
    arbitrary = [best_score(windows, draws(32, index=index)) for index in range(1, 201)]
    assert np.mean(np.array(arbitrary) >= DEFAULT_THRESHOLD) < 0.15
    far = int(np.argmax(np.linalg.norm(centred, axis=1)))
    assert best_score(windows, centred[far]) > DEFAULT_THRESHOLD


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.33])
def test_matches_do_not_hide_themselves(share):
    matches = int(share * 4000)
    scores = np.concatenate([draws(4000 - matches), 8 + draws(matches, index=1)])
    assert location(scores) == pytest.approx(0, abs=0.1)
    assert Background(location(scores), 1.0, 4000, 4000).calibrate(8.0) > DEFAULT_THRESHOLD


def test_a_library_full_of_matches_lets_nothing_stand_out():
    scores = np.concatenate([draws(100), 8 + draws(3900, index=1)])
    assert Background(location(scores), 1.0, 4000, 4000).calibrate(scores.max()) < DEFAULT_THRESHOLD


def test_the_best_of_many_is_high_by_chance():
    for count in (30, 1000, 50_000):
        best = [draws(count, index=index).max() for index in range(60)]
        assert best_by_chance(count) == pytest.approx(np.mean(best), abs=0.15)
    assert best_by_chance(0) == best_by_chance(1) == 0
    assert all(best_by_chance(n) < best_by_chance(n + 1) for n in range(1, 200))


def test_the_more_windows_are_searched_the_more_a_match_must_stand_out():
    scores = [Background(0.0, 1.0, 4096, searched).calibrate(5.0) for searched in (1, 30, 1000, 1_000_000)]
    assert scores[0] == scores[1] > scores[2] > scores[3] > 1


def test_few_windows_are_told_and_nothing_breaks():
    assert not Background(0.0, 1.0, ENOUGH - 1, ENOUGH - 1).judges
    assert Background(0.0, 1.0, ENOUGH, ENOUGH).judges
    assert location(np.array([])) == 0.0
    assert location(np.array([3.0])) == 3.0


def test_windows_that_are_all_the_same_judge_nothing():
    ground = Background(location(np.full(100, 2.5)), 0.0, 100, 100)
    assert ground.location == 2.5
    assert not ground.judges
    assert ground.calibrate(2.5) == 0.0


def test_leaves_the_scores_alone():
    scores = draws(50)
    before = scores.copy()
    location(scores)
    assert (scores == before).all()
