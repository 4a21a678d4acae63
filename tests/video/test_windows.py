"""Windows cover every second, and merging them gives back what they were cut from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.video.windows import cut, merge

SIZES = st.integers(1, 40)


@st.composite
def settings_of_cut(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(SIZES)
    return draw(st.integers(0, 300)), size, draw(st.integers(1, size))


@given(settings_of_cut())
def test_every_second_is_covered_and_none_outside(setting: tuple[int, int, int]) -> None:
    length, size, stride = setting
    windows = cut(length, size, stride)
    covered = {second for start, end in windows for second in range(start, end)}
    assert covered == set(range(length))
    assert all(0 < end - start <= size for start, end in windows)
    assert all(end - start == size for start, end in windows[:-1])
    assert [start for start, _ in windows] == [k * stride for k in range(len(windows))]
    assert sum(end == length for _, end in windows) == (length > 0)  # none is added after the end is reached


@given(st.integers(0, 300), SIZES)
def test_windows_follow_one_another_by_default(length: int, size: int) -> None:
    windows = cut(length, size)
    assert sum(end - start for start, end in windows) == length
    assert windows == cut(length, size, size)


@given(settings_of_cut(), st.integers(0, 2))
def test_merging_gives_back_what_was_cut(setting: tuple[int, int, int], dimensions: int) -> None:
    length, size, stride = setting
    values = np.random.default_rng(length).normal(size=(length, *(3,) * dimensions)).astype(np.float32)
    windows = cut(length, size, stride)
    merged = merge([values[start:end] for start, end in windows], windows, length)
    if length:
        assert merged.dtype == np.float32
        np.testing.assert_allclose(merged, values, atol=1e-6)
    else:
        assert len(merged) == 0


@given(settings_of_cut())
def test_order_of_the_windows_does_not_matter(setting: tuple[int, int, int]) -> None:
    length, size, stride = setting
    windows = cut(length, size, stride)
    rows = list(np.random.default_rng(size).normal(size=(len(windows), size, 2)))
    expected = merge(rows, windows, length)
    np.testing.assert_allclose(merge(rows[::-1], windows[::-1], length), expected, atol=1e-12)


def test_overlap_is_averaged_and_padding_ignored() -> None:
    windows = cut(5, 4, 2)
    assert windows == [(0, 4), (2, 5)]
    values = np.array([[1, 1, 1, 1], [3, 3, 3, 99]], np.float32)[..., None]  # (windows, size, 1), the last filled up
    assert merge(values, windows, 5)[:, 0].tolist() == [1, 1, 2, 2, 3]
    assert merge(np.array([[1, 2]]), [(0, 2)], 2).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((-1, 4, None), "length is -1; a video has 0 seconds or more"),
        ((5, 0, None), "size is 0; a window needs at least 1 second"),
        ((5, 4, 5), "stride is 5; it must be from 1 to the window's size, 4"),
        ((5, 4, 0), "stride is 0"),
    ],
)
def test_cut_refuses(numbers: tuple[int, int, int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut(*numbers)


@pytest.mark.parametrize(
    ("rows", "windows", "message"),
    [
        ([[1, 2]], [(0, 2), (2, 3)], "values for 1 windows and 2 windows"),
        ([[1, 2], [1]], [(0, 2), (1, 3)], r"window \(1, 3\) has values of shape \(1,\); it needs \(2,\)"),
        ([[1, 2], [1, 2]], [(0, 2), (2, 4)], r"window \(2, 4\) does not lie within the video's 3 seconds"),
        ([[1, 2]], [(0, 2)], "no window covers second 2"),
    ],
)
def test_merge_refuses(rows: list[list[float]], windows: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge([np.array(row) for row in rows], windows, 3)
