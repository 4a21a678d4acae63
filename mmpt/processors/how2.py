"""HowTo100M and one's own narrated videos: lists of ids, shards of features and of caption tokens.

Beside a list `<split>.lst`, one id a line, lie the shards `<split>_<shard>_{starts,data}.npy` with `<split>_meta.pkl`,
which says what videos they hold, and `<beginning><split>_<shard>.{startends,caps_ids}_{starts,data}.npy` with the
captions' times and token ids. The test split reads the shards of the validation split. The plain form has one .npy a
video and one pickle of captions instead.
"""

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmpt.processors.base import Listing, MetaProcessor, Processor, TextProcessor, VideoProcessor, existing
from mmpt.processors.sampling import TokenClips
from mmpt.utils.places import locate
from mmpt.utils.registry import register
from mmpt.utils.safepickle import read_pickle
from mmpt.utils.shardedtensor import ShardedTensor, open_shard, read_meta

SHARDS = {"train": "train", "valid": "val", "test": "val"}  # split -> what its shards are called
PADDING = -1  # behind a caption's token ids
UNNUMBERED = -1  # the number of an item of a cluster


class ShardKey(NamedTuple):
    """Where a video lies.

    Attributes:
        video_id: the video.
        number: which item of the data set it is; -1 where items come in clusters.
        shard: number of the shard.
        place: which array of the shard.
    """

    video_id: str
    number: int
    shard: int
    place: int


class ListedVideos(MetaProcessor):
    """What the forms of How2 share: a list with one video id a line."""

    def ids(self) -> tuple[dict[str, None], list[str]]:
        """Read the split's list.

        Returns:
            The ids, each once, in order; and which of them stand there again.

        Raises:
            FileNotFoundError: the list is not there.
            ValueError: it is no text in UTF-8.
        """
        path = self.split_path()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8 ({error}); it takes one video id a line") from error
        ids: dict[str, None] = {}
        repeated = []
        for number, line in enumerate(lines, 1):
            if not (video_id := line.strip()):
                continue
            if video_id in ids:
                repeated.append(f"{path}:{number}: {video_id} stands there already")
            ids[video_id] = None
        return ids, repeated


@register("meta_processor")
class How2MetaProcessor(ListedVideos):
    """Lists the videos that have a feature file of their own."""

    def read(self) -> Listing:
        """Read the list.

        Returns:
            (video id, video id) of each video, in the list's order.

        Raises:
            FileNotFoundError: the list or the folder of features is not there.
        """
        ids, repeated = self.ids()
        kept, missing = self.keep_available(ids, str)
        return Listing([(video, video) for video in kept], str(self.split_path()), missing, tuple(repeated))


@register("meta_processor")
class ShardedHow2MetaProcessor(ListedVideos):
    """Lists the videos that the split's shards hold, in the order of the shards."""

    numbered = True

    def read(self) -> Listing:
        """Read the list and the shards' contents.

        Returns:
            (key, key) of each listed video.

        Raises:
            FileNotFoundError: the list or `<split>_meta.pkl` is not there.
            ValueError: that file holds anything else.
        """
        ids, faults = self.ids()
        meta_path = existing(self.config.vfeat_dir, "dataset.vfeat_dir") / f"{SHARDS[self.config.split]}_meta.pkl"
        found: dict[str, ShardKey] = {}
        for shard, videos in read_meta(meta_path).items():
            for place, video_id in enumerate(videos):
                if video_id in found:
                    faults.append(f"{meta_path}: {video_id} lies in shard {found[video_id].shard} and in {shard}")
                elif video_id in ids:
                    number = len(found) if self.numbered else UNNUMBERED
                    found[video_id] = ShardKey(video_id, number, shard, place)
        missing = tuple(video_id for video_id in ids if video_id not in found)
        source = f"{self.split_path()} with {meta_path}"
        return Listing([(key, key) for key in found.values()], source, missing, tuple(faults))

    def _why_empty(self, missing: tuple[str, ...]) -> str:
        if not missing:
            return super()._why_empty(missing)
        return (
            f"none of the {len(missing):,} videos that it lists is in the shards (looked for {missing[0]}, for "
            "example); make the shards of this list with `mmpt shard`, or point dataset.vfeat_dir at them"
        )


@register("meta_processor")
class ShardedHow2VideoRetriMetaProcessor(ShardedHow2MetaProcessor):
    """Lists the videos from which clusters are made; the clusters themselves are the batch sampler's."""

    numbered = False


class ShardedReader(Processor):
    """What readers of shards share."""

    def stored(self, beginning: str, key: ShardKey, kind: str = "") -> np.ndarray:
        """Give a video's rows of a shard.

        Args:
            beginning: of the paths of the shards, up to the split's name.
            key: the video.
            kind: what stands behind the shard's number.

        Returns:
            (rows, ...), a view into a read-only memory map.

        Raises:
            FileNotFoundError: the shard is not there.
            ValueError: it is damaged, or has fewer videos than `<split>_meta.pkl` says.
        """
        prefix = f"{beginning}{SHARDS[self.config.split]}_{key.shard}{kind}"
        shard: ShardedTensor = open_shard(prefix)
        if key.place >= len(shard):
            raise ValueError(
                f"{prefix}_starts.npy has {len(shard):,} videos, and {key.video_id} is number {key.place} according to "
                f"{SHARDS[self.config.split]}_meta.pkl; they belong to different shards: make them again"
            )
        return shard[key.place]


@register("video_processor")
class ShardedVideoProcessor(ShardedReader, VideoProcessor):
    """Reads a video's features from the shards in `vfeat_dir`."""

    def __call__(self, video_id: ShardKey) -> np.ndarray:
        """Read an item's features.

        Args:
            video_id: the video's key.

        Returns:
            (seconds, width), in the shard's dtype, a view into a read-only memory map.

        Raises:
            FileNotFoundError: the shard is not there.
            ValueError: it is damaged or another's, or its rows are no features.
        """
        features = self.stored(f"{self.folder}{os.sep}", video_id)
        if features.ndim != 2 or features.dtype.kind != "f":
            raise ValueError(
                f"shard {video_id.shard} in {self.config.vfeat_dir} holds {features.dtype} of shape {features.shape} "
                f"for {video_id.video_id}; features are floats of shape (seconds, width)"
            )
        return features


@register("text_processor")
class ShardedTextProcessor(ShardedReader, TextProcessor):
    """Reads the times and token ids of a video's captions from the shards that begin with `tfeat_dir`."""

    def __call__(self, text_id: ShardKey, rng: np.random.Generator) -> dict[str, Any]:
        """Read an item's captions.

        Args:
            text_id: the video's key.
            rng: not used.

        Returns:
            `start` and `end`, float32 (N,) seconds, and `cap`, the token ids of each of the N captions.

        Raises:
            FileNotFoundError: a shard is not there.
            ValueError: one is damaged or another's, or times and token ids differ in number.
        """
        times = self.stored(self._beginning, text_id, ".startends")  # (N, 2)
        ids = self.stored(self._beginning, text_id, ".caps_ids")  # (N, most tokens)
        if len(times) != len(ids) or times.shape[1:] != (2,):
            raise ValueError(
                f"{text_id.video_id} has times of shape {times.shape} and token ids of shape {ids.shape} in shard "
                f"{text_id.shard} of {self._beginning}*; both come from one run of `mmpt captions tokenize`: repeat it"
            )
        return {"start": times[:, 0], "end": times[:, 1], "cap": TokenClips.from_padded(ids)}

    @functools.cached_property
    def _beginning(self) -> str:
        if self.config.tfeat_dir is None:
            raise ValueError("dataset.tfeat_dir is not set, and this data set reads captions from there")
        slash = os.sep if self.config.tfeat_dir.endswith("/") else ""
        return f"{locate(self.config.tfeat_dir)}{slash}"


@register("video_processor")
class ShardedVideoRetriVideoProcessor(ShardedVideoProcessor):
    """Reads the features of a video of a cluster, as `ShardedVideoProcessor` does."""


@register("text_processor")
class ShardedVideoRetriTextProcessor(ShardedTextProcessor):
    """Reads the captions of a video of a cluster, as `ShardedTextProcessor` does."""


@register("video_processor")
class How2VideoProcessor(VideoProcessor):
    """Reads the features of a narrated video from `<vfeat_dir>/<video id>.npy`."""


@dataclass(frozen=True)
class CaptionOptions:
    """The key of the plain form.

    Attributes:
        caption_pkl_path: pickle of video id -> captions: a dict, or the JSON text of one, with `start`, `end` and
            either `cap` (token ids) or `text`.
    """

    caption_pkl_path: str


@register("text_processor")
class How2TextProcessor(TextProcessor):
    """Reads the captions of a narrated video from one pickle, as tokens or as text."""

    Options = CaptionOptions

    def __call__(self, text_id: str, rng: np.random.Generator) -> dict[str, Any]:
        """Read an item's captions.

        Args:
            text_id: the video's id.
            rng: not used.

        Returns:
            `start` and `end`, float (N,) seconds, and `cap`, the token ids of each of the N captions.

        Raises:
            FileNotFoundError: the pickle is not there.
            ValueError: it names a class, lacks the video, or the video's captions are not what they should be.
        """
        if text_id not in self.captions:
            raise ValueError(f"{self.path} has no captions of {text_id}; take it off the list, or add them")
        return self._clips(text_id, self.captions[text_id])

    @functools.cached_property
    def path(self) -> Path:
        """The pickle."""
        return existing(self.options.caption_pkl_path, "dataset.caption_pkl_path")

    @functools.cached_property
    def captions(self) -> Mapping[str, Any]:
        """What it holds, read once."""
        captions = read_pickle(self.path)
        if not isinstance(captions, dict):
            raise ValueError(f"{self.path} holds a {type(captions).__name__}; it takes a dict of video id -> captions")
        return captions

    def _clips(self, video_id: str, value: Any) -> dict[str, Any]:
        try:
            value = json.loads(value) if isinstance(value, str) else value
            clips = value["cap"] if "cap" in value else [self.tokenize(str(text)) for text in value["text"]]
            start, end = np.asarray(value["start"], float), np.asarray(value["end"], float)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: the captions of {video_id} are no lists of start, end and cap or text ({error!r})"
            ) from error
        if not len(start) == len(end) == len(clips):
            raise ValueError(
                f"{self.path}: {video_id} has {len(start)} starts, {len(end)} ends and {len(clips)} captions; they "
                "must be as many"
            )
        cap = TokenClips.from_lists([[token for token in clip if token != PADDING] for clip in clips])
        return {"start": start, "end": end, "cap": cap}
