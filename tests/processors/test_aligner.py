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


@pytest.mark.parametrize("shape", [(9, 5), (8,), (1, 8, 5)])
def test_what_does_not_fit_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at most 8 seconds"):
        ALIGNER._build_video_seq(np.zeros(shape, dtype=np.float32))
