"""Windows of several lengths over features that are computed once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmpt.models.scorer import Scorer, load
from mmpt.search.windows import cut_all, encode, lengths_for
from tests.search.making import make_grid_model

LENGTHS = [4, 8, 16, 32]


def features(seconds: int) -> np.ndarray:
    array = np.random.default_rng(seconds).normal(size=(seconds, 512)).astype(np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_windows_overlap_by_half_and_each_is_there_once() -> None:
    assert cut_all(10, LENGTHS) == [(0, 4), (2, 6), (4, 8), (6, 10), (0, 8), (4, 10), (0, 10)]
    assert cut_all(3, LENGTHS) == [(0, 3)]
    assert cut_all(4, LENGTHS) == [(0, 4)]
    assert cut_all(1, [1]) == [(0, 1)]


@given(st.integers(1, 200), st.lists(st.sampled_from([1, 2, 4, 5, 8, 16, 32]), min_size=1, unique=True))
def test_windows_of_each_length_cover_every_second(seconds: int, lengths: list[int]) -> None:
    windows = cut_all(seconds, lengths)
    assert len(set(windows)) == len(windows)
    assert all(0 <= start < end <= seconds and end - start <= max(lengths) for start, end in windows)
    for length in lengths:
        covered = {second for start, end in windows if end - start <= length for second in range(start, end)}
        assert covered == set(range(seconds))


def test_only_lengths_that_the_model_takes() -> None:
    assert lengths_for(32) == [4, 8, 16, 32]
    assert lengths_for(31) == [4, 8, 16]
    assert lengths_for(3) == [3]


@pytest.mark.parametrize("seconds", [1, 3, 20, 75])
def test_vectors_are_those_that_the_scorer_gives_window_by_window(grid_scorer: Scorer, seconds: int) -> None:
    array = features(seconds)
    encoded = encode(grid_scorer, array, LENGTHS)
    assert encoded.windows.dtype == np.int32 and encoded.vectors.dtype == encoded.tokens.dtype == np.float16
    for (start, end), vector in zip(encoded.windows, encoded.vectors, strict=True):
        alone = grid_scorer.encode_video(array[start:end]).vectors[0].numpy()
        assert np.allclose(vector, alone, atol=2e-2, rtol=2e-3)


def test_seconds_are_seen_as_the_longest_windows_see_them(grid_scorer: Scorer) -> None:
    short = features(20)
    alone = grid_scorer.encode_video(short).tokens.numpy()
    assert np.allclose(encode(grid_scorer, short, LENGTHS).tokens, alone, atol=2e-2, rtol=2e-3)
    longer = features(48)
    first, second = (grid_scorer.encode_video(longer[start : start + 32]).tokens.numpy() for start in (0, 16))
    tokens = encode(grid_scorer, longer, LENGTHS).tokens
    assert np.allclose(tokens[:16], first[:16], atol=2e-2, rtol=2e-3)
    assert np.allclose(tokens[16:32], (first[16:] + second[:16]) / 2, atol=2e-2, rtol=2e-3)
    assert np.allclose(tokens[32:], second[16:], atol=2e-2, rtol=2e-3)


def test_a_model_that_takes_little_has_windows_of_its_own_length(tmp_path) -> None:
    scorer = load(make_grid_model(tmp_path, max_video_len=3))
    encoded = encode(scorer, features(7), lengths_for(scorer.aligner.max_video_len))
    assert encoded.windows.tolist() == [[0, 3], [1, 4], [2, 5], [3, 6], [4, 7]]
    assert encoded.tokens.shape == (7, 48)


def test_encoding_draws_nothing_and_changes_nothing(grid_scorer: Scorer) -> None:
    array, state = features(20), torch.get_rng_state()
    kept = array.copy()
    one, two = encode(grid_scorer, array, LENGTHS), encode(grid_scorer, array, LENGTHS)
    assert np.array_equal(one.vectors, two.vectors) and np.array_equal(one.tokens, two.tokens)
    assert np.array_equal(array, kept) and torch.equal(torch.get_rng_state(), state)
