"""The aligners of narrated videos that YAML files name.

Shapes: K clips, T places of `caps`, V = max_video_len, W width of features.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.processors.aligner import Aligner
from mmpt.processors.how2_clips import ClipAligner, Narration
from mmpt.processors.masking import FrameMaskingProcessor, TextMaskingProcessor
from mmpt.processors.sampling import video_spans
from mmpt.utils.registry import register


@register("aligner")
class FixedLenAligner(ClipAligner):
    """Draws as much text as fits, and takes the seconds in which it is said."""


@register("aligner")
class VariedLenAligner(FixedLenAligner):
    """Draws text of varied length, `sampled_min_len` to `sampled_max_len` tokens."""

    def _limits(self, rng: np.random.Generator) -> np.ndarray:
        least, most = _range(self.config, "sampled_min_len", "sampled_max_len")
        return rng.integers(least, most, self.clips, endpoint=True)


@register("aligner")
class StartClipAligner(FixedLenAligner):
    """Takes the first captions of a video, as much text as fits; nothing is drawn."""

    def _centers(self, captions: int, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(self.clips, np.int64)


@register("aligner")
class OverlappedAligner(VariedLenAligner):
    """Draws text as `VariedLenAligner` does, and seconds that overlap with it but neither begin nor end with it.

    The clip grows around a second drawn from those of the text; its length is drawn from `sampled_video_min_len` to
    `sampled_video_max_len`.
    """

    def _video_spans(
        self, begin: np.ndarray, end: np.ndarray, seconds: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        least, most = _range(self.config, "sampled_video_min_len", "sampled_video_max_len")
        most = min(most, self.max_video_len)
        centers = rng.integers(begin, end, endpoint=True)
        return video_spans(seconds, rng.integers(min(least, most), most, self.clips, endpoint=True), centers, rng)


class ClusterAligner(ClipAligner):
    """Draws `clip_per_video` clips of each video of a cluster."""

    @property
    def clips(self) -> int:
        """Clips drawn of a video at a time."""
        if self.config.clip_per_video is None or self.config.clip_per_video < 1:
            raise ValueError(
                f"dataset.clip_per_video is {self.config.clip_per_video}; {type(self).__name__} takes how many clips "
                "it draws of each video, 16 in the published YAML file"
            )
        return self.config.clip_per_video

    @property
    def nested(self) -> bool:
        """Whether an item has a dimension of clips."""
        return True


@register("aligner")
class VideoRetriAligner(ClusterAligner, VariedLenAligner):
    """Draws clips of the videos of a cluster, each with the seconds in which its text is said."""


@register("aligner")
class VideoRetriOverlappedAligner(ClusterAligner, OverlappedAligner):
    """Draws clips of the videos of a cluster, with seconds that overlap with the text."""


@register("aligner")
class MFMMLMAligner(VariedLenAligner):
    """Draws clips as `VariedLenAligner` does, and says which frames and words the model must predict.

    With probability `mm_prob` one of the two, picked by a coin, is to be predicted wholly and the other not at all.
    """

    def __init__(self, config: DatasetConfig, *, special: Mapping[str, int] | None = None) -> None:
        super().__init__(config, special=special)
        if not config.lazy_vfeat_mask:
            raise ValueError(
                "dataset.lazy_vfeat_mask is false; MFMMLMAligner takes true, as in every published YAML file: the "
                "model hides the frames itself, because it must predict what they were"
            )
        self._frames = FrameMaskingProcessor(config)
        self._words = TextMaskingProcessor(config)

    def _finish(self, batch: dict[str, torch.Tensor], rngs: Sequence[np.random.Generator]) -> dict[str, torch.Tensor]:
        caps, text_label = batch["caps"].clone(), torch.empty_like(batch["caps"])
        video_label = torch.empty_like(batch["vmasks"])
        for row, rng in enumerate(rngs):
            for clip in range(self.clips):
                frames, words = self._modalities(rng)
                video_label[row, clip] = self._frames(batch["vmasks"][row, clip], rng, frames)
                caps[row, clip], text_label[row, clip] = self._words(batch["caps"][row, clip], rng, words)
        return {**batch, "caps": caps, "text_label": text_label, "video_label": video_label}

    def _modalities(self, rng: np.random.Generator) -> tuple[str | None, str | None]:
        if self.config.mm_prob is None or rng.random() >= self.config.mm_prob:
            return None, None
        return ("full", "no") if rng.random() < 0.5 else ("no", "full")


@register("aligner")
class How2MILNCEAligner(ClipAligner):
    """Draws a caption with its neighbours in time as candidates for one short clip.

    Source: Miech et al., End-to-End Learning of Visual Representations from Uncurated Instructional Videos (CVPR 2020).
    """

    candidates = 4  # captions of an item
    least_seconds = 5.0  # a shorter caption is widened to that on both sides
    clip_seconds = 3.2  # of video, of which the started last second is left out

    @property
    def clips(self) -> int:
        """Clips drawn of a video at a time."""
        return 1

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item.

        Args:
            video_id: the video's id, or its key in a shard.
            video_feature: float (seconds, W).
            text_feature: `start` and `end` in seconds and `cap`, token ids, of each caption.
            rng: the item's generator.

        Returns:
            `caps` int64 and `cmasks` bool (4, T), `vfeats` float32 (V, W), `vmasks` bool (V,); `video_start` and
            `video_end` in seconds; `text_start` and `text_end`, the candidates' captions; `video_id`.

        Raises:
            ValueError: the video has no captions.
        """
        name = str(getattr(video_id, "video_id", video_id))
        narration = Narration.of(text_feature, name)
        caption = int(rng.integers(len(narration.cap)))
        first = self._first_candidate(narration, caption)
        last = len(narration.cap) - 1
        texts = [self._build_text_seq(narration.cap[min(max(first + k, 0), last)]) for k in range(self.candidates)]
        start = self._first_second(float(narration.start[caption]), float(narration.end[caption]), rng)
        seconds = np.array(video_feature[start : start + int(self.clip_seconds)])
        vfeats, vmasks = self._build_video_seq(seconds)
        return {
            "caps": torch.stack([caps for caps, _ in texts]),
            "cmasks": torch.stack([cmasks for _, cmasks in texts]),
            "vfeats": vfeats,
            "vmasks": vmasks,
            "video_start": start,
            "video_end": start + len(seconds),
            "text_start": max(first, 0),
            "text_end": min(first + self.candidates, len(narration.cap)),
            "video_id": name,
        }

    def align_all(
        self,
        video_ids: Sequence[Any],
        video_features: Sequence[Any],
        text_features: Sequence[Any],
        rngs: Sequence[np.random.Generator],
    ) -> list[dict[str, Any]]:
        """Make the items one by one."""
        return Aligner.align_all(self, video_ids, video_features, text_features, rngs)

    def _first_candidate(self, narration: Narration, caption: int) -> int:
        """Widen a caption to the neighbours that add the fewest seconds; at a video's end, to the inner side."""
        first = last = caption
        while last - first + 1 < self.candidates:
            if first == 0:
                return 0
            if last == len(narration.cap) - 1:
                return last - self.candidates + 1
            before = narration.end[last] - narration.start[first - 1]
            behind = narration.end[last + 1] - narration.start[first]
            first, last = (first - 1, last) if before < behind else (first, last + 1)
        return first

    def _first_second(self, start: float, end: float, rng: np.random.Generator) -> int:
        start, end = max(0.0, start), max(start, end)
        if (lacking := self.least_seconds - (end - start)) > 0:
            start = max(0.0, start - lacking / 2)
            end = start + self.least_seconds
        latest = max(int(start), int(int(end) - self.clip_seconds))
        return int(rng.integers(int(start), latest, endpoint=True))


def _range(config: DatasetConfig, least_key: str, most_key: str) -> tuple[int, int]:
    least, most = getattr(config, least_key), getattr(config, most_key)
    if least is None or most is None or not 0 < least <= most:
        raise ValueError(
            f"dataset.{least_key} is {least} and dataset.{most_key} is {most}; this aligner draws from the first to "
            "the second, both above 0"
        )
    return least, most
