"""Features and token ids -> the fixed-length sequences that every model takes."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.processors.base import Processor
from mmpt.text.tokenizer import special_ids


class BatchItems(list[dict[str, Any]]):
    """Items that are parts of one batch, so that nothing needs to be copied to collate them.

    Args:
        batch: tensors with a leading dimension of `count`, and lists of that length.
        count: how many items.
    """

    def __init__(self, batch: dict[str, Any], count: int) -> None:
        super().__init__({name: values[place] for name, values in batch.items()} for place in range(count))
        self.batch = batch


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
    def clips(self) -> int:
        """Examples that an item holds: the clips drawn of a video at a time."""
        return 1

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

    def align_all(
        self,
        video_ids: Sequence[Any],
        video_features: Sequence[Any],
        text_features: Sequence[Any],
        rngs: Sequence[np.random.Generator],
    ) -> list[dict[str, Any]]:
        """Make many items; an aligner that fills a whole batch at once does so here, with the same result.

        Args:
            video_ids: as for a call, one an item.
            video_features: likewise.
            text_features: likewise.
            rngs: likewise.

        Returns:
            The items; `BatchItems` where they are parts of one batch.
        """
        return [self(*item) for item in zip(video_ids, video_features, text_features, rngs, strict=True)]

    def _build_text_seq(
        self, ids: Sequence[int] | Mapping[str, Any], text_clip_indexs: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay out one text; the tutorial calls this by its name.

        Args:
            ids: token ids without special tokens, those that do not fit are cut off; or a mapping whose `cap` has the
                ids of each caption of a video.
            text_clip_indexs: which captions, put one after the other; the first one by default.

        Returns:
            `caps`, int64 (max_len - max_video_len,): [CLS] [SEP] text [SEP] padding; and `cmasks`, bool, the same
            length, False for padding.
        """
        if isinstance(ids, Mapping):
            places = [0] if text_clip_indexs is None else text_clip_indexs
            ids = [token for place in places for token in ids["cap"][place]]
        tokens = [self.cls_token_id, self.sep_token_id, *ids[: self.max_text_tokens], self.sep_token_id]
        caps = torch.full((self.max_len - self.max_video_len,), self.pad_token_id, dtype=torch.long)
        caps[: len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        cmasks = torch.zeros(len(caps), dtype=torch.bool)
        cmasks[: len(tokens)] = True
        return caps, cmasks

    def _build_video_seq(
        self, vfeats: np.ndarray | torch.Tensor, video_clips: Mapping[str, Sequence[int]] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Lay out one video, or clips of it.

        Args:
            vfeats: float (seconds, width); seconds that do not fit are cut off.
            video_clips: `start` and `end` of each clip, in seconds, the end not included; they are put one after the
                other. All of the video by default.

        Returns:
            float32 (max_video_len, width), zeros behind the last second, and bool (max_video_len,).

        Raises:
            ValueError: the features have another number of dimensions, or a clip runs past their end. A clip with one
                second left repeats that second, as the published models saw it.
        """
        if vfeats.ndim != 2:
            raise ValueError(f"video features are {tuple(vfeats.shape)}; the aligner takes (seconds, width)")
        if video_clips is None:
            vfeats = vfeats[: self.max_video_len]
        features = torch.as_tensor(np.array(vfeats) if isinstance(vfeats, np.ndarray) else vfeats)  # no memory map
        if video_clips is not None:
            spans = zip(video_clips["start"], video_clips["end"], strict=True)
            features = torch.cat([features[:0], *(self._cut(features, start, end) for start, end in spans)])
        features = features[: self.max_video_len].float()
        padded = features.new_zeros(self.max_video_len, features.shape[1])
        padded[: len(features)] = features
        return padded, torch.arange(self.max_video_len) < len(features)

    def _cut(self, features: torch.Tensor, start: int, end: int) -> torch.Tensor:
        wanted = max(0, min(end - start, self.max_video_len))
        seconds = features[start : start + wanted]
        if len(seconds) == 1:
            return seconds.expand(wanted, -1)
        if len(seconds) < wanted:
            raise ValueError(
                f"a clip from second {start} to {end} runs past the end of a video of {len(features)} seconds; end it "
                "at the video's end"
            )
        return seconds
