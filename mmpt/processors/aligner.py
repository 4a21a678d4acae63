"""Features and token ids -> the fixed-length sequences that every model takes."""

from collections.abc import Sequence

import numpy as np
import torch


class Aligner:
    """Builds the text and the video part of a sequence; aligners of data sets build on it.

    Args:
        max_len: places of the whole sequence.
        max_video_len: places of the video part.
        cls_token_id: id of [CLS].
        sep_token_id: id of [SEP].
        pad_token_id: id of [PAD].
    """

    def __init__(
        self, *, max_len: int, max_video_len: int, cls_token_id: int, sep_token_id: int, pad_token_id: int
    ) -> None:
        self.max_len = max_len
        self.max_video_len = max_video_len
        self.cls_token_id = cls_token_id
        self.sep_token_id = sep_token_id
        self.pad_token_id = pad_token_id

    @property
    def max_text_tokens(self) -> int:
        """Most tokens of a text that fit beside [CLS], [SEP] and [SEP]."""
        return self.max_len - self.max_video_len - 3

    def _build_text_seq(self, ids: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay out one text; the tutorial calls this by its name.

        Args:
            ids: token ids without special tokens; those that do not fit are cut off.

        Returns:
            `caps`, int64 (max_len - max_video_len,): [CLS] [SEP] text [SEP] padding; and `cmasks`, bool, the same
            length, False for padding.
        """
        tokens = [self.cls_token_id, self.sep_token_id, *ids[: self.max_text_tokens], self.sep_token_id]
        caps = torch.full((self.max_len - self.max_video_len,), self.pad_token_id, dtype=torch.long)
        caps[: len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        cmasks = torch.zeros(len(caps), dtype=torch.bool)
        cmasks[: len(tokens)] = True
        return caps, cmasks

    def _build_video_seq(self, vfeats: np.ndarray | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay out one video, or one window of it.

        Args:
            vfeats: float (seconds, width), at most `max_video_len` seconds.

        Returns:
            float32 (max_video_len, width), zeros behind the last second, and bool (max_video_len,).

        Raises:
            ValueError: there are more seconds than places.
        """
        features = torch.as_tensor(vfeats, dtype=torch.float32)
        if features.ndim != 2 or len(features) > self.max_video_len:
            raise ValueError(
                f"video features are {tuple(features.shape)}; the aligner takes (seconds, width) with at most "
                f"{self.max_video_len} seconds (max_video_len)"
            )
        padded = features.new_zeros(self.max_video_len, features.shape[1])
        padded[: len(features)] = features
        return padded, torch.arange(self.max_video_len) < len(features)
