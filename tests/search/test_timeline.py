"""Videos divided among steps and labels: never worse than any other division, and never out of order."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.search.timeline import BACKGROUND, UNRELATED, Part, allot_steps, label_seconds, stand_out

SCORES = st.integers(-3, 3)  # small whole numbers, so that sums are exact and ties are frequent


@st.composite
def small(draw: st.DrawFn, most_seconds: int, most_columns: int) -> np.ndarray:
    """A few seconds by a few steps or labels."""
    shape = draw(st.integers(1, most_seconds)), draw(st.integers(1, most_columns))
    rows = draw(st.lists(SCORES, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return np.array(rows, np.float32).reshape(shape)


def covers(parts: list[Part], seconds: int) -> bool:
    bounds = [(part.start, part.end) for part in parts]
    return bounds[0][0] == 0 and bounds[-1][1] == seconds and all(a[1] == b[0] for a, b in itertools.pairwise(bounds))


@given(small(9, 4), st.integers(1, 3))
def test_steps_are_in_order_long_enough_and_fit_as_well_as_can_be(scores: np.ndarray, least: int):
    seconds, steps = scores.shape
    if seconds < steps * least:
        with pytest.raises(ValueError, match=f"{steps} steps of at least {least} s each"):
            allot_steps(scores, least)
        return
    parts = allot_steps(scores, least)
    assert [part.label for part in parts] == list(range(steps)) and covers(parts, seconds)
    assert all(part.end - part.start >= least for part in parts)

    centred = scores - scores.mean(axis=0)

    def worth(bounds: tuple[int, ...]) -> float:
        return sum(centred[a:b, k].sum(dtype=float) for k, (a, b) in enumerate(itertools.pairwise(bounds)))

    divisions = ((0, *inner, seconds) for inner in itertools.combinations(range(1, seconds), steps - 1))
    allowed = [d for d in divisions if all(b - a >= least for a, b in itertools.pairwise(d))]
    assert worth((0, *(part.end for part in parts))) == pytest.approx(max(map(worth, allowed)), abs=1e-4)


def test_a_clear_order_of_steps_is_found():
    scores = np.zeros((100, 3))
    scores[:60, 0] = scores[60:75, 1] = scores[75:, 2] = 1
    assert allot_steps(scores, 10) == [Part(0, 60, 0), Part(60, 75, 1), Part(75, 100, 2)]


def test_a_sentence_that_fits_everything_takes_no_time_from_the_others():
    scores = np.zeros((30, 2))
    scores[:10, 0] = scores[10:, 1] = 1
    scores[:, 0] += 50
    assert allot_steps(scores, 1) == [Part(0, 10, 0), Part(10, 30, 1)]


def test_steps_are_as_many_as_seconds_at_most():
    assert [part.end for part in allot_steps(np.zeros((4, 4)))] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="5 steps of at least 1 s each do not fit into 4 s"):
        allot_steps(np.zeros((4, 5)))
    with pytest.raises(ValueError, match="no step"):
        allot_steps(np.zeros((4, 0)))


@given(small(6, 3), st.sampled_from([None, -1.0, 0.0, 1.0]), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_no_other_labelling_gains_more(scores: np.ndarray, background: float | None, switch: float):
    seconds, labels = scores.shape
    parts = label_seconds(scores, background, switch)
    assert covers(parts, seconds) and all(a.label != b.label for a, b in itertools.pairwise(parts))
    columns = np.column_stack([scores, np.full(seconds, -np.inf if background is None else background)])

    def worth(path: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return sum(columns[second, label] for second, label in enumerate(path)) - switch * changes

    path = tuple(part.label for part in parts for _ in range(part.end - part.start))
    every = itertools.product([*range(labels), BACKGROUND], repeat=seconds)
    assert worth(path) == pytest.approx(max(map(worth, every)))


def test_a_glitch_is_passed_over_and_a_gap_is_background():
    scores = np.full((60, 2), -2.0)
    scores[5:25, 0] = scores[40:55, 1] = 4
    scores[15, 0], scores[15, 1] = -1, 5  # one second that looks like the other label
    parts = label_seconds(scores, 2, 3)
    assert [(part.start, part.end, part.label) for part in parts] == [
        (0, 5, BACKGROUND),
        (5, 25, 0),
        (25, 40, BACKGROUND),
        (40, 55, 1),
        (55, 60, BACKGROUND),
    ]


def test_without_a_cost_each_second_is_for_itself():
    scores = np.random.default_rng(0).normal(size=(50, 4))
    path = [part.label for part in label_seconds(scores, None, 0) for _ in range(part.end - part.start)]
    assert path == scores.argmax(axis=1).tolist()


def test_labels_are_refused_that_cannot_be_given():
    with pytest.raises(ValueError, match=r"\(0, 2\)"):
        label_seconds(np.zeros((0, 2)), None, 1)
    with pytest.raises(ValueError, match="costs -1"):
        label_seconds(np.zeros((2, 2)), None, -1)


def test_standing_out_does_not_depend_on_scale_or_offset():
    draws = np.random.default_rng(1)
    scores, unrelated = draws.normal(size=(20, 3)), draws.normal(size=(20, 40))
    plain = stand_out(scores, unrelated)
    assert stand_out(7 * scores - 3, 7 * unrelated - 3) == pytest.approx(plain)
    unrelated[:, :5] = 1000  # some of the sentences fit after all
    assert np.abs(stand_out(scores, unrelated) - plain).max() < 1.5


def test_what_is_drawn_as_the_unrelated_are_rarely_stands_out():
    draws = np.random.default_rng(2)
    far = stand_out(draws.normal(size=(4000, 1)), draws.normal(size=(4000, len(UNRELATED))))
    assert 0.02 < (far > 2).mean() < 0.05  # of a normal distribution 0.023, were the spread known


def test_sentences_that_all_score_the_same_divide_nothing_by_zero():
    assert np.isfinite(stand_out(np.ones((3, 2)), np.zeros((3, 40)))).all()
