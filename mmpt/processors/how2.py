"""HowTo100M and one's own narrated videos: lists of ids, shards of features and of caption tokens.

Beside a list `<split>.lst`, one id a line, lie the shards `<split>_<shard>_{starts,data}.npy` with `<split>_meta.pkl`,
which says what videos they hold, and `<beginning><split>_<shard>.{startends,caps_ids}_{starts,data}.npy` with the
captions' times and token ids. The test split reads the shards of the validation split. The plain form, without
shards, is in how2_plain.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from mmpt.config.schema import DatasetConfig
from mmpt.processors.base import Listing, MetaProcessor, Processor, TextProcessor, VideoProcessor, existing
from mmpt.processors.sampling import TokenClips
from mmpt.utils.names import same_name
from mmpt.utils.places import locate
from mmpt.utils.registry import register
from mmpt.utils.shardedtensor import open_shard, read_meta
from mmpt.utils.shardindex import read_index, shard_files
from mmpt.utils.tables import read_lines
from mmpt.video.features import OneOrigin

SHARDS = {"train": "train", "valid": "val", "test": "val"}  # split -> what its shards are called
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


class ShardItems(Sequence[tuple[ShardKey, ShardKey]]):
    """The items of shards, in three arrays: a million objects would be copied into every worker, bit by bit.

    Args:
        kept: video id, number of its shard and place in it, of each item.
        numbered: whether keys have a number.
    """

    def __init__(self, kept: Sequence[tuple[str, int, int]], *, numbered: bool) -> None:
        self._ids = np.array([video_id for video_id, _, _ in kept], dtype=np.str_)
        self._shards = np.array([shard for _, shard, _ in kept], dtype=np.int64)
        self._places = np.array([place for _, _, place in kept], dtype=np.int64)
        self._numbered = numbered

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> tuple[ShardKey, ShardKey]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[ShardKey, ShardKey]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number = range(len(self))[index] if self._numbered else UNNUMBERED
        key = ShardKey(str(self._ids[index]), number, int(self._shards[index]), int(self._places[index]))
        return key, key


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
        ids: dict[str, None] = {}
        repeated = []
        for where, video_id in read_lines(self.split_path()):
            if video_id in ids:
                repeated.append(f"{where}: {video_id} stands there already")
            ids[video_id] = None
        return ids, repeated


@register("meta_processor")
class ShardedHow2MetaProcessor(ListedVideos):
    """Lists the videos that the split's shards hold, in the order of the shards."""

    numbered = True

    def read(self) -> Listing:
        """Read the list and what the shards hold.

        Returns:
            (key, key) of each listed video. A video without captions is left out, which is a fault.

        Raises:
            FileNotFoundError: the list, `<split>_meta.pkl` or a shard is not there.
            ValueError: that file holds anything else, or other videos than a shard's index, or a shard holds other
                features than the configuration says or than the first.
        """
        ids, faults = self.ids()
        split = SHARDS[self.config.split]
        meta_path = existing(self.config.vfeat_dir, "dataset.vfeat_dir") / f"{split}_meta.pkl"
        kept: list[tuple[str, int, int]] = []
        seen: set[str] = set()
        origin = OneOrigin(self.config.backbone, self.config.l2_normalize)
        for shard, videos in read_meta(meta_path).items():
            named = ((place, same_name(video_id, ids)) for place, video_id in enumerate(videos))
            listed = [(place, video_id) for place, video_id in named if video_id is not None]
            silent = self._check_shard(split, shard, videos, origin) if listed else set()
            for place, video_id in listed:
                if video_id in seen:
                    faults.append(f"{meta_path}: {video_id} is there twice; its first place counts")
                elif place in silent:
                    faults.append(f"{video_id} has no captions in shard {split}_{shard}, and is left out")
                else:
                    kept.append((video_id, shard, place))
                seen.add(video_id)
        missing = tuple(video_id for video_id in ids if video_id not in seen)
        source = f"{self.split_path()} with {meta_path}"
        return Listing(ShardItems(kept, numbered=self.numbered), source, missing, tuple(faults))

    def _check_shard(self, split: str, shard: int, videos: Sequence[str], origin: OneOrigin) -> set[int]:
        """Compare a shard's indexes with the list of shards, and find places without captions."""
        features = f"{existing(self.config.vfeat_dir, 'dataset.vfeat_dir') / split}_{shard}"
        _check_ids(features, videos)
        index = read_index(features)
        origin.check(index.about if index is not None else {}, shard_files(features)[0])
        if self.config.tfeat_dir is None:
            return set()
        times = f"{caption_beginning(self.config)}{split}_{shard}.startends"
        _check_ids(times, videos)
        counts = np.diff(open_shard(times).starts)
        if len(counts) != len(videos):
            raise ValueError(
                f"{times}_starts.npy has {len(counts):,} videos, and {split}_meta.pkl names {len(videos):,} for this "
                "shard; make the shards of captions again with `mmpt captions tokenize`"
            )
        return set(np.flatnonzero(counts == 0).tolist())

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
        shard = open_shard(prefix)
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
        return caption_beginning(self.config)


@register("video_processor")
class ShardedVideoRetriVideoProcessor(ShardedVideoProcessor):
    """Reads the features of a video of a cluster, as `ShardedVideoProcessor` does."""


@register("text_processor")
class ShardedVideoRetriTextProcessor(ShardedTextProcessor):
    """Reads the captions of a video of a cluster, as `ShardedTextProcessor` does."""


def caption_beginning(config: DatasetConfig) -> str:
    """Say where the paths of the captions' shards begin.

    Args:
        config: the `dataset:` block.

    Returns:
        `tfeat_dir` at its place; a folder where it ends with a slash.

    Raises:
        ValueError: it is not set.
    """
    if config.tfeat_dir is None:
        raise ValueError("dataset.tfeat_dir is not set, and this data set reads captions from there")
    return f"{locate(config.tfeat_dir)}{os.sep if config.tfeat_dir.endswith('/') else ''}"


def _check_ids(prefix: str, videos: Sequence[str]) -> None:
    """Refuse a shard that says itself that it holds other videos."""
    index = read_index(prefix)
    if index is not None and index.ids and list(index.ids) != list(videos):
        raise ValueError(
            f"{prefix}_index.json names other videos than the list of shards (*_meta.pkl), so that a video would get "
            "another one's features or captions; make the shards again from one list"
        )
