"""A score means the same for every query, every library and every model."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.search.calibration import (
    DEFAULT_THRESHOLD,
    ENOUGH,
    Background,
    background,
    best_by_chance,
    false_alarm,
)
from mmpt.utils.seeding import generator


def draws(count: int, *, index: int = 0) -> np.ndarray:
    return generator(7, 0, index).normal(size=count)


@pytest.mark.parametrize(("location", "scale"), [(0.0, 1.0), (-40.0, 0.01), (300.0, 25.0)])
def test_finds_location_and_scale(location, scale):
    ground = background(location + scale * draws(4096))
    assert ground.location == pytest.approx(location, abs=0.06 * scale)
    assert ground.scale == pytest.approx(scale, rel=0.06)
    assert ground.count == 4096 and ground.judges


@given(st.floats(0.01, 100), st.floats(-1000, 1000), st.integers(30, 300))
def test_a_models_scale_changes_nothing(factor, shift, count):
    scores = draws(count)
    plain, moved = background(scores), background(factor * scores + shift)
    top = float(scores.max())
    assert moved.calibrate(factor * top + shift, 1000) == pytest.approx(plain.calibrate(top, 1000), abs=1e-3)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.33])
def test_matches_do_not_hide_themselves(share):
    count = 4000
    matches = int(share * count)
    scores = np.concatenate([draws(count - matches), 8 + draws(matches, index=1)])
    ground = background(scores)
    assert ground.location == pytest.approx(0, abs=0.1)
    assert ground.scale == pytest.approx(1, rel=0.12)
    assert ground.calibrate(8.0, count) > 2 * DEFAULT_THRESHOLD


def test_a_library_full_of_matches_lets_nothing_stand_out():
    scores = np.concatenate([draws(100), 8 + draws(3900, index=1)])
    assert background(scores).calibrate(scores.max(), len(scores)) < DEFAULT_THRESHOLD


def test_the_best_of_many_is_high_by_chance():
    for count in (30, 1000, 50_000):
        best = [draws(count, index=index).max() for index in range(60)]
        assert best_by_chance(count) == pytest.approx(np.mean(best), abs=0.15)
    assert best_by_chance(0) == best_by_chance(1) == 0
    assert all(best_by_chance(n) < best_by_chance(n + 1) for n in range(1, 200))


@pytest.mark.parametrize("count", [200, 5000])
def test_false_alarms_are_as_rare_as_promised(count):
    rounds = 400
    alarms = sum(
        float(background(scores[:4096]).calibrate(scores.max(), count)) >= DEFAULT_THRESHOLD
        for scores in (draws(count, index=index) for index in range(rounds))
    )
    expected = false_alarm(DEFAULT_THRESHOLD, count)
    assert expected < 0.05
    assert alarms / rounds <= expected + 3 * math.sqrt(expected / rounds) + 0.02


def test_false_alarm_is_a_probability_that_falls():
    chances = [false_alarm(score, 1000) for score in (-60.0, -1.0, 0.0, 1.0, 3.0, 60.0)]
    assert chances[0] == 1.0 and chances[-1] == 0.0
    assert chances == sorted(chances, reverse=True)
    assert false_alarm(0.0, 1000) == pytest.approx(0.44, abs=0.05)


def test_few_windows_are_told_and_nothing_breaks():
    assert not background(draws(ENOUGH - 1)).judges
    assert background(draws(ENOUGH)).judges
    assert background(np.array([])) == Background(0.0, 0.0, 0)
    assert background(np.array([3.0])).location == 3.0


@pytest.mark.parametrize("scores", [np.full(100, 2.5), np.full(100, -2.5) + 1e-9 * draws(100), np.zeros(40)])
def test_scores_that_are_all_the_same_judge_nothing(scores):
    ground = background(scores)
    assert not ground.judges
    assert np.isfinite(ground.calibrate(scores, 100)).all()


def test_leaves_the_sample_alone():
    scores = draws(50)
    before = scores.copy()
    background(scores)
    assert (scores == before).all()
