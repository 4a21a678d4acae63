"""HowTo100M without shards: a list of ids, one .npy of features a video, and one pickle of captions."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.processors.base import Listing, TextProcessor, VideoProcessor, existing
from mmpt.processors.how2 import ListedVideos
from mmpt.processors.sampling import TokenClips
from mmpt.utils.names import same_name
from mmpt.utils.registry import register
from mmpt.utils.safepickle import read_pickle

PADDING = -1  # behind a caption's token ids, where they come from shards


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
        key = same_name(text_id, self.captions)
        if key is None:
            raise ValueError(f"{self.path} has no captions of {text_id}; take it off the list, or add them")
        return self._clips(text_id, self.captions[key])

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
