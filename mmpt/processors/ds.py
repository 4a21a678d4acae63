"""Aligners of annotated data sets: one clip and one text; the same with a captioning model's mask."""

import logging
import math
from typing import Any

import numpy as np
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.processors.aligner import Aligner
from mmpt.processors.base import TextProcessor
from mmpt.processors.masking import MMAttentionMask2DProcessor, TextGenerationProcessor
from mmpt.utils.registry import register
from mmpt.video.windows import cut

logger = logging.getLogger(__name__)


@register("aligner")
class DSAligner(Aligner):
    """Lays out the first `max_video_len` seconds of a clip beside its text."""

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item.

        Args:
            video_id: kept as it is.
            video_feature: float (seconds, width).
            text_feature: token ids without special tokens.
            rng: not used.

        Returns:
            `caps` and `cmasks` (max_len - max_video_len,), `vfeats` float32 (max_video_len, width), `vmasks`
            (max_video_len,), `video_id`.
        """
        vfeats, vmasks = self._build_video_seq(video_feature[: self.max_video_len])
        caps, cmasks = self._build_text_seq(text_feature)
        return {"caps": caps, "cmasks": cmasks, "vfeats": vfeats, "vmasks": vmasks, "video_id": video_id}


@register("text_processor")
class NLGTextProcessor(TextProcessor):
    """Keeps the text beside its token ids, for a caption's reference."""

    def __call__(self, text_id: str, rng: np.random.Generator) -> tuple[list[int], str]:
        """Make an item's token ids.

        Args:
            text_id: the text.
            rng: not used.

        Returns:
            Token ids without special tokens, and the text.
        """
        return self.tokenize(text_id), text_id


@register("aligner")
class DSNLGAligner(DSAligner):
    """Lays out a clip and its text for a captioning model, which reads the text from left to right."""

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item.

        Args:
            video_id: kept as it is.
            video_feature: float (seconds, width).
            text_feature: token ids without special tokens, and the text.
            rng: not used.

        Returns:
            What DSAligner gives, with `text_label`, int64 (max_len - max_video_len,), and `attention_mask`, bool
            (max_len, max_len). Of the test split `caps` is what decoding starts from, (3,), `text_label` the text as
            laid out, and `ref` the part of it that fits, as text. Of the others `caps` is what the model reads and
            `text_label` what it must say there, -100 where nothing is asked.
        """
        item = super().__call__(video_id, video_feature, text_feature[0], rng)
        laid_out = item["caps"]
        if self.config.split == "test":
            # spaces around apostrophes are taken out, which transformers did by itself when the papers were written
            item["ref"] = self.tokenizer.decode(laid_out, skip_special_tokens=True, clean_up_tokenization_spaces=True)
            item["text_label"] = laid_out
            item["caps"] = torch.tensor([self.cls_token_id, self.sep_token_id, self.cls_token_id])
            item["cmasks"] = torch.ones_like(item["cmasks"])  # decoding may fill every place
        else:
            item["caps"], item["text_label"] = TextGenerationProcessor(self.cls_token_id, self.pad_token_id)(laid_out)
        item["attention_mask"] = MMAttentionMask2DProcessor()(item["vmasks"], item["cmasks"], "textgen")
        return item


def cut_windows(config: DatasetConfig, length: int, video: Any) -> list[tuple[int, int]]:
    """Cut a video as a configuration says.

    Args:
        config: its `sliding_window_size` (by default `max_video_len`) and `sliding_window` (by default the size).
        length: seconds of the video.
        video: its id, for messages.

    Returns:
        (first second, second after the last) of each window, in order.

    Raises:
        ValueError: the video has no second, or the two keys do not fit each other.
    """
    if length < 1:
        raise ValueError(f"the features of {video} have no second; extract the video again, or leave it out")
    size = config.sliding_window_size or config.max_video_len
    return cut(length, size, config.sliding_window)


def covered_seconds(start: float, end: float, length: int, video: Any) -> slice:
    """Say which seconds an annotation covers: its beginning rounded down, its end up.

    Args:
        start: in seconds.
        end: in seconds.
        length: seconds of the video; what lies beyond is cut off.
        video: its id, for the warning where nothing is left.

    Returns:
        The places of the seconds.
    """
    if start >= length:
        logger.warning(
            "%s: the step from %s to %s s begins after the video's %s s of features", video, start, end, length
        )
    return slice(math.floor(start), min(math.ceil(end), length))
