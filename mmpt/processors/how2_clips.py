"""What aligners of narrated videos share: clips drawn of a video, each some captions and some seconds.

An item is one clip, or, where `subsampling` or `clip_per_video` asks for more, K clips of one video. All clips of a
video are drawn at once, and all videos of a batch are laid out in one array. Shapes: B videos, K clips, T places of
`caps`, V = max_video_len, W width of features, N captions of a video.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmpt.processors.aligner import Aligner, BatchItems
from mmpt.processors.sampling import TokenClips, text_spans

SERIAL = 16_384  # numbers that torch copies in one thread; it takes several from twice as many on


@dataclass(frozen=True, eq=False)
class Narration:
    """The captions of a video.

    Attributes:
        start: float64 (N,) seconds.
        end: float64 (N,) seconds.
        cap: their token ids.
    """

    start: np.ndarray
    end: np.ndarray
    cap: TokenClips

    @classmethod
    def of(cls, text_feature: Mapping[str, Any], video_id: str) -> "Narration":
        """Read what a text processor gives.

        Args:
            text_feature: `start`, `end` and `cap`.
            video_id: for messages.

        Returns:
            The captions.

        Raises:
            ValueError: there are none, or a time is NaN or infinite.
        """
        cap = text_feature["cap"]
        cap = cap if isinstance(cap, TokenClips) else TokenClips.from_lists(cap)
        start, end = (np.asarray(text_feature[key], np.float64) for key in ("start", "end"))
        if not len(cap) == len(start) == len(end) > 0:
            raise ValueError(
                f"{video_id} has {len(start)} starts, {len(end)} ends and {len(cap)} captions; a narrated video takes "
                "at least one caption, and as many of each: take it off the list, or prepare its captions again"
            )
        if not (np.isfinite(start).all() and np.isfinite(end).all()):
            raise ValueError(f"{video_id} has captions whose time is NaN or infinite; prepare its captions again")
        return cls(start, end, cap)


@dataclass(frozen=True, eq=False)
class Spans:
    """Clips of a video; the ends are not included.

    Attributes:
        text_start: int64 (K,), the first caption.
        text_end: int64 (K,).
        video_start: int64 (K,), the first second.
        video_end: int64 (K,).
    """

    text_start: np.ndarray
    text_end: np.ndarray
    video_start: np.ndarray
    video_end: np.ndarray


class ClipAligner(Aligner):
    """Draws clips of narrated videos and lays them out."""

    @property
    def clips(self) -> int:
        """Clips drawn of a video at a time."""
        return self.config.subsampling or 1

    @property
    def nested(self) -> bool:
        """Whether an item has a dimension of clips."""
        return self.clips > 1

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
            `caps` int64 and `cmasks` bool (K, T), `vfeats` float32 (K, V, W), `vmasks` bool (K, V); `text_start`,
            `text_end`, `video_start` and `video_end`, int64 (K,), the captions and seconds of each clip; `video_id`.
            Without the dimension of clips where one clip of a video is asked for.

        Raises:
            ValueError: the video has no captions, or features that are NaN or infinite.
        """
        return self.align_all([video_id], [video_feature], [text_feature], [rng])[0]

    def align_all(
        self,
        video_ids: Sequence[Any],
        video_features: Sequence[Any],
        text_features: Sequence[Any],
        rngs: Sequence[np.random.Generator],
    ) -> BatchItems:
        """Make the items of a batch, laid out in one array each.

        Args:
            video_ids: B videos' ids or keys.
            video_features: their features.
            text_features: their captions.
            rngs: their generators.

        Returns:
            B items, as a call gives them.

        Raises:
            ValueError: as for a call; or the videos' features differ in width.
        """
        names = [str(getattr(video_id, "video_id", video_id)) for video_id in video_ids]
        narrations = [Narration.of(text, name) for text, name in zip(text_features, names, strict=True)]
        drawn = [
            self.draw(narration, len(video), rng)
            for narration, video, rng in zip(narrations, video_features, rngs, strict=True)
        ]
        batch = {
            **self._lay_out_texts(narrations, drawn),
            **self._lay_out_videos(names, video_features, drawn),
            **{
                key: torch.from_numpy(np.stack([getattr(spans, key) for spans in drawn]))
                for key in ("video_start", "video_end", "text_start", "text_end")
            },
        }
        batch = self._finish(batch, rngs)
        if not self.nested:
            batch = {key: value[:, 0] for key, value in batch.items()}
        return BatchItems({**batch, "video_id": names}, len(names))

    def draw(self, narration: Narration, seconds: int, rng: np.random.Generator) -> Spans:
        """Draw the clips of a video.

        Args:
            narration: its captions.
            seconds: its length.
            rng: the item's generator.

        Returns:
            K clips.
        """
        centers, limits = self._centers(len(narration.cap), rng), self._limits(rng)
        text_start, text_end = text_spans(narration.cap.lengths(), centers, limits, rng)
        begin = np.maximum(np.floor(narration.start[text_start]), 0).astype(np.int64)
        # Times may fall, or end before they begin: such a clip has no seconds.
        end = np.maximum(np.ceil(narration.end[text_end - 1]).astype(np.int64), begin)
        return Spans(text_start, text_end, *self._video_spans(begin, end, seconds, rng))

    def _centers(self, captions: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the caption that each clip grows around."""
        return rng.integers(0, captions, self.clips)

    def _limits(self, rng: np.random.Generator) -> np.ndarray:
        """Say at how many tokens each clip is full."""
        return np.full(self.clips, self.max_text_tokens)

    def _video_spans(
        self, begin: np.ndarray, end: np.ndarray, seconds: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give each clip its seconds, where its captions are said from `begin` to `end`."""
        return np.minimum(begin, seconds), np.minimum(end, seconds)

    def _finish(self, batch: dict[str, torch.Tensor], rngs: Sequence[np.random.Generator]) -> dict[str, torch.Tensor]:
        """Change a batch that is laid out; every tensor is (B, K, ...)."""
        return batch

    def _lay_out_texts(self, narrations: Sequence[Narration], drawn: Sequence[Spans]) -> dict[str, torch.Tensor]:
        flat = np.concatenate([narration.cap.flat for narration in narrations])  # all tokens of the batch
        before = np.cumsum([0, *(len(narration.cap.flat) for narration in narrations[:-1])])  # (B,)
        begin, end = (
            np.stack([n.cap.offsets[getattr(spans, key)] for n, spans in zip(narrations, drawn, strict=True)])
            for key in ("text_start", "text_end")
        )  # (B, K), the tokens of each clip within its video
        count = np.minimum(end - begin, self.max_text_tokens)
        place = np.arange(self.max_text_tokens)
        token = np.minimum((before[:, None] + begin)[..., None] + place, max(len(flat) - 1, 0))
        words = flat[token] if len(flat) else np.zeros(token.shape, np.int64)
        places = self.max_len - self.max_video_len
        caps = np.full((*count.shape, places), self.pad_token_id, np.int64)
        caps[..., 0], caps[..., 1] = self.cls_token_id, self.sep_token_id
        caps[..., 2:-1] = np.where(place < count[..., None], words, self.pad_token_id)
        np.put_along_axis(caps, count[..., None] + 2, self.sep_token_id, axis=2)
        cmasks = np.arange(places) < count[..., None] + 3
        return {"caps": torch.from_numpy(caps), "cmasks": torch.from_numpy(cmasks)}

    def _lay_out_videos(
        self, names: Sequence[str], videos: Sequence[np.ndarray], drawn: Sequence[Spans]
    ) -> dict[str, torch.Tensor]:
        width = _width(names, videos)
        start = np.stack([spans.video_start for spans in drawn])  # (B, K)
        end = np.stack([spans.video_end for spans in drawn])
        first, last = start.min(axis=1), end.max(axis=1)  # (B,): only what the clips need is read of a memory map
        place = np.arange(self.max_video_len)
        vmasks = place < (end - start)[..., None]  # (B, K, V)
        padding = (last - first)[:, None, None]  # behind those seconds comes a row of zeros
        taken = np.where(vmasks, (start - first[:, None])[..., None] + place, padding)
        # By numpy, which asks for huge pages: touching fresh memory is most of the work, and six times faster so. And
        # torch's threads would wait for one another at every video, for long where other processes use the cores.
        vfeats = np.empty((*vmasks.shape, width), np.float32)
        for row, video in enumerate(videos):
            seconds = np.zeros((last[row] - first[row] + 1, width), np.float32)
            _convert(video[first[row] : last[row]], seconds[:-1])
            if not np.isfinite(seconds).all():
                raise ValueError(
                    f"the features of {names[row]} hold NaN or infinity between second {first[row]} and {last[row]}; "
                    "extract and shard the video again"
                )
            np.take(seconds, taken[row], axis=0, out=vfeats[row], mode="clip")  # "raise" would go through a buffer
        return {"vfeats": torch.from_numpy(vfeats), "vmasks": torch.from_numpy(vmasks)}


def _convert(rows: np.ndarray, out: np.ndarray) -> None:
    """Copy rows (n, W) into float32: by torch, ten times as fast for float16, in parts too small for its threads."""
    step = max(1, SERIAL // max(out.shape[1], 1))
    for begin in range(0, len(rows), step):
        part = torch.from_numpy(np.array(rows[begin : begin + step]))  # a copy, for a memory map cannot be written
        torch.from_numpy(out[begin : begin + step]).copy_(part)


def _width(names: Sequence[str], videos: Sequence[np.ndarray]) -> int:
    shapes = {name: video.shape for name, video in zip(names, videos, strict=True)}
    widths = {shape[1:] for shape in shapes.values()}
    if len(widths) != 1 or len(only := widths.pop()) != 1:
        raise ValueError(f"features are (seconds, width), of one width for all videos; got {shapes}")
    return only[0]
