"""Windows that overlap become moments that do not, with borders to the second."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpt.search.moments import Core, free_span, merge_windows, refine, smoothed
from mmpt.search.windows import cut_all
from mmpt.utils.seeding import generator

LENGTHS = (4, 8, 16, 32)


def windows_of(curves: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """All windows of videos, each scored by the mean of its seconds, as the models' pooled vectors are."""
    rows = [
        (video, start, end, curve[start:end].mean())
        for video, curve in enumerate(curves)
        for start, end in cut_all(len(curve), LENGTHS)
    ]
    videos, starts, ends, scores = zip(*rows, strict=True)
    return np.array(videos), np.array(starts), np.array(ends), np.array(scores)


def find(curves: list[np.ndarray], *, base: float = 0.0, limit: int = 10) -> list[tuple[int, int, int, int]]:
    """Merge and refine, as a search does."""
    found = []
    for core in merge_windows(*windows_of(curves), base=base, limit=limit):
        taken = [(start, end) for video, start, end, _ in found if video == core.video]
        span = refine(core, curves[core.video], base=base, taken=taken)
        if span is not None:
            found.append((core.video, *span))
    return found


def bump(seconds: int, *places: tuple[int, int], height: float = 10.0) -> np.ndarray:
    curve = np.zeros(seconds)
    for start, end in places:
        curve[start:end] = height
    return curve


@pytest.mark.parametrize(
    ("start", "end"), [(0, 4), (6, 8), (10, 13), (17, 25), (30, 49), (3, 60), (56, 60), (1, 2), (20, 50)]
)
def test_a_moment_has_its_own_length(start, end):
    curve = bump(60, (start, end))
    video, first, last, best = find([np.zeros(60), curve])[0]
    assert video == 1
    assert abs(first - start) <= 1 and abs(last - end) <= 1
    assert start <= best < end


def test_two_moments_of_one_video_are_two():
    curve = bump(60, (8, 12), height=10) + bump(60, (40, 46), height=9)
    assert [(first, last) for _, first, last, _ in find([curve], limit=2)] == [(8, 12), (40, 46)]


def test_a_dip_does_not_part_a_moment():
    curve = bump(40, (10, 20))
    curve[15] = 3.0
    assert find([curve])[0] == (0, 10, 20, 10)


def test_noise_does_not_move_the_borders_far():
    curve = bump(64, (20, 31)) + generator(3).normal(size=64)
    _, first, last, _ = find([curve])[0]
    assert abs(first - 20) <= 2 and abs(last - 31) <= 2


def test_a_video_that_fits_as_a_whole_is_one_moment():
    curve = 10 + 0.2 * generator(4).normal(size=48)
    _, first, last, _ = find([curve], base=0.0)[0]
    assert last - first >= 40


def test_a_video_of_one_second():
    assert find([np.array([2.0])]) == [(0, 0, 1, 0)]


def test_equal_scores_come_in_order_of_video_and_time():
    cores = merge_windows(*windows_of([np.zeros(8), np.zeros(8)]), base=0.0, limit=10)
    assert [(core.video, core.start) for core in cores] == [(0, 0), (0, 4), (1, 0), (1, 4)]
    shuffled = generator(1).permutation(len(windows_of([np.zeros(8), np.zeros(8)])[0]))
    columns = [column[shuffled] for column in windows_of([np.zeros(8), np.zeros(8)])]
    assert merge_windows(columns[0], columns[1], columns[2], columns[3], base=0.0, limit=10) == cores


def test_below_the_background_the_window_stays_as_it_is():
    core = Core(0, 4, 8, -3.0, 0, 12)
    assert refine(core, -np.arange(12.0), base=0.0) == (4, 8, 4)


def test_taken_seconds_are_not_given_again():
    core = Core(0, 4, 8, 5.0, 0, 12)
    curve = bump(12, (2, 10))
    assert refine(core, curve, base=0.0) == (2, 10, 2)
    assert refine(core, curve, base=0.0, taken=[(0, 4.5)]) == (5, 10, 5)
    assert refine(core, curve, base=0.0, taken=[(0, 5.5)]) is None  # it stands out because of the other
    assert refine(core, curve, base=0.0, taken=[(0, 99)]) is None


CURVES = st.lists(
    st.lists(st.integers(-5, 20), min_size=1, max_size=50).map(lambda row: np.array(row, float)), min_size=1, max_size=3
)


@settings(max_examples=60, deadline=None)
@given(CURVES, st.integers(1, 12), st.integers(-5, 5))
def test_whatever_the_curves_moments_share_no_second(curves, limit, base):
    before = [curve.copy() for curve in curves]
    cores = merge_windows(*windows_of(curves), base=float(base), limit=limit)
    assert 1 <= len(cores) <= limit
    assert [core.score for core in cores] == sorted((core.score for core in cores), reverse=True)
    for core in cores:
        assert 0 <= core.first <= core.start < core.end <= core.last <= len(curves[core.video])
    for one in cores:
        others = [other for other in cores if other is not one and other.video == one.video]
        assert all(one.end <= other.start or other.end <= one.start for other in others)
    found = find(curves, base=float(base), limit=limit)
    assert found[0][0] == cores[0].video
    covered = [(video, second) for video, first, last, _ in found for second in range(first, last)]
    assert len(covered) == len(set(covered))
    for video, first, last, best in found:
        assert 0 <= first < last <= len(curves[video])
        assert curves[video][best] == curves[video][first:last].max()
    assert all((curve == copy).all() for curve, copy in zip(curves, before, strict=True))


@given(st.integers(0, 50), st.lists(st.integers(0, 50), min_size=1, max_size=50))
def test_smoothing_keeps_a_flat_curve_and_stays_within(level, values):
    assert smoothed(np.full(5, float(level))) == pytest.approx(level)
    smooth = smoothed(np.array(values, float))
    assert len(smooth) == len(values)
    assert min(values) - 1e-9 <= smooth.min() and smooth.max() <= max(values) + 1e-9


@pytest.mark.parametrize(
    ("taken", "span"),
    [
        ([], (2, 10)),
        ([(0, 4)], (4, 10)),
        ([(3, 4)], (4, 10)),
        ([(9, 20)], (2, 9)),
        ([(3, 9)], None),
        ([(0, 20)], None),
        ([(5.5, 6.5)], None),  # neither part is half of it
        ([(20, 30)], (2, 10)),
    ],
)
def test_the_free_part_of_a_span(taken, span):
    assert free_span(2, 10, taken) == span
