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
        begin = np.floor(narration.start[text_start]).astype(np.int64)
        end = np.ceil(narration.end[text_end - 1]).astype(np.int64)
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
        places = self.max_len - self.max_video_len
        caps = np.full((len(drawn), self.clips, places), self.pad_token_id, np.int64)
        caps[..., 0], caps[..., 1] = self.cls_token_id, self.sep_token_id
        lengths = np.empty((len(drawn), self.clips), np.int64)
        for row, (narration, spans) in enumerate(zip(narrations, drawn, strict=True)):
            for clip, (start, end) in enumerate(zip(spans.text_start.tolist(), spans.text_end.tolist(), strict=True)):
                tokens = narration.cap.span(start, end)[: self.max_text_tokens]
                stop = 2 + len(tokens)
                caps[row, clip, 2:stop] = tokens
                caps[row, clip, stop] = self.sep_token_id
                lengths[row, clip] = stop + 1
        cmasks = np.arange(places) < lengths[..., None]
        return {"caps": torch.from_numpy(caps), "cmasks": torch.from_numpy(cmasks)}

    def _lay_out_videos(
        self, names: Sequence[str], videos: Sequence[np.ndarray], drawn: Sequence[Spans]
    ) -> dict[str, torch.Tensor]:
        widths = {video.shape[1:] for video in videos}
        if len(widths) > 1 or len(next(iter(widths))) != 1:
            shapes = dict(zip(names, (video.shape for video in videos), strict=True))
            raise ValueError(f"features are (seconds, width), of one width for all videos; got {shapes}")
        place = torch.arange(self.max_video_len)  # (V,)
        vfeats = torch.empty(len(videos), self.clips, self.max_video_len, *next(iter(widths)))
        vmasks = torch.empty(len(videos), self.clips, self.max_video_len, dtype=torch.bool)
        for row, (video, spans) in enumerate(zip(videos, drawn, strict=True)):
            first, last = int(spans.video_start.min()), int(spans.video_end.max())
            # Only what the clips need is read of a memory map; one row of zeros behind it is the padding.
            seconds = torch.zeros(last - first + 1, video.shape[1])
            seconds[:-1] = torch.from_numpy(np.array(video[first:last]))
            start, length = torch.from_numpy(spans.video_start), torch.from_numpy(spans.video_end - spans.video_start)
            torch.lt(place, length[:, None], out=vmasks[row])  # (K, V)
            taken = torch.where(vmasks[row], start[:, None] - first + place, last - first)  # (K, V)
            torch.index_select(seconds, 0, taken.flatten(), out=vfeats[row].flatten(0, 1))
        if not torch.isfinite(vfeats.sum()):
            _refuse_broken(names, vfeats)
        return {"vfeats": vfeats, "vmasks": vmasks}


def _refuse_broken(names: Sequence[str], vfeats: torch.Tensor) -> None:
    finite = torch.isfinite(vfeats).flatten(1).all(dim=1)  # (B,)
    if broken := [name for name, fine in zip(names, finite.tolist(), strict=True) if not fine]:
        raise ValueError(f"the features of {', '.join(broken)} hold NaN or infinity; extract and shard them again")
