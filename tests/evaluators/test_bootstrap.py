"""Draws of examples give what drawing them one by one gives, and fast."""

import itertools
import time
import warnings

import numpy as np
import pytest

from mmpt.evaluators.base import STATISTICS, Measure
from mmpt.evaluators.bootstrap import OF_SUMS, drawn, interval, middle, swapped
from mmpt.evaluators.caption_statistics import METEOR_COLUMNS


def _rows(statistic: str, count: int, rng: np.random.Generator) -> np.ndarray:
    if statistic in ("mean", "median"):
        return rng.normal(size=count)
    if statistic == "ratio":
        return np.stack([rng.integers(0, 5, count), rng.integers(5, 9, count)], axis=1)
    if statistic == "mean_of_ratios":
        return np.stack([rng.integers(0, 3, count), rng.integers(0, 5, count), rng.integers(0, 9, count)], axis=1)
    if statistic == "mean_of_pairs":
        whole = rng.integers(0, 2, (count, 3))
        return np.stack([whole * rng.integers(0, 2, (count, 3)), whole], axis=2).reshape(count, 6)
    if statistic == "bleu":
        return rng.integers(1, 9, (count, 10)).astype(float)
    assert statistic == "meteor", "a new statistic needs rows here"
    return rng.integers(1, 9, (count, METEOR_COLUMNS)).astype(float)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_draws_are_those_of_drawing_rows(statistic: str) -> None:
    rows = _rows(statistic, 31, np.random.default_rng(0))
    rng = np.random.default_rng(7)
    taken = [STATISTICS[statistic](rows[rng.integers(31, size=31)]) for _ in range(40)]
    np.testing.assert_allclose(drawn([rows], statistic, seed=7, draws=40)[0], taken, rtol=1e-9)


@pytest.mark.parametrize("statistic", sorted(OF_SUMS))
def test_statistics_of_sums_see_nothing_else(statistic: str) -> None:
    rows = _rows(statistic, 20, np.random.default_rng(1)).astype(float)
    assert STATISTICS[statistic](rows) == pytest.approx(STATISTICS[statistic](rows.sum(axis=0, keepdims=True)))


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_examples_that_are_alike_are_drawn_as_often_as_others(statistic: str) -> None:
    alike = np.repeat([0.0, 1.0, 4.0], [300, 500, 200])  # three kinds: their counts are drawn
    apart = alike + np.arange(1000) * 1e-9  # the same, but for the computer to tell apart
    ours, ones = (drawn([rows], statistic, draws=4000)[0] for rows in (alike, apart))
    assert ours.mean() == pytest.approx(ones.mean(), abs=0.01)
    assert ours.std() == pytest.approx(ones.std(), rel=0.1, abs=1e-6)


def test_an_unusual_statistic_is_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmpt.evaluators.bootstrap.STATISTICS", {"largest": lambda rows: float(rows.max())})
    values = drawn([np.array([1.0, 2.0, 3.0])], "largest", draws=500)[0]
    assert set(values) == {1.0, 2.0, 3.0} and (values == 3).mean() == pytest.approx(19 / 27, abs=0.08)


def test_two_systems_are_drawn_together() -> None:
    mine = np.random.default_rng(0).random(50)
    one, other = drawn([mine, mine + 1], "mean")
    np.testing.assert_allclose(other - one, 1)


def test_no_example_and_no_number() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(drawn([np.zeros(0)], "mean")).all()
        assert np.isnan(interval(Measure.of(np.zeros((3, 2)), "ratio"))).all()
        assert np.isnan(middle(np.array([np.nan]))).all()
        assert np.isnan(drawn([np.zeros((4, 3))], "mean_of_ratios")).all()
    low, high = interval(Measure.of([(1, 2), (0, 0), (0, 0)], "ratio"))
    assert low == high == 0.5  # draws without a whole have no value and are left out


def test_a_large_evaluation_is_fast() -> None:
    rng = np.random.default_rng(0)
    measures = [Measure.of(rng.random(3300) < 0.3) for _ in range(3)]
    measures.append(Measure.of(rng.integers(1, 3300, 3300), "median"))
    measures += [Measure.of(_rows(name, 3300, rng), name) for name in ("ratio", "mean_of_ratios", "bleu")]
    began = time.process_time()
    for measure in measures:
        interval(measure)
    assert time.process_time() - began < 3  # about 0.4 s; drawing row by row takes 10 s


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_sentences_of_one_video_are_drawn_together(statistic: str) -> None:
    """Four sentences a video that are all as hard: the interval is that of the videos, twice as wide."""
    of_video = np.random.default_rng(0).normal(size=300)
    videos = np.repeat(np.arange(300), 4)
    alone = Measure.of(of_video, statistic)
    four = Measure.of(np.repeat(of_video, 4), statistic)
    low, high = interval(four, groups=videos)
    wanted = interval(alone)
    assert (low, high) == pytest.approx(wanted, abs=0.03)
    narrow = interval(four)
    assert 1.7 < (high - low) / (narrow[1] - narrow[0]) < 2.4


def test_groups_of_unequal_size_are_drawn_whole() -> None:
    parts, groups = np.array([[1.0, 2], [1, 2], [0, 6], [5, 5]]), np.array([7, 7, 3, 9])
    values = set(np.round(drawn([parts], "ratio", groups=groups)[0], 9))
    sums = np.array([[0.0, 6], [2, 4], [5, 5]])
    possible = {
        round(float(part / whole), 9)
        for taken in itertools.combinations_with_replacement(range(3), 3)
        for part, whole in [sums[list(taken)].sum(axis=0)]
    }
    assert values == possible


def test_answers_to_one_video_are_swapped_together() -> None:
    one = np.zeros(40)
    videos = np.repeat(np.arange(5), 8)
    assert swapped((one, one + 1), "mean") < 0.001
    assert swapped((one, one + 1), "mean", groups=videos) == 2 / 2**5
