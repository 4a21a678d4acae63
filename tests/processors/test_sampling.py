"""The limits of the samplers; their distributions are held to the recorded ones in tests/parity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.processors.sampling import (
    TextClipSamplingProcessor,
    TokenClips,
    VideoClipSamplingProcessor,
    text_spans,
    video_spans,
)
from mmpt.utils.seeding import generator

LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=40)


@given(LENGTHS, st.integers(0, 70), st.integers(0, 100))
def test_a_text_clip_is_full_or_all_there_is(lengths: list[int], limit: int, seed: int) -> None:
    starts, ends = text_spans(lengths, np.arange(len(lengths)), np.full(len(lengths), limit), generator(seed))
    for center, (start, end) in enumerate(zip(starts, ends, strict=True)):
        assert 0 <= start <= center < end <= len(lengths)
        tokens = sum(lengths[start:end])
        assert tokens >= limit or (start, end) == (0, len(lengths))
        without_an_end = (sum(lengths[start + 1 : end]), sum(lengths[start : end - 1]))
        assert end - start == 1 or min(without_an_end) < limit


@given(st.integers(0, 60), st.integers(0, 40), st.integers(0, 90), st.integers(0, 100))
def test_a_video_clip_holds_its_center(length: int, seconds: int, center: int, seed: int) -> None:
    start, end = VideoClipSamplingProcessor()(length, seconds, center, generator(seed))
    assert end - start == min(seconds, length) and start >= 0 and end <= length
    assert start <= min(center, length) <= end


def test_many_clips_come_as_one_by_one() -> None:
    seconds, centers = np.array([3, 9, 5]), np.array([0, 20, 40])
    together = video_spans(40, seconds, centers, generator(1))
    rng = generator(1)
    one_by_one = [VideoClipSamplingProcessor()(40, int(s), int(c), rng) for s, c in zip(seconds, centers, strict=True)]
    assert [tuple(map(int, span)) for span in zip(*together, strict=True)] == one_by_one


def test_the_same_generator_gives_the_same_clip() -> None:
    captions = {"cap": [[1] * (place % 5) for place in range(30)]}
    sampler = TextClipSamplingProcessor(20, keep_prob=0.5)
    clips = {tuple(sampler(captions, generator(7, 1, 2))) for _ in range(5)}
    assert len(clips) == 1
    assert len({tuple(sampler(captions, generator(7, 1, index))) for index in range(20)}) > 10


def test_skipping_never_leaves_out_the_last_caption() -> None:
    clips = TextClipSamplingProcessor(100, keep_prob=0.0)({"cap": [[1]] * 8}, generator(0), centerclip_idx=3)
    assert clips == [0, 1, 3, 5, 7]


def test_no_captions_is_told() -> None:
    with pytest.raises(ValueError, match="at least one caption"):
        TextClipSamplingProcessor(5)({"cap": []}, generator(0))


class TestTokenClips:
    def test_padding_is_left_out(self) -> None:
        clips = TokenClips.from_padded(np.array([[5, 6, -1], [-1, -1, -1], [7, 8, 9]], np.int32))
        assert list(clips) == [[5, 6], [], [7, 8, 9]] and clips.lengths() == [2, 0, 3]
        assert clips.span(1, 3).tolist() == [7, 8, 9] and clips[-1] == [7, 8, 9] and clips[:2] == [[5, 6], []]

    def test_lists_are_the_same(self) -> None:
        lists = [[5, 6], [], [7, 8, 9]]
        assert list(TokenClips.from_lists(lists)) == lists
        assert list(TokenClips.from_lists([])) == [] and list(TokenClips.from_lists([[]])) == [[]]

    @pytest.mark.parametrize("index", [3, -4])
    def test_behind_the_end(self, index: int) -> None:
        with pytest.raises(IndexError, match="of 3"):
            TokenClips.from_lists([[1], [2], [3]])[index]
