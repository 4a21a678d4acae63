"""Features and token ids -> the fixed-length sequences that every model takes."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.processors.base import Processor
from mmpt.text.tokenizer import special_ids


class Aligner(Processor):
    """Builds the text and the video part of a sequence; aligners of data sets build on it.

    Args:
        config: the `dataset:` block.
        special: ids of [CLS], [SEP] and [PAD]; by default those of the tokenizer of `config.bert_name`.
    """

    def __init__(self, config: DatasetConfig, *, special: Mapping[str, int] | None = None) -> None:
        super().__init__(config)
        self.max_len = config.max_len
        self.max_video_len = config.max_video_len
        self._special = special

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item of the data set.

        Args:
            video_id: what the meta processor calls it.
            video_feature: what the video processor gave.
            text_feature: what the text processor gave.
            rng: the item's generator; every draw comes from it.

        Returns:
            Tensors and plain values under the names that models and predictors read.
        """
        raise ValueError(
            f"{type(self).__name__} builds sequences, but no items; name a data set's aligner, such as DSAligner"
        )

    @functools.cached_property
    def special(self) -> Mapping[str, int]:
        """`cls_token_id`, `sep_token_id` and `pad_token_id`."""
        return special_ids(self.tokenizer) if self._special is None else self._special

    @property
    def cls_token_id(self) -> int:
        """Id of [CLS]."""
        return self.special["cls_token_id"]

    @property
    def sep_token_id(self) -> int:
        """Id of [SEP]."""
        return self.special["sep_token_id"]

    @property
    def pad_token_id(self) -> int:
        """Id of [PAD]."""
        return self.special["pad_token_id"]

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
