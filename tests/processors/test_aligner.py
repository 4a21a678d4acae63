"""The layout of sequences."""

import numpy as np
import pytest
import torch

from mmpt.config import DatasetConfig
from mmpt.processors.aligner import Aligner

ALIGNER = Aligner(
    DatasetConfig(bert_name="none", max_len=24, max_video_len=8),
    special={"cls_token_id": 2, "sep_token_id": 3, "pad_token_id": 0},
)


@pytest.mark.parametrize("count", [0, 1, 12, 13, 14, 40])
def test_text(count: int) -> None:
    ids = list(range(10, 10 + count))
    caps, cmasks = ALIGNER._build_text_seq(ids)
    kept = min(count, 13)
    assert caps.dtype == torch.int64 and cmasks.dtype == torch.bool and len(caps) == len(cmasks) == 16
    assert caps.tolist() == [2, 3, *ids[:kept], 3] + [0] * (13 - kept)
    assert cmasks.tolist() == [True] * (kept + 3) + [False] * (13 - kept)


@pytest.mark.parametrize("seconds", [0, 1, 8])
def test_video(seconds: int) -> None:
    features = np.full((seconds, 5), 0.5, dtype=np.float16)
    vfeats, vmasks = ALIGNER._build_video_seq(features)
    assert vfeats.shape == (8, 5) and vfeats.dtype == torch.float32
    assert vmasks.tolist() == [True] * seconds + [False] * (8 - seconds)
    assert float(vfeats.sum()) == 0.5 * 5 * seconds
    assert float(vfeats[seconds:].abs().sum()) == 0


def test_a_long_video_is_cut_off() -> None:
    features = np.arange(45, dtype=np.float32).reshape(9, 5)
    vfeats, vmasks = ALIGNER._build_video_seq(features)
    assert vfeats.tolist() == features[:8].tolist() and vmasks.all()


@pytest.mark.parametrize("shape", [(8,), (1, 8, 5)])
def test_another_number_of_dimensions_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="takes \\(seconds, width\\)"):
        ALIGNER._build_video_seq(np.zeros(shape, dtype=np.float32))


def test_clips_follow_each_other() -> None:
    features = np.arange(5, dtype=np.float16)[:, None]
    vfeats, vmasks = ALIGNER._build_video_seq(features, {"start": [3, 0], "end": [5, 1]})
    assert vfeats[:, 0].tolist() == [3, 4, 0, 0, 0, 0, 0, 0] and vmasks.sum() == 3


def test_a_clip_past_the_end_is_told_and_nothing_is_changed() -> None:
    features = np.ones((5, 2), np.float32)
    with pytest.raises(ValueError, match="second 3 to 6 runs past the end of a video of 5 seconds"):
        ALIGNER._build_video_seq(features, {"start": [3], "end": [6]})
    assert (features == 1).all()


def test_captions_are_put_together() -> None:
    caps, _ = ALIGNER._build_text_seq({"cap": [[10], [11, 12], [13]]}, [2, 1])
    assert caps.tolist()[:6] == [2, 3, 13, 11, 12, 3]
    caps, _ = ALIGNER._build_text_seq({"cap": [[10], [11, 12]]})
    assert caps.tolist()[:4] == [2, 3, 10, 3]


def test_the_features_are_left_alone() -> None:
    features = np.ones((3, 2), np.float32)
    vfeats, _ = ALIGNER._build_video_seq(features)
    vfeats.zero_()
    assert (features == 1).all()
