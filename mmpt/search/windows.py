"""Windows of several lengths over features that are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmpt.models.scorer import Scorer
from mmpt.video.windows import cut, merge

LENGTHS = (4, 8, 16, 32)  # seconds
BATCH_SECONDS = 512  # of windows that run through the model together; windows of one length, so that nothing is padded


@dataclass(frozen=True, eq=False)
class Encoded:
    """A video as a library keeps it.

    Attributes:
        windows: int32 (W, 2), first second and the second after the last.
        vectors: float16 (W, D).
        tokens: float16 (S, D), one for each second.
    """

    windows: np.ndarray
    vectors: np.ndarray
    tokens: np.ndarray


def lengths_for(longest: int) -> list[int]:
    """Say which windows a model takes.

    Args:
        longest: its `max_video_len`, in seconds.

    Returns:
        The lengths of LENGTHS that fit; else the model's own.
    """
    return [length for length in LENGTHS if length <= longest] or [longest]


def cut_all(seconds: int, lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Cut a video into windows of several lengths, each length's windows overlapping by half.

    Args:
        seconds: of the video.
        lengths: of windows, in seconds.

    Returns:
        (first second, second after the last), each once, the short ones first.
    """
    windows = (window for length in sorted(lengths) for window in cut(seconds, length, max(1, length // 2)))
    return list(dict.fromkeys(windows))


@torch.no_grad()
def encode(scorer: Scorer, features: np.ndarray, lengths: Sequence[int]) -> Encoded:
    """Encode a video's windows, and its seconds as the longest windows see them.

    Args:
        scorer: the model.
        features: float32 (seconds, width).
        lengths: of windows, in seconds, at most the model's `max_video_len`.

    Returns:
        Vectors as the model gives them, not scaled. A second that two of the longest windows cover has their mean.
    """
    windows = cut_all(len(features), lengths)
    longest = max(lengths)
    outer = set(cut(len(features), longest, max(1, longest // 2)))
    vectors: dict[tuple[int, int], np.ndarray] = {}
    tokens: dict[tuple[int, int], np.ndarray] = {}
    for batch in _batches(windows):
        parts = [scorer.aligner._build_video_seq(features[start:end]) for start, end in batch]
        vfeats, vmasks = (torch.stack(column).to(scorer.device) for column in zip(*parts, strict=True))
        states = scorer.model.encode_video(vfeats.to(scorer.model.dtype), vmasks)
        pooled, seconds = states.pooled.float().cpu().numpy(), states.tokens.float().cpu().numpy()
        for place, window in enumerate(batch):
            vectors[window] = pooled[place]
            if window in outer:
                tokens[window] = seconds[place]
    covering = sorted(outer)
    return Encoded(
        windows=np.array(windows, np.int32),
        vectors=np.stack([vectors[window] for window in windows]).astype(np.float16),
        tokens=merge([tokens[window] for window in covering], covering, len(features)).astype(np.float16),
    )


def _batches(windows: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Put windows of one length together, up to BATCH_SECONDS."""
    by_length: dict[int, list[tuple[int, int]]] = {}
    for start, end in windows:
        by_length.setdefault(end - start, []).append((start, end))
    batches = []
    for length, group in sorted(by_length.items()):
        count = max(1, BATCH_SECONDS // length)
        batches += [group[begin : begin + count] for begin in range(0, len(group), count)]
    return batches
