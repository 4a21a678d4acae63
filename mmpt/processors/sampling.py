"""Which captions and which seconds of a narrated video make a pair.

Source: Xu et al., VideoCLIP (EMNLP 2021), section 3: a text clip first, then a video clip around a moment of it.
The distributions are the original's, recorded over 20,000 draws. Shapes: N captions, K clips.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from mmpt.utils.registry import register

DRAWN_AT_ONCE = 64  # numbers; a walk takes about ten


class TokenClips(Sequence[list[int]]):
    """The token ids of a video's captions, one caption after the other in one array.

    Args:
        flat: int (tokens,), all of them.
        offsets: int64 (N + 1,), where each caption begins, and the number of tokens at last.
    """

    def __init__(self, flat: np.ndarray, offsets: np.ndarray) -> None:
        self.flat = flat
        self.offsets = offsets

    @classmethod
    def from_padded(cls, ids: np.ndarray) -> "TokenClips":
        """Read the rows of a shard.

        Args:
            ids: int (N, width), padded with -1.

        Returns:
            The captions, copied.
        """
        real = ids != -1
        return cls(ids[real], np.concatenate([[0], real.sum(axis=1).cumsum()]))

    @classmethod
    def from_lists(cls, clips: Iterable[Sequence[int]]) -> "TokenClips":
        """Read lists of token ids.

        Args:
            clips: one list a caption.

        Returns:
            The captions, copied.
        """
        clips = list(clips)
        flat = np.array([token for clip in clips for token in clip], dtype=np.int64)
        return cls(flat, np.cumsum([0, *map(len, clips)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"caption {index} of {len(self)}")
        return self.span(index % len(self), index % len(self) + 1).tolist()

    def span(self, start: int, end: int) -> np.ndarray:
        """Give the tokens of neighbouring captions.

        Args:
            start: the first caption.
            end: the one behind the last.

        Returns:
            int (tokens,), a view.
        """
        return self.flat[self.offsets[start] : self.offsets[end]]

    def lengths(self) -> list[int]:
        """Count the tokens of each caption."""
        return np.diff(self.offsets).tolist()


@register("processor")
class TextClipSamplingProcessor:
    """Grows a text clip: neighbouring captions around one, left or right by the toss of a coin, until it is full.

    Args:
        max_text_len: tokens at which a clip is full.
        keep_prob: how probable it is that the next caption is taken; otherwise it is skipped and the one behind it
            taken, where there is one.
    """

    def __init__(self, max_text_len: int, keep_prob: float = 1.0) -> None:
        self.max_text_len = max_text_len
        self.keep_prob = keep_prob

    def __call__(
        self,
        text_feature: Mapping[str, Any],
        rng: np.random.Generator,
        *,
        centerclip_idx: int | None = None,
        sampled_max_text_len: int | None = None,
    ) -> list[int]:
        """Draw a text clip.

        Args:
            text_feature: `cap`, the token ids of each caption.
            rng: gives the draws.
            centerclip_idx: the caption to begin with; drawn when not given.
            sampled_max_text_len: tokens at which this clip is full, instead of `max_text_len`.

        Returns:
            Indices of captions, ascending; they hold at least that many tokens, if the video does.

        Raises:
            ValueError: there are no captions.
        """
        lengths = [len(clip) for clip in text_feature["cap"]]
        if not lengths:
            raise ValueError("a video without captions was drawn; a text clip takes at least one caption")
        center = int(rng.integers(len(lengths))) if centerclip_idx is None else centerclip_idx
        limit = self.max_text_len if sampled_max_text_len is None else sampled_max_text_len
        return sorted(_walk(lengths, center, limit, self.keep_prob, uniform(rng))[2])


@register("processor")
class VideoClipSamplingProcessor:
    """Grows a video clip around a moment, second by second, left or right by the toss of a coin."""

    def __call__(self, video_len: int, max_video_len: int, center: int, rng: np.random.Generator) -> tuple[int, int]:
        """Draw a video clip.

        Args:
            video_len: seconds of the video.
            max_video_len: seconds of the clip; all of the video when it has fewer.
            center: the second to begin with; one behind the video counts as its end.
            rng: gives the draws.

        Returns:
            The first second, and the one behind the last.
        """
        starts, ends = video_spans(video_len, np.array([max_video_len]), np.array([center]), rng)
        return int(starts[0]), int(ends[0])


def text_spans(
    lengths: Sequence[int], centers: np.ndarray, limits: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw text clips without gaps.

    Args:
        lengths: tokens of each of the N captions.
        centers: int (K,), the captions to begin with.
        limits: int (K,), tokens at which each clip is full.
        rng: gives the draws.

    Returns:
        The first caption of each clip, and the one behind its last: int64 (K,) each.
    """
    draws = uniform(rng)
    walks = [
        _walk(lengths, center, limit, 1.0, draws)
        for center, limit in zip(centers.tolist(), limits.tolist(), strict=True)
    ]
    return np.array([first for first, _, _ in walks]), np.array([last + 1 for _, last, _ in walks])


def video_spans(
    video_len: int, seconds: np.ndarray, centers: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw video clips.

    Growing second by second, with the other side taken where one is at its end, puts as many seconds before the center
    as coins fall left, within what there is: one draw of a binomial number.

    Args:
        video_len: seconds of the video.
        seconds: int (K,), of each clip.
        centers: int (K,), the seconds to begin with.
        rng: gives the draws.

    Returns:
        The first second of each clip, and the one behind its last: int64 (K,) each.
    """
    centers, seconds = np.minimum(centers, video_len), np.minimum(seconds, video_len)
    left = rng.binomial(seconds, 0.5)
    starts = centers - np.clip(left, seconds - (video_len - centers), centers)
    return starts, starts + seconds


def uniform(rng: np.random.Generator) -> Iterator[float]:
    """Draw numbers from 0 to 1 without end, many at a time."""
    while True:
        yield from rng.random(DRAWN_AT_ONCE).tolist()


def _walk(
    lengths: Sequence[int], center: int, limit: int, keep_prob: float, draws: Iterator[float]
) -> tuple[int, int, list[int]]:
    """Give the first and the last caption of a clip, and all that were taken in the order in which it grew."""
    first = last = center
    taken, tokens, end = [center], lengths[center], len(lengths) - 1
    while tokens < limit and (first > 0 or last < end):
        rightwards = last < end and (first == 0 or next(draws) < 0.5)
        step = 2 if keep_prob < 1 and next(draws) >= keep_prob else 1
        if rightwards:
            last = place = min(last + step, end)
        else:
            first = place = max(first - step, 0)
        taken.append(place)
        tokens += lengths[place]
    return first, last, taken
